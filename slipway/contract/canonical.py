"""Canonical JSON, and the id that a release's content gives it: same content, same id, on both sides."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["canonical", "release_id"]


def canonical(value: object) -> bytes:
    """The one JSON text of a value: sorted keys, no spaces, UTF-8 (a lone surrogate becomes invalid UTF-8)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def release_id(release: Mapping[str, Any]) -> str:
    """`r-` and 12 hex digits, from all of a release but an id in it."""
    content = {key: value for key, value in release.items() if key != "id"}
    return "r-" + hashlib.sha256(canonical(content)).hexdigest()[:12]
