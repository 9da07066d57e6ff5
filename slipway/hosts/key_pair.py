"""Key pairs of SSH: of a new server, and of a stack."""

from __future__ import annotations

from typing import NamedTuple

from slipway.contract.problems import SlipwayError
from slipway.hosts.connection import load_asyncssh

__all__ = ["KeyPair", "new_key_pair", "public_half"]


class KeyPair(NamedTuple):
    """An Ed25519 key."""

    private: str
    """In OpenSSH's form."""
    public: str
    """`ssh-ed25519 BASE64`."""


def new_key_pair() -> KeyPair:
    """A key that nobody else knows."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415  # most runs make none
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415

    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return KeyPair(private.decode(), public.decode())


def public_half(private_key: str) -> str:
    """The public half of a private key, without its comment. Raises SlipwayError when it cannot be read."""
    asyncssh = load_asyncssh()

    try:
        return " ".join(asyncssh.import_private_key(private_key).export_public_key().decode().split()[:2])
    except asyncssh.KeyImportError as error:
        raise SlipwayError(
            f"sshKey cannot be used ({error})",
            "no server could be made that lets it in",
            "set a key without passphrase",
        ) from None
