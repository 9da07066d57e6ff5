"""Releases of a stack's past: naming one, and having all of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.compose.schema_check import release_checked
from slipway.contract.commands import of_stack
from slipway.contract.problems import SlipwayError
from slipway.releases.backend.checkpoints import release_in
from slipway.releases.history.ledgers import read_release

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.releases.history.entries import HistoryEntry
    from slipway.releases.history.stack_history import StackHistory

__all__ = ["PastRelease", "named_entry", "past_release"]

_COMMIT = re.compile(r"[0-9a-f]{7,40}(-dirty)?")


@dataclass(frozen=True, kw_only=True)
class PastRelease:
    """A release with all that it takes to roll back to it."""

    document: Mapping[str, Any]
    """slipway/contract/schemas/deployment.schema.json, `$defs/release`."""
    entry: HistoryEntry | None = None
    """The update in whose state it stands; None when it comes from a file."""

    @property
    def id(self) -> str:
        """`r-` and 12 hex digits."""
        return str(self.document["id"])


def named_entry(history: StackHistory, name: str) -> HistoryEntry:
    """The event that a person means: of an update's number, or the last one about a release (see `_release_named`).

    Raises `SlipwayError` when there is none, or the name fits several releases.
    """
    if name.isdigit():
        for entry in history.entries:
            if entry.number == int(name):
                return entry
        numbers = [entry.number for entry in history.entries if entry.number]
        has = f"it has {numbers[0]} to {numbers[-1]}" if numbers else "it has none yet"
        raise SlipwayError(f"stack {history.stack} has no update {name}", has, _choose(history))
    wanted = _release_named(history, name)
    entries = [entry for entry in history.entries if entry.release == wanted]
    numbered = [entry for entry in entries if entry.number is not None]
    proven = [entry for entry in numbered if entry.proven]
    if not entries:
        raise SlipwayError(f"nothing in the history is about {wanted}", "it was deployed elsewhere", _choose(history))
    return (proven or numbered or entries)[-1]


def _choose(history: StackHistory) -> str:
    """The command that shows numbers and releases."""
    return of_stack("slipway history", history.stack)


def _release_named(history: StackHistory, name: str) -> str:
    if name == "live":
        if history.live is None:
            raise SlipwayError(f"nothing is live on stack {history.stack}", "there is no release", _choose(history))
        return history.live
    if name == "validated":
        if validated := next(reversed(history.validated), None):
            return validated
        what = f"no release of stack {history.stack} was validated"
        raise SlipwayError(what, "there is none to choose", of_stack("slipway validate", history.stack))
    by_commit = bool(_COMMIT.fullmatch(name))
    fitting = {
        str(entry.release)
        for entry in history.entries
        if entry.release and (entry.release.startswith(name) or (by_commit and entry.commit.startswith(name)))
    }
    if len(fitting) > 1 and by_commit:  # one commit deployed with different settings: the last one that ran
        order = [entry.release for entry in history.entries if entry.proven and entry.release in fitting]
        fitting = {str(order[-1])} if order else fitting
    if len(fitting) == 1:
        return fitting.pop()
    if fitting:
        what = f"'{name}' fits {len(fitting)} releases: {', '.join(sorted(fitting))}"
        raise SlipwayError(what, "it is not known which one is meant", "give more of it")
    raise SlipwayError(
        f"stack {history.stack} has no release '{name}'",
        "a release is named by an update's number, its id (r-…), its commit, `live` or `validated`",
        _choose(history),
    )


def past_release(history: StackHistory, entry: HistoryEntry) -> PastRelease:
    """The release that `entry` is about, whole."""
    if entry.release is None:
        raise SlipwayError(
            f"update {entry.number} ({entry.kind}) is about no release",
            "there is nothing to roll back to",
            _choose(history),
        )
    document: Mapping[str, Any] | None = None
    holder = history.deployed.get(entry.release) or history.attempted.get(entry.release)
    if holder and holder.number:
        document = release_in(history.checkpoints.state(holder.number), entry.release)
    keepers = history.keepers(entry.release)
    if document is None and keepers and history.project:  # a backend that is new: the hosts know their releases
        document = read_release(history.settings, keepers[0], history.project, entry.release)
    if document is None:
        raise SlipwayError(
            f"release {entry.release} is not in the backend",
            "its Compose file and configuration files are not known; a bundle of `slipway export`, or a saved "
            "`pulumi stack export`, has them",
            of_stack("slipway rollback --from FILE", history.stack),
        )
    return PastRelease(document=release_checked(document), entry=holder)
