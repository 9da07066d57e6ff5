"""A stack's whole history, read from everywhere at once, and what follows for every release."""

from __future__ import annotations

import functools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from slipway.contract.outcomes import DEPLOYING, MIGRATED, REJECTED, VALIDATED, left_by_rollback
from slipway.contract.problems import SlipwayError
from slipway.releases.backend.checkpoints import checkpoints_of
from slipway.releases.engine import settings_of, stack_of
from slipway.releases.history.entries import merged
from slipway.releases.history.ledgers import HostLedger, LedgerLine, noted, read_ledgers

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.releases.backend.checkpoints import Checkpoints
    from slipway.releases.engine import Engine
    from slipway.releases.history.entries import HistoryEntry
    from slipway.settings.model import Settings

__all__ = ["VALIDATED_TAG", "StackHistory", "ValidationMark", "WayBack", "read_history"]

VALIDATED_TAG = "slipway:validated"
"""Tag of the stack with the release that was validated last (see slipway/releases/validation)."""


class ValidationMark(NamedTuple):
    """That a release was validated."""

    at: datetime | None
    actor: str


class WayBack(NamedTuple):
    """How a release could be rolled back to."""

    kind: Literal["live", "warm", "cold", "no"]  # it runs, every host has all of it, images are pulled again, none
    reason: str = ""  # why there is none
    unproven: bool = False  # whether that is because it never ran well


@dataclass(frozen=True, kw_only=True)
class StackHistory:
    """What happened to a stack, and what follows."""

    stack: str
    project: str | None
    """Compose project on the hosts; None before the first deployment."""
    entries: Sequence[HistoryEntry]
    """Oldest first."""
    checkpoints: Checkpoints
    hosts: Mapping[str, HostLedger | SlipwayError] = field(default_factory=dict)
    noted: Sequence[LedgerLine] = ()
    """What watches did, of which no host knows any more."""
    tagged: str | None = None
    """The release that the stack's tag calls validated."""
    known_settings: Settings | None = None

    @property
    def settings(self) -> Settings:
        """The stack's settings, which only a history for which the hosts were asked has."""
        assert self.known_settings is not None  # noqa: S101  # `read_history` says when they are read
        return self.known_settings

    @property
    def errors(self) -> list[SlipwayError]:
        """Of the hosts that did not answer."""
        return [each for each in self.hosts.values() if isinstance(each, SlipwayError)]

    @functools.cached_property
    def _ledgers(self) -> list[HostLedger]:
        return [each for each in self.hosts.values() if isinstance(each, HostLedger)]

    @functools.cached_property
    def _lines(self) -> list[LedgerLine]:
        """Of all hosts, oldest first."""
        lines = [line for ledger in self._ledgers for line in ledger.lines]
        return sorted([*lines, *self.noted], key=lambda line: line.at)

    def recorded(self, entry: HistoryEntry) -> bool:
        """Whether the hosts' own records are of then: those of a host that was lost go with it."""
        if self.errors or not self.hosts:
            return False
        begins = max(each.lines[0].at if each.lines else datetime.now(UTC) for each in self._ledgers)
        earlier = (each for each in self.entries if each.proven and each.number)
        return entry.at >= begins or all(each.ended >= begins for each in earlier)

    @functools.cached_property
    def live(self) -> str | None:
        """The release that runs: what the hosts say; without them, what the last update left."""
        if lives := Counter(ledger.live for ledger in self._ledgers if ledger.live):
            return lives.most_common(1)[0][0]
        for entry in reversed(self.entries):
            if entry.kind == "destroy" and entry.result == "succeeded":
                return None
            if entry.returned or entry.proven:
                return entry.returned or entry.release
        return None

    @functools.cached_property
    def warm(self) -> frozenset[str]:
        """Releases that every host could roll back to by itself."""
        if not self.hosts or self.errors:
            return frozenset()
        return frozenset.intersection(*(ledger.warm for ledger in self._ledgers))

    @functools.cached_property
    def rejected(self) -> dict[str, str]:
        """Releases that a watch rolled back from, and why; not those that ran well again since."""
        found: dict[str, str] = {}
        # That a release ran again, the ledger of a host that was lost does not say any more.
        known: list[HistoryEntry | LedgerLine] = [entry for entry in self.entries if entry.proven]
        known += [line for line in self._lines if line.proven or line.outcome == REJECTED]
        for each in sorted(known, key=lambda each: each.at):
            if isinstance(each, LedgerLine) and each.outcome == REJECTED:
                found[each.release] = each.reason
            else:
                found.pop(str(each.release), None)
        return found

    @functools.cached_property
    def validated(self) -> dict[str, ValidationMark]:
        """Releases whose tests passed, the one validated last at the end."""
        found: dict[str, ValidationMark] = {}
        for line in self._lines:
            if line.outcome in (VALIDATED, REJECTED):  # rejected by a watch, after its tests had passed
                found.pop(line.release, None)
            if line.outcome == VALIDATED:
                found[line.release] = ValidationMark(line.at, line.actor)
        if self.tagged and not any(line.release == self.tagged and line.outcome == REJECTED for line in self._lines):
            found.setdefault(self.tagged, ValidationMark(None, ""))  # hosts that do not know it were made after it
        return found

    @functools.cached_property
    def left(self) -> set[str]:
        """Releases that somebody rolled back from, and that were not deployed again since."""
        return left_by_rollback((str(entry.release), entry.kind) for entry in self.entries if entry.proven)

    @functools.cached_property
    def attempted(self) -> dict[str | None, HistoryEntry]:
        """Release → the last update that was about it, whatever came of it."""
        return {each.release: each for each in self.entries if each.number is not None and each.kind in DEPLOYING}

    @functools.cached_property
    def deployed(self) -> dict[str | None, HistoryEntry]:
        """Release → the last update that made it live, in whose state it stands."""
        numbered = (each for each in self.entries if each.number is not None and each.kind in DEPLOYING)
        return {each.release: each for each in numbered if each.proven}

    def keepers(self, release: str) -> list[str]:
        """The hosts that keep `release` with all that it takes."""
        return [name for name, each in self.hosts.items() if isinstance(each, HostLedger) and release in each.warm]

    def way_back(self, release: str | None) -> WayBack:
        """How a release could be rolled back to, as far as the history knows; its images are looked up later."""
        if release is None:
            return WayBack("no", "it is about no release")
        if release == self.live:
            return WayBack("live")
        if release not in self.deployed and release not in self.warm:  # what hosts keep needs no backend
            tried = release in self.attempted
            return WayBack("no", "it never ran well" if tried else "the backend has no state with it", unproven=tried)
        if release in self.rejected:
            return WayBack("no", f"it was rolled back from: {self.rejected[release]}")
        if migrated := self._irreversible_since(release):
            return WayBack("no", f"a migration since then cannot be undone ({migrated})")
        return WayBack("warm" if release in self.warm else "cold")

    def _irreversible_since(self, release: str) -> str:
        """The first release since `release` ran whose migration cannot be undone; empty without one."""
        ran = [number for number, entry in enumerate(self.entries) if entry.proven and entry.release == release]
        if not ran:
            return ""
        migrated = {line.release for line in self._lines if line.outcome == MIGRATED}
        for entry in self.entries[ran[-1] + 1 :]:
            # A failed one counts when its migration was done, and when no host can tell.
            done = entry.result == "succeeded" or entry.release in migrated or not self.recorded(entry)
            if entry.irreversible and done:
                return f"{entry.release}: {', '.join(entry.irreversible)}"
        since = self.entries[ran[-1]].at  # an update may be gone from the engine's history: the hosts know of it
        later = (line.release for line in self._lines if line.irreversible and line.at > since)
        return next((each for each in later if each != release), "")


