"""When a container that should run counts as ill: one rule for gates, watch, reports and `slipway status`."""

from __future__ import annotations

__all__ = ["illness"]


def illness(state: str, health: str | None) -> str:
    """What is wrong with a container in Docker's words; empty when it runs well, or `completed` its work."""
    if state not in ("running", "completed"):
        return state
    return "unhealthy" if health == "unhealthy" else ""
