"""Whether a passphrase is the one that a stack's secrets are encrypted with, without asking the engine.

Owns: the check of the engine's own proof in the stack file. Its form is the engine's (github.com/pulumi/pulumi,
pkg/secrets/passphrase/manager.go and sdk/go/common/resource/config/crypt.go, 3.256): `v1:SALT:v1:NONCE:TEXT`, the word
"pulumi" under AES-256-GCM with a key from PBKDF2-SHA256, 1,000,000 rounds. Does not own: any secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["given_passphrase", "opens"]

_ROUNDS, _KEY_BYTES = 1_000_000, 32
_PARTS = 5
_WORD = b"pulumi"


def given_passphrase(environment: Mapping[str, str]) -> str | None:
    """The passphrase that the engine would use, in its own order; None when there is none.

    Raises:
        OSError: the file that is named cannot be read.
    """
    if (phrase := environment.get("PULUMI_CONFIG_PASSPHRASE")) is not None:
        return phrase
    if file := environment.get("PULUMI_CONFIG_PASSPHRASE_FILE"):
        return Path(file).read_text(encoding="utf-8").strip()
    return None


def opens(passphrase: str, proof: str) -> bool:
    """Whether `passphrase` is the one of `proof`, the stack file's `encryptionsalt`.

    Raises:
        ValueError: the proof has another form.
    """
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415  # only a doctor needs it
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: PLC0415  # as above

    parts = proof.split(":")
    if len(parts) != _PARTS or (parts[0], parts[2]) != ("v1", "v1"):
        raise ValueError("the salt has a form of another engine")
    try:
        salt, nonce, text = (base64.b64decode(parts[index], validate=True) for index in (1, 3, 4))
    except binascii.Error:
        raise ValueError("the salt is damaged") from None
    key = hashlib.pbkdf2_hmac("sha256", passphrase.encode(), salt, _ROUNDS, _KEY_BYTES)
    try:
        return AESGCM(key).decrypt(nonce, text, None) == _WORD
    except InvalidTag:
        return False
