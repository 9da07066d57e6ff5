"""The barriers at which the hosts of a fleet wait for each other, and the rhythm of driver and agents around them."""

from __future__ import annotations

__all__ = ["BARRIERS", "BEAT_SECONDS", "DONE", "ENDED", "FAILED", "MIGRATED", "PREPARED", "PROVEN", "SILENT_SECONDS"]

PREPARED = "prepared"
MIGRATED = "migrated"
PROVEN = "proven"
BARRIERS = (PREPARED, MIGRATED, PROVEN)
"""In order. After the go for the last one, no host turns back."""

FAILED = "failed"
DONE = "done"
ENDED = (FAILED, DONE)

BEAT_SECONDS = 2.0
"""How often the driver says that it is there."""
SILENT_SECONDS = 10 * BEAT_SECONDS
"""Without a beat for as long, the network to the driver is cut."""
