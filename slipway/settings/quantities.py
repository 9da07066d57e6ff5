"""Durations, shares and sizes as people write them.

Messages never repeat the value, which may be a secret that was put in the wrong place.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator

__all__ = ["Duration", "Kind", "OptionalDuration", "OptionalSize", "Share", "plain", "seconds"]

_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60, "h": 3600, "d": 86400}
_PART = r"(\d{1,9}(?:\.\d{1,9})?)(us|ms|s|m|h|d)"
_LONGEST = 30 * 86400
# docker/go-units, RAMInBytes: what Compose means by these letters
_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}


class Kind(NamedTuple):
    """What a value is called in the documentation."""

    name: str


def seconds(value: object) -> float:
    """A duration in Compose's form (1m30s) or a number of seconds. Raises `ValueError`, also above 30 days."""
    text = value.strip() if isinstance(value, str) else value
    if isinstance(text, str) and re.fullmatch(f"(?:{_PART})+", text, re.ASCII):
        found = math.fsum(float(number) * _SECONDS[unit] for number, unit in re.findall(_PART, text, re.ASCII))
    else:
        found = _number(text, "is not a duration such as 500ms, 30s or 1m30s")
    if not 0 <= found <= _LONGEST:
        raise ValueError("is not a duration between 0 and 30 days")
    return round(found, 6)


def _optional(value: object) -> float | None:
    return None if value is None or value == "" else seconds(value)


def _share(value: object) -> float:
    """A share as percentage (10%) or as a number up to 1."""
    wrong = "is neither a percentage such as 10% nor a number between 0 and 1"
    if isinstance(value, str) and value.strip().endswith("%"):
        found = _number(value.strip()[:-1].strip(), wrong) / 100
        highest = 100.0  # ten thousand per cent
    else:
        found, highest = _number(value, wrong), 1
    if not 0 <= found <= highest:
        raise ValueError(wrong)
    return round(found, 9)


def _size(value: object) -> int:
    """A size in Compose's form (10MB, powers of 1024), or a number of bytes."""
    wrong = "is not a size such as 512k, 10MB or 1GB"
    text = str(value).strip() if isinstance(value, (int, str)) and not isinstance(value, bool) else ""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?|\d{1,15}) *([kmg]?)(?:i?b)?", text, re.ASCII | re.IGNORECASE)
    size = round(float(found[1]) * _BYTES[found[2].lower()]) if found else 0
    if size < 1:
        raise ValueError(wrong)
    return size


def _number(value: object, otherwise: str) -> float:
    if isinstance(value, str) and re.fullmatch(r"\d{1,9}(\.\d{1,9})?", value, re.ASCII):
        return float(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 1e15:  # noqa: PLR2004  # floats are exact
        return float(value)
    raise ValueError(otherwise)


def plain(number: float) -> float:
    """The number without a fraction that is none, so that a document says 30 and not 30.0."""
    return int(number) if number == int(number) else number


Duration = Annotated[float, BeforeValidator(seconds), Kind("duration")]
OptionalDuration = Annotated[float | None, BeforeValidator(_optional), Kind("duration")]
"""None for an empty text."""
Share = Annotated[float, BeforeValidator(_share), Kind("percentage")]
OptionalSize = Annotated[
    int | None, BeforeValidator(lambda value: None if value is None else _size(value)), Kind("size")
]
"""Bytes."""
