"""How times and numbers are put for people."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

__all__ = ["ago", "clock", "counted", "latency", "short", "span"]

_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def ago(moment: str, now: datetime) -> str:
    """How long ago an RFC 3339 moment was, in its largest unit; `never` for Docker's year 1."""
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return "unknown"
    if then.year == 1:
        return "never"
    seconds = int(max(now - then.astimezone(UTC), timedelta()).total_seconds())
    return f"{span(seconds)} ago" if seconds else "now"


def span(seconds: int) -> str:
    """A time in its largest unit, rounded down: `43 min`."""
    return next((f"{seconds // size} {unit}" for size, unit in _UNITS if seconds >= size), "0 s")


def clock(seconds: float) -> str:
    """Time since something began: `m:ss`."""
    return f"{int(seconds // 60):d}:{int(seconds % 60):02d}"


def counted(number: int, what: str) -> str:
    """`1 request`, `1,204 requests`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def latency(seconds: float | None) -> str:
    """A latency: `48 ms`, `1.20 s`; `-` when it is not known."""
    if seconds is None:
        return "-"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


def short(commit: str) -> str:
    """A commit as it is shown: 12 of its hex digits."""
    return commit[:12]
