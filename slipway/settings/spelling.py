"""The known word that a misspelt one was meant to be."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["nearest", "suggestion"]


def nearest(word: str, known: Iterable[str], similarity: float = 0.6) -> str | None:
    """The known word closest to `word`, or None when none has at least this `similarity` (difflib's ratio)."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=similarity)
    return matches[0] if matches else None


def suggestion(word: str, known: Iterable[str], otherwise: str) -> str:
    """A question about the known word closest to `word`, or `otherwise` when none is close."""
    close = nearest(word, known)
    return f"did you mean '{close}'?" if close else otherwise
