"""Keys of SSH: the public half of the stack's, and a pair for every new server, so that it is known from the start."""

from __future__ import annotations

import base64
from typing import NamedTuple

from slipway.contract.problems import SlipwayError
from slipway.hosts.connection import load_asyncssh

__all__ = ["HOST_KEY_LABEL", "HostKey", "key_of_label", "label_of", "new_host_key", "public_half"]

HOST_KEY_LABEL = "slipway-host-key"
"""A server's label with its public host key: what is known of the server knows its key, too."""

_ALGORITHM = b"ssh-ed25519"
_BYTES = 32


class HostKey(NamedTuple):
    """A server's own key."""

    private: str
    """In OpenSSH's form."""
    public: str
    """`ssh-ed25519 BASE64`."""


def new_host_key() -> HostKey:
    """A key that nobody else knows."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  # most runs make none
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return HostKey(private.decode(), public.decode())


def label_of(public: str) -> str:
    """A public host key as a label's value, which has up to 63 letters and digits."""
    return base64.b32encode(base64.b64decode(public.split()[1])[-_BYTES:]).decode().rstrip("=").lower()


def key_of_label(label: str) -> str:
    """The public host key in a label's value; empty where there is none."""
    try:
        key = base64.b32decode(label.upper() + "=" * (-len(label) % 8))
    except ValueError:
        return ""
    if len(key) != _BYTES:
        return ""
    fields = b"".join(len(each).to_bytes(4, "big") + each for each in (_ALGORITHM, key))  # RFC 4253, section 6.6
    return f"{_ALGORITHM.decode()} {base64.b64encode(fields).decode()}"


def public_half(private_key: str) -> str:
    """The public half of the stack's key, without its comment. Raises SlipwayError when it cannot be read."""
    asyncssh = load_asyncssh()

    try:
        return " ".join(asyncssh.import_private_key(private_key).export_public_key().decode().split()[:2])
    except asyncssh.KeyImportError as error:
        raise SlipwayError(
            f"sshKey cannot be used ({error})",
            "no server could be made that lets it in",
            "set a key without passphrase",
        ) from None
