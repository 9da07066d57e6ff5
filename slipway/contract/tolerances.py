"""How much worse a release may be than the one before it, where nobody says: for canaries and the watch alike."""

from __future__ import annotations

__all__ = ["ERROR_FLOOR", "ERROR_RELATIVE", "LATENCY_FLOOR_SECONDS", "LATENCY_RELATIVE", "MINIMUM_REQUESTS"]

ERROR_RELATIVE = 0.1
"""Tolerated increase of errors over the previous release, as a share of them."""
LATENCY_RELATIVE = 0.2
"""Tolerated increase of time (p50, p95) over the previous release, as a share of it."""
ERROR_FLOOR = 0.01
"""Of all requests; below it a difference between two hours of the same service is chance."""
LATENCY_FLOOR_SECONDS = 0.05
"""As the floor of errors."""
MINIMUM_REQUESTS = 500
"""Below as many, traffic decides nothing."""