def read_history(engine: Engine, *, hosts: bool = True) -> StackHistory:
    """The history of the stack, with `hosts` those of its hosts, too, else of its updates alone.

    Raises `SlipwayError` when backend or settings cannot be read. A host that does not answer is no error.
    """
    with ThreadPoolExecutor(4) as pool:
        settings = pool.submit(settings_of, engine) if hosts else None
        if hosts:
            pool.submit(_preload)  # the engine decrypts in a process of its own meanwhile
        checkpoints = checkpoints_of(engine)
        updates = checkpoints.updates()
        records = checkpoints.release_records([update.number for update in updates])
        tagged = pool.submit(checkpoints.tag, VALIDATED_TAG) if hosts else None
        project = next((str(each.deployed["project"]) for each in reversed(records.values()) if each.deployed), None)
        known = settings.result() if settings else None
        if project is None and known:
            project = stack_of(engine).project
        ledgers = read_ledgers(known, project) if known and project else {}
        lines = [line for each in ledgers.values() if isinstance(each, HostLedger) for line in each.lines]
        lost = noted(updates, records, lines)
        return StackHistory(
            stack=engine.short,
            project=project,
            known_settings=known,
            entries=merged(updates, records, [*lines, *lost]),
            checkpoints=checkpoints,
            hosts=ledgers,
            noted=lost,
            tagged=tagged.result() if tagged else None,
        )


def _preload() -> None:
    """Load what asking hosts needs and takes a while."""
    from slipway.hosts.agent_package import pack_agent  # noqa: PLC0415  # loaded for whoever needs it next
    from slipway.hosts.connection import load_asyncssh  # noqa: PLC0415  # as above

    load_asyncssh()
    pack_agent()
