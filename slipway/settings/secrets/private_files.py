"""Files that are private by their name or content, and how a service has one that no release shows."""

from __future__ import annotations

import os
import re
import shlex
from typing import TYPE_CHECKING

from slipway.settings.setting_files import config_set

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["as_secret", "why_private"]

_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_KEY_NAME = re.compile(r"(?i)(?!.*pub)(.*\.(key|p12|pfx)|.*key.*\.pem|.*key_?file|id_(rsa|ecdsa|ed25519))")
_DOTENV = re.compile(r"\.env(\.(?!example$|sample$|template$|dist$).+)?")


def why_private(name: str, content: bytes | None) -> str:
    """What is private about a file, which may be missing; empty where nothing is."""
    if _DOTENV.fullmatch(name):
        return "is a .env file"
    found = _KEY_NAME.fullmatch(name) if content is None else _PRIVATE_KEY.search(content)
    return "holds a private key" if found else ""


def as_secret(stack: str, path: Path) -> tuple[str, str]:
    """How a service has a private file without a release that shows it, and the command that stores it."""
    key = re.sub(r"^(?=\d|$)", "FILE_", re.sub("[^A-Z0-9]+", "_", path.name.upper()).strip("_")).strip("_")
    how = (
        f"make it a secret (`{key.lower()}: {{environment: {key}}}`), which the service has by "
        f"`secrets: [{{source: {key.lower()}, target: ITS-PATH}}]` instead"
    )
    return how, config_set(stack, f"secrets.{key}", f"< {shlex.quote(os.path.relpath(path))}", secret=True)
