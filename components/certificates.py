"""The certificate and key that a stack brings along.

Owns: whether they can be used together, and which names they are for. Does not own: serving them (the agent's part).
Nothing here repeats a key.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from slipway.contract.problems import Problem

if TYPE_CHECKING:
    from cryptography import x509

    from components.settings import Settings

__all__ = ["certificate_problems", "covers"]

_SET = "pulumi config set certificate < CHAIN.pem && pulumi config set --secret certificateKey < KEY.pem"
_CANNOT = "no browser would be served over TLS"


def certificate_problems(settings: Settings) -> list[Problem]:
    """What keeps `certificate`, `certificateKey` and `acmeCa` from being used."""
    return [*_authority(settings), *_own(settings)]


def _authority(settings: Settings) -> list[Problem]:
    if not settings.acme_ca or _certificates(settings.acme_ca):
        return []
    return [
        Problem.about(
            "acmeCa",
            "this is not a certificate in PEM form",
            "the certificate authority's server could not be trusted",
            "pulumi config set acmeCa < CA.pem",
        )
    ]


def _own(settings: Settings) -> list[Problem]:
    key = settings.certificate_key.get_secret_value()
    if not settings.certificate and not key:
        return []
    if not settings.certificate or not key:
        names = ("certificateKey", "certificate") if settings.certificate else ("certificate", "certificateKey")
        return [Problem.about(names[0], f"empty, though {names[1]} is set", _CANNOT, _SET)]
    chain = _certificates(settings.certificate)
    if not chain:
        return [Problem.about("certificate", "this is not a certificate in PEM form", _CANNOT, _SET)]
    return _pair(chain[0], key)


def _pair(certificate: x509.Certificate, key: str) -> list[Problem]:
    """What is wrong with a certificate and the key beside it."""
    from cryptography.hazmat.primitives.serialization import (  # noqa: PLC0415  # 0.1 s that most stacks need not pay
        Encoding,
        PublicFormat,
        load_pem_private_key,
    )

    try:
        public = load_pem_private_key(key.encode(), None).public_key()
    except TypeError:
        return [
            Problem.about(
                "certificateKey",
                "this private key is locked with a passphrase",
                "the edge could not use it",
                "openssl pkey -in KEY.pem | pulumi config set --secret certificateKey",
            )
        ]
    except Exception:  # noqa: BLE001  # the library raises several kinds, all meaning this; none may be shown
        return [Problem.about("certificateKey", "this is not a private key in PEM form", _CANNOT, _SET)]
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if certificate.public_key().public_bytes(*form) != public.public_bytes(*form):
        return [Problem.about("certificate", "it does not match certificateKey, which is another's key", _CANNOT, _SET)]
    return _dates(certificate)


def _dates(certificate: x509.Certificate) -> list[Problem]:
    now = datetime.now(UTC)
    if certificate.not_valid_after_utc < now:
        when = f"expired on {certificate.not_valid_after_utc:%Y-%m-%d}"
    elif certificate.not_valid_before_utc > now:
        when = f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    else:
        return []
    return [Problem.about("certificate", f"it {when}", "every browser would refuse it", _SET)]


def covers(certificate: str, host: str) -> bool:
    """Whether a valid certificate is for that host name."""
    from cryptography import x509  # noqa: PLC0415  # 0.1 s that most stacks need not pay

    names: list[str] = []
    for extension in _certificates(certificate)[0].extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            names += extension.value.get_values_for_type(x509.DNSName)
            names += [str(address) for address in extension.value.get_values_for_type(x509.IPAddress)]
    wildcard = f"*.{host.partition('.')[2]}"  # RFC 9525, section 6.3: it stands for one label
    return any(name.lower() in (host, wildcard) for name in names)


def _certificates(pem: str) -> list[x509.Certificate]:
    """The certificates of a PEM text; none when it is no such text."""
    from cryptography import x509  # noqa: PLC0415  # 0.1 s that most stacks need not pay

    try:
        return x509.load_pem_x509_certificates(pem.encode())
    except ValueError:
        return []
