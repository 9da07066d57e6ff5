"""How an update ends on a host, and what kinds of updates there are: the words of ledgers, reports and the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "DEPLOY", "DEPLOYED", "DEPLOYING", "FAILED", "MIGRATED", "NOTES", "PROMOTION", "PROVEN", "REJECTED", "REPAIR",
    "REPAIRED", "RETURN", "RETURNED", "ROLLBACK", "UNCHANGED", "VALIDATED", "WATCH", "illness", "left_by_rollback",
]  # fmt: skip

DEPLOYED = "deployed"
UNCHANGED = "unchanged"
REPAIRED = "repaired"
"""The same release, what differed from it fixed."""
RETURNED = "returned"
"""An earlier release came back: the watch's doing, or that of a deployment which failed."""
PROVEN = (DEPLOYED, UNCHANGED, REPAIRED, RETURNED)
"""Outcomes after which the release was seen to run well."""

FAILED = "failed"
REJECTED = "rejected"
"""By the watch, after it had been proven."""

MIGRATED = "migrated"
VALIDATED = "validated"
NOTES = (MIGRATED, VALIDATED)
"""Notes on a release, which say nothing of what runs."""

DEPLOY = "deploy"
ROLLBACK = "rollback"
PROMOTION = "promotion"
REPAIR = "repair"
DEPLOYING = (DEPLOY, ROLLBACK, PROMOTION, REPAIR)
"""Kinds of an update that makes a release live."""
RETURN = "automatic rollback"

WATCH = "watch"
"""The actor of what a host's watch does by itself."""


def left_by_rollback(proven: Iterable[tuple[str, str]]) -> set[str]:
    """Releases that somebody rolled back from and did not deploy since, of (release, kind), oldest first."""
    found: set[str] = set()
    order: list[str] = []  # releases by their first time
    live = ""
    for release, kind in proven:
        if kind == ROLLBACK and release in order and order.index(release) < order.index(live):
            found.add(live)
        found.discard(release)
        if release not in order:
            order.append(release)
        live = release
    return found


def illness(state: str, health: str | None) -> str:
    """What is wrong with a container in Docker's words; empty when it runs well, or `completed` its work."""
    if state not in ("running", "completed"):
        return state
    return "unhealthy" if health == "unhealthy" else ""
