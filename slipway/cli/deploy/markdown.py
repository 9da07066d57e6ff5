"""Markdown for GitHub, of texts that others wrote: none of them can break out of its place."""

from __future__ import annotations

import re

from slipway.contract.redaction import printable

__all__ = ["code", "fenced", "shortened"]


def code(text: str) -> str:
    """Text that stays as it is: in code, GitHub neither makes links of it nor renders anything."""
    shown = printable(text).strip().replace("`", "'")
    return f"`{shown}`" if shown else ""


def fenced(text: str) -> str:
    """Lines that stay as they are, however they look."""
    lines = [printable(line) for line in text.splitlines()]
    fence = "`" * (max([2, *map(len, re.findall(r"`+", text))]) + 1)
    return "\n".join([f"{fence}text", *lines, fence])


def shortened(text: str, most: int, rest: str) -> str:
    """`text` in at most `most` characters: whole lines of it, then `rest`, where the whole is too long."""
    if len(text) <= most:
        return text
    kept, left = [], most - len(rest) - 2
    for line in text.splitlines():
        left -= len(line) + 1
        if left < 0:
            break
        kept.append(line)
    return "\n".join([*kept, "", rest])
