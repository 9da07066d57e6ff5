"""Health checks in a rendered Compose file: when Docker would first decide, and how to make that quicker.

With `start_period` and `start_interval` Docker probes a new container every 250 ms instead of once per interval.
Failures inside the start period do not count, so the agent itself decides when a start period of ours is over.
"""

from __future__ import annotations

import re
from typing import Any

__all__ = ["quicken", "seconds"]

START_INTERVAL = "250ms"
# Docker's defaults, from the Dockerfile reference's HEALTHCHECK section.
_INTERVAL, _TIMEOUT, _RETRIES = 30.0, 30.0, 3
_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ms|us|µs|ns|h|m|s)")


def quicken(service: dict[str, Any]) -> tuple[float, float] | None:
    """Add what a service's health check lacks; None unless the start period became ours.

    Then the seconds after which the user's own settings would have brought a verdict: with a check that answers, and
    with one that runs into its time-out each time.
    """
    check = service.get("healthcheck")
    if check is None or check.get("disable") or (check.get("test") or [])[:1] == ["NONE"] or "start_interval" in check:
        return None
    verdict = None
    if "start_period" not in check:
        retries = check.get("retries") or _RETRIES
        interval, timeout = seconds(check.get("interval"), _INTERVAL), seconds(check.get("timeout"), _TIMEOUT)
        verdict = (interval * int(retries) + timeout, (interval + timeout) * int(retries))
        check["start_period"] = f"{int(verdict[1] * 1000)}ms"
    check["start_interval"] = START_INTERVAL
    return verdict


def seconds(duration: object, default: float) -> float:
    """A Compose duration ("1m30s", "250ms") in seconds."""
    if not duration:
        return default
    if isinstance(duration, (int, float)):
        return float(duration) * _UNITS["ns"]
    parts = _PART.findall(str(duration))
    return sum(float(number) * _UNITS[unit] for number, unit in parts) if parts else default
