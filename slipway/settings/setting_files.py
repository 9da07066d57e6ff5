"""What the stack file and `.env` beside Pulumi.yaml state.

The engine hands over values only: neither whether somebody wrote them, nor which entries of a mapping are encrypted.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import yaml
from dotenv.parser import parse_stream

from slipway.contract.problems import Problem

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["entries_of", "read_dotenv", "read_stack_file"]


def read_stack_file(path: Path, project: str) -> dict[str, Any]:
    """The settings that the stack file at `path` states. An unreadable one states nothing: the engine reports it."""
    try:
        content = yaml.safe_load(path.read_bytes())
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    config = content.get("config") if isinstance(content, dict) else None
    prefix = f"{project}:"
    stated = config if isinstance(config, dict) else {}
    return {str(key).removeprefix(prefix): value for key, value in stated.items() if str(key).startswith(prefix)}


def entries_of(stated: object, *, encrypted: bool) -> list[str]:
    """The entries of a stated mapping that are encrypted, or are not; none when it is encrypted as a whole."""
    if not isinstance(stated, dict) or _encrypted(stated):
        return []
    return [name for name, value in stated.items() if _encrypted(value) is encrypted]


def _encrypted(value: object) -> bool:
    """How the engine writes a secret: https://www.pulumi.com/docs/iac/concepts/secrets/."""
    return isinstance(value, dict) and list(value) == ["secure"] and isinstance(value["secure"], str)


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
            what = f".env: line {binding.original.line} is not NAME=VALUE"
            problems.append(Problem(what, "its values would be missing", "correct it, or put # before it"))
        elif binding.key is not None:
            values[binding.key] = binding.value or ""
    return values, problems
