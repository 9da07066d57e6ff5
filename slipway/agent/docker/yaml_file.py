"""YAML as this program writes it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["to_yaml"]


def to_yaml(tree: Mapping[str, Any]) -> bytes:
    """The tree as JSON that every YAML parser reads the same.

    JSON writes characters beyond 16 bits as two surrogates, which YAML does not join, and leaves characters in place
    that YAML forbids: both become YAML's own escapes.
    """
    text = json.dumps(tree, ensure_ascii=False, indent=1)
    return re.sub(r"[^\x20-\x7e\n]", _escape, text).encode("ascii")


def _escape(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004 - the 16-bit plane
