"""The stack's own file, Pulumi.STACK.yaml: which it is, and how what is encrypted in it was encrypted.

Owns: its place, and comparing and completing its encryption. Does not own: its settings (see
components/configuration.py): a file that is there keeps them.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml

from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.stack import Engine

__all__ = [
    "KEYS",
    "Encryption",
    "completed",
    "encryption_in",
    "encryption_of_state",
    "file_of",
    "made_for_this_machine",
    "same_settings",
]

KEYS = ("secretsprovider", "encryptedkey", "encryptionsalt")
"""Where the file says it, in the order of `Encryption`."""


class Encryption(NamedTuple):
    """How a stack's secrets are encrypted, as its file says; empty texts where it says nothing."""

    provider: str = ""
    """Whose key it is: an address such as awskms://…; empty for a passphrase, and for Pulumi Cloud's own."""
    key: str = ""
    """The data key, encrypted by that provider."""
    salt: str = ""
    """For a passphrase."""


def file_of(engine: Engine) -> Path:
    """Where the stack's file is, or would be."""
    if "--config-file" in engine.options:
        return Path(engine.options[list(engine.options).index("--config-file") + 1])
    project = yaml.safe_load((engine.root / "Pulumi.yaml").read_text()) or {}
    folder = project.get("stackConfigDir") or ""
    return engine.root / str(folder) / f"Pulumi.{engine.short}.yaml"


def made_for_this_machine(engine: Engine) -> bool:
    """Whether it is the stack `local` of `make up`, whose file is put together anew for each run."""
    return "--config-file" in engine.options


def encryption_in(content: bytes, place: str) -> Encryption:
    """How the secrets of a stack with this file are encrypted.

    Raises:
        SlipwayError: when it is not YAML.
    """
    try:
        found = yaml.safe_load(content) or {}
    except (yaml.YAMLError, UnicodeDecodeError):
        found = None
    if isinstance(found, dict):
        provider, key, salt = (str(found.get(key) or "") for key in KEYS)
        return Encryption("" if provider == "passphrase" else provider, key, salt)
    raise SlipwayError(
        Problem(
            f"{place} is not a stack's file", "its encryption cannot be compared", f"fix it, or move it away: {place}"
        )
    )


def encryption_of_state(state: Mapping[str, Any]) -> Encryption:
    """How the secrets of an exported state are encrypted: the same, unless it was changed in between."""
    providers = state["deployment"].get("secrets_providers")
    if not isinstance(providers, dict) or providers.get("type") not in ("passphrase", "cloud"):
        return Encryption()
    known = providers.get("state")
    return Encryption(*(str((known or {}).get(key) or "") for key in ("url", "encryptedkey", "salt")))


def completed(content: bytes, encryption: Encryption) -> bytes:
    """The file with an encryption that it lacks; the rest stays as it was written, comments too."""
    lines = "".join(f"{key}: {value}\n" for key, value in zip(KEYS, encryption, strict=True) if value)
    head, marker, rest = content.partition(b"---\n")
    if marker and not head.strip():
        return head + marker + lines.encode() + rest
    return lines.encode() + content


def same_settings(one: bytes, other: bytes) -> bool:
    """Whether two files that were read before have the same settings; a secret set again counts as another."""
    here, there = (yaml.safe_load(each) or {} for each in (one, other))
    return bool((here.get("config") or {}) == (there.get("config") or {}))
