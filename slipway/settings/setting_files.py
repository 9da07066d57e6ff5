"""What the stack file and `.env` beside Pulumi.yaml state.

The engine hands over values only: neither whether somebody wrote them, nor which entries of a mapping are encrypted.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from dotenv.parser import parse_stream

from slipway.contract.problems import Problem

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["StatedSettings", "read_dotenv", "read_stack_file"]


class StatedSettings(NamedTuple):
    """What a stack file states, by setting; empty when there is none or the engine keeps it elsewhere."""

    entries: dict[str, Any]

    def stated(self, key: str) -> bool:
        """Whether the file sets `key`, be it to its default."""
        return key in self.entries

    def plain(self, key: str) -> list[str]:
        """The entries of the mapping `key` that are not encrypted, when some are."""
        return [name for name, value in self._mapping(key).items() if not _encrypted(value)]

    def encrypted(self, key: str) -> list[str]:
        """The entries of the mapping `key` that are encrypted."""
        return [name for name, value in self._mapping(key).items() if _encrypted(value)]

    def _mapping(self, key: str) -> dict[str, Any]:
        value = self.entries.get(key)
        return value if isinstance(value, dict) and not _encrypted(value) else {}


def _encrypted(value: object) -> bool:
    """How the engine writes a secret: https://www.pulumi.com/docs/iac/concepts/secrets/."""
    return isinstance(value, dict) and list(value) == ["secure"] and isinstance(value["secure"], str)


def read_stack_file(path: Path, project: str) -> StatedSettings:
    """The settings that the stack file at `path` states. An unreadable one states nothing: the engine reports it."""
    try:
        content = yaml.safe_load(path.read_bytes())
    except (OSError, ValueError, yaml.YAMLError):
        return StatedSettings({})
    config = content.get("config") if isinstance(content, dict) else None
    prefix = f"{project}:"
    return StatedSettings(
        {str(key).removeprefix(prefix): value for key, value in config.items() if str(key).startswith(prefix)}
        if isinstance(config, dict)
        else {}
    )


def read_dotenv(path: Path) -> tuple[dict[str, str], list[Problem]]:
    """The names and values of a `.env` file, as written (nothing is substituted), and the lines that are neither."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}, []
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        return {}, [Problem(f".env cannot be read ({reason})", "its values would be missing", f"correct {path.name}")]
    values, problems = {}, []
    for binding in parse_stream(io.StringIO(text)):
        if binding.error:
            problems.append(
                Problem(
                    f".env: line {binding.original.line} is not NAME=VALUE",
                    "its values would be missing",
                    "correct it, or put # before it",
                )
            )
        elif binding.key is not None:
            values[binding.key] = binding.value or ""
    return values, problems
