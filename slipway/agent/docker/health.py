"""Health checks in a rendered Compose file: when Docker would first decide, and how to make that quicker.

With `start_period` and `start_interval` Docker probes a new container several times a second instead of once per
interval. That holds for every later restart as well, so it is bounded: a start period of ours is no longer than one
interval, in which Docker would not have looked at all, and takes at most 120 probes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Haste", "image_check", "quicken", "seconds"]

_PROBES = 120
_QUICKEST, _SLOWEST = 0.25, 5.0  # the second is Docker's own
# Docker's defaults, from the Dockerfile reference's HEALTHCHECK section.
_INTERVAL, _TIMEOUT, _RETRIES = 30.0, 30.0, 3
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ms|us|µs|ns|h|m|s)")


class Haste(NamedTuple):
    """When a service's health check decides, in seconds."""

    verdict: tuple[float, float] | None = None
    """after which the user's own settings would have brought a verdict, where the start period is ours: with a check
    that answers, and with one that runs into its time-out each time"""
    patience: float = 0.0
    """that the user gives it to start: the start period, or what goes by before Docker looks for the first time"""


def quicken(service: dict[str, Any], image: Mapping[str, Any], *, quick: bool) -> Haste:
    """Add what a service's health check lacks, where the engine is `quick` enough; `image` is the image's own check."""
    own = service.get("healthcheck") or {}
    check = {**image, **{key: value for key, value in own.items() if value is not None}}
    test = check.get("test") or []
    if not test or own.get("disable") or test[:1] == ["NONE"]:
        return Haste()
    interval, timeout = seconds(check.get("interval"), _INTERVAL), seconds(check.get("timeout"), _TIMEOUT)
    period = seconds(check.get("start_period"), 0.0)
    if not quick or check.get("start_interval"):
        return Haste(patience=period if check.get("start_interval") else max(period, interval + timeout))
    added, verdict = {"start_interval": _written(min(_SLOWEST, max(_QUICKEST, (period or interval) / _PROBES)))}, None
    if not period:
        retries = int(check.get("retries") or _RETRIES)
        verdict = (interval * retries + timeout, (interval + timeout) * retries)
        added["start_period"] = _written(interval)
    service["healthcheck"] = {**own, **added}
    return Haste(verdict, period)


def image_check(details: Mapping[str, Any] | None) -> dict[str, Any]:
    """The health check of an image, from the engine's answer to inspecting it, in Compose's words."""
    found = ((details or {}).get("Config") or {}).get("Healthcheck") or {}
    names = {
        "Test": "test", "Interval": "interval", "Timeout": "timeout", "Retries": "retries",
        "StartPeriod": "start_period", "StartInterval": "start_interval",
    }  # fmt: skip
    return {ours: found[name] for name, ours in names.items() if found.get(name)}


def _written(duration: float) -> str:
    return f"{round(duration * 1000)}ms"


def seconds(duration: object, default: float) -> float:
    """A Compose duration ("1m30s", "250ms") in seconds."""
    if not duration:
        return default
    if isinstance(duration, (int, float)):
        return duration / 1e9
    parts = _PART.findall(str(duration))
    return sum(float(number) * _UNITS[unit] for number, unit in parts) if parts else default
