"""Since when, and how many lines: the values of `slipway logs --since` and `--tail`."""

from __future__ import annotations

import re
from datetime import datetime, time, timedelta

from slipway.settings.quantities import plain, seconds

__all__ = ["since", "tail"]


def since(text: str, now: datetime | None = None) -> str:
    """What a host is asked: `-600` for `10m` (by its own clock), else seconds since the epoch.

    A date, a date with time, or a time of day (the last one that was) is in this machine's time zone unless it says
    otherwise. Raises ValueError for anything else.
    """
    try:
        return f"-{plain(seconds(text))}"
    except ValueError:
        pass
    here = (now or datetime.now().astimezone()).astimezone()
    try:
        if re.fullmatch(r"\d{2}:\d{2}(:\d{2})?", text):
            moment = datetime.combine(here.date(), time.fromisoformat(text)).astimezone()
            moment -= timedelta(days=1 if moment > here else 0)
        else:
            moment = datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise ValueError("is neither a duration such as 10m or 1h30m, nor a time such as 14:05 or 2026-11-20") from None
    if moment.timestamp() < 0:
        raise ValueError("is before 1970")
    return f"{moment.timestamp():.6f}"


def tail(text: str) -> str:
    """A number of lines, or `all`; raises ValueError for anything else."""
    if text == "all" or re.fullmatch(r"[0-9]{1,9}", text):
        return text
    raise ValueError("is neither a number of lines nor all")
