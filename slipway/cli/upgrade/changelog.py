"""What changed between two versions, from the changelog that the package ships."""

from __future__ import annotations

import re

__all__ = ["changes_between", "order_of"]

_VERSION = re.compile(r"## \[(\d[^\]]*)\]")


def order_of(version: str) -> tuple[int, ...]:
    """What versions are compared by: the numbers of MAJOR.MINOR.PATCH."""
    numbers = re.match(r"v?(\d+(?:\.\d+)*)", version)
    return tuple(int(number) for number in numbers[1].split(".")) if numbers else ()


def changes_between(changelog: str, before: str, after: str) -> str:
    """The sections of the versions that are newer than `before`, up to `after`, the newest first."""
    sections = re.split(r"^(?=## \[)", changelog, flags=re.MULTILINE)
    return "\n\n".join(
        section.strip()
        for section in sections
        if (found := _VERSION.match(section)) and order_of(before) < order_of(found[1]) <= order_of(after)
    )
