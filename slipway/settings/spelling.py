"""What somebody meant who misspelt a word."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["nearest"]


def nearest(word: str, known: Iterable[str], similarity: float = 0.6) -> str | None:
    """The known word closest to `word`, or None when none has at least this `similarity` (difflib's ratio)."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=similarity)
    return matches[0] if matches else None
