"""The names of the strategies: how a service goes from one release to the next."""

from __future__ import annotations

__all__ = ["BLUE_GREEN", "CANARY", "RECREATE", "ROLLING", "STRATEGIES"]

RECREATE = "recreate"
ROLLING = "rolling"
BLUE_GREEN = "blue-green"
CANARY = "canary"
STRATEGIES = (RECREATE, ROLLING, BLUE_GREEN, CANARY)
"""The agent has a planner for each."""
