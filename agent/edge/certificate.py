"""A certificate for visitors who ask for no name that the edge knows: self-signed, made once, trusted by nobody.

Owns making it, with no library, on curve P-256. Without one Traefik makes an RSA key at every change of any route, and
only then lets the change become live (tls.Manager.UpdateConfigs in v3.6.0).
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from typing import NamedTuple

__all__ = ["SelfSigned", "self_signed"]

# P-256 (SEC 2, section 2.4.2): y² = x³ - 3x + b over the integers modulo _P, _ORDER points made from _BASE.
_P = 2**256 - 2**224 + 2**192 + 2**96 - 1
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_BASE = (
    0x6B17D1F2E12C4247F8BCE6E563A440F277037D812DEB33A0F4A13945D898C296,
    0x4FE342E2FE1A7F9B8EE7EB4A7C0F9E162BCE33576B315ECECBB6406837BF51F5,
)
_SIZE = 32
_YEARS = 20
# Object identifiers as they are encoded: the curve, keys on such curves, ECDSA with SHA-256, common name.
_CURVE, _KEY = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06072a8648ce3d0201")
_ECDSA, _NAME = bytes.fromhex("06082a8648ce3d040302"), bytes.fromhex("0603550403")
_SEQUENCE, _SET, _INTEGER, _BITS, _OCTETS, _UTF8, _TIME = 0x30, 0x31, 0x02, 0x03, 0x04, 0x0C, 0x18


class SelfSigned(NamedTuple):
    """Both in PEM."""

    certificate: str
    key: str


def self_signed(name: str) -> SelfSigned:
    """A certificate of its own key, for `name`."""
    secret = 1 + secrets.randbelow(_ORDER - 1)
    public = _der(_BITS, b"\0\4" + b"".join(each.to_bytes(_SIZE, "big") for each in _times(secret, _BASE)))
    algorithm = _der(_SEQUENCE, _ECDSA)
    who = _der(_SEQUENCE, _der(_SET, _der(_SEQUENCE, _NAME, _der(_UTF8, name.encode()))))
    now = time.gmtime()
    span = (time.strftime(f"{year}%m01000000Z", now).encode() for year in (now.tm_year, now.tm_year + _YEARS))
    content = _der(
        _SEQUENCE,
        _der(0xA0, _integer(2)),  # version 3
        _integer(1 + secrets.randbits(63)),
        algorithm,
        who,
        _der(_SEQUENCE, *(_der(_TIME, each) for each in span)),
        who,
        _der(_SEQUENCE, _der(_SEQUENCE, _KEY, _CURVE), public),
    )
    whole = _der(_SEQUENCE, content, algorithm, _der(_BITS, b"\0" + _signature(secret, content)))
    key = _der(
        _SEQUENCE, _integer(1), _der(_OCTETS, secret.to_bytes(_SIZE, "big")), _der(0xA0, _CURVE), _der(0xA1, public)
    )
    return SelfSigned(_pem("CERTIFICATE", whole), _pem("EC PRIVATE KEY", key))


def _signature(secret: int, content: bytes) -> bytes:
    once = 1 + secrets.randbelow(_ORDER - 1)
    r = _times(once, _BASE)[0] % _ORDER
    digest = int.from_bytes(hashlib.sha256(content).digest(), "big")
    return _der(_SEQUENCE, _integer(r), _integer(pow(once, -1, _ORDER) * (digest + r * secret) % _ORDER))


def _times(factor: int, point: tuple[int, int]) -> tuple[int, int]:
    found: tuple[int, int] | None = None
    while factor:
        if factor & 1:
            found = point if found is None else _sum(found, point)
        point = _sum(point, point)
        factor >>= 1
    assert found is not None  # noqa: S101 - a factor is at least 1
    return found


def _sum(one: tuple[int, int], two: tuple[int, int]) -> tuple[int, int]:
    if one == two:
        slope = (3 * one[0] ** 2 - 3) * pow(2 * one[1], -1, _P)
    else:
        slope = (two[1] - one[1]) * pow(two[0] - one[0], -1, _P)
    x = (slope**2 - one[0] - two[0]) % _P
    return x, (slope * (one[0] - x) - one[1]) % _P


def _integer(value: int) -> bytes:
    return _der(_INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _der(tag: int, *parts: bytes) -> bytes:
    content = b"".join(parts)
    size = len(content)
    length = bytes([size]) if size < 0x80 else bytes([0x82]) + size.to_bytes(2, "big")  # noqa: PLR2004 - X.690, 8.1.3
    if 0x80 <= size < 0x100:  # noqa: PLR2004 - the shortest form is asked for
        length = bytes([0x81, size])
    return bytes([tag]) + length + content


def _pem(kind: str, content: bytes) -> str:
    text = base64.encodebytes(content).decode().replace("\n", "")
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join([f"-----BEGIN {kind}-----", *lines, f"-----END {kind}-----", ""])
