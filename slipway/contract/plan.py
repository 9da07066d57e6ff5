"""What happens to one service in a deployment, as agent and driver say it."""

from __future__ import annotations

from typing import NamedTuple

from slipway.contract.redaction import printable

__all__ = [
    "CLEARED", "CREATED", "DATA_STAYS", "EDGES", "EDGE_CHANGED", "EDGE_REPLACED", "EDGE_STARTED", "MIGRATION", "MOVES",
    "OLD_STOPPED", "ONE_OFF", "PLANS_VARIABLE", "PORTS_TAKEN", "RECREATED", "REMOVED", "REROUTED", "RESTARTED",
    "ROLLED", "SCALED", "STARTED", "STOPPED", "TAKEN_OVER", "UNBUILT", "UNDO_FINISHED", "Change", "interruption",
    "sentence",
]  # fmt: skip

CREATED, RECREATED, RESTARTED, ROLLED, SCALED = "created", "recreated", "restarted", "rolled", "scaled"
STARTED, STOPPED, REMOVED, CLEARED, REROUTED = "started", "stopped", "removed", "cleared", "route changed"
ONE_OFF, MIGRATION = "one-off run", "migration run"
EDGES = EDGE_STARTED, EDGE_REPLACED, EDGE_CHANGED = "edge started", "edge replaced", "edge changed"
"""`edge changed`: its container stays."""
TAKEN_OVER = "taken over"  # from a container of the project that ran here before
MOVES = PORTS_TAKEN, OLD_STOPPED, DATA_STAYS, UNDO_FINISHED = (
    "ports taken over", "old project stopped", "data not taken over", "undo finished",
)  # fmt: skip

PLANS_VARIABLE = "SLIPWAY_PLANS"
"""Environment variable with the folder into which a preview writes every host's plan, for `slipway preview`."""
UNBUILT = f"sha256:{'0' * 64}"
"""Stands for the digest of an image that is yet to be built, in a plan."""


class Change(NamedTuple):
    """What happens to one service."""

    service: str
    action: str
    because: tuple[str, ...]
    interrupts: bool = False
    seconds: float | None = None
    """how long it was interrupted last time; None where that is not known"""

    @property
    def gone(self) -> bool:
        """Whether nothing of it runs afterwards, as the release wants it."""
        return self.action in (STOPPED, REMOVED)


def sentence(change: Change) -> str:
    """What happens, because of what, and what it interrupts: `recreated: image; interrupted, 5.2 s last time`."""
    said = f"{change.action}: {printable(', '.join(change.because))}"
    return f"{said}; {meanwhile}" if (meanwhile := interruption(change)) else said


def interruption(change: Change) -> str:
    """What visitors of the service notice; empty when they notice nothing."""
    if not change.interrupts or change.gone:
        return ""
    if change.action == ONE_OFF:
        return "its run that is at work is stopped"
    return "interrupted until it is healthy" + ("" if change.seconds is None else f", {change.seconds:.1f} s last time")
