"""What happens to one service in a deployment, as agent and driver say it."""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "CLEARED", "CREATED", "EDGE", "MIGRATION", "ONE_OFF", "PLANS_VARIABLE", "RECREATED", "REMOVED", "REROUTED",
    "RESTARTED", "ROLLED", "SCALED", "STARTED", "STOPPED", "UNBUILT", "Change", "sentence",
]  # fmt: skip

CREATED, RECREATED, RESTARTED, ROLLED, SCALED = "created", "recreated", "restarted", "rolled", "scaled"
STARTED, STOPPED, REMOVED, CLEARED, REROUTED = "started", "stopped", "removed", "cleared", "route changed"
ONE_OFF, MIGRATION, EDGE = "one-off run", "migration run", "edge started"

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


def sentence(change: Change) -> str:
    """What happens, because of what, and what it interrupts: `recreated: image; interrupted, 5.2 s last time`."""
    because = ", ".join(change.because).replace("<{%", "< {%")  # the engine takes that for a colour, and panics
    said = f"{change.action}: {''.join(each if each.isprintable() else '?' for each in because)}"
    if not change.interrupts:
        return said
    last = "" if change.seconds is None else f", {change.seconds:.1f} s last time"
    meanwhile = "gone" if change.action in (STOPPED, REMOVED) else f"interrupted until it is healthy{last}"
    return f"{said}; {meanwhile}"
