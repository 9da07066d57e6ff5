"""A stack's whole history, read from everywhere at once, and what it says of every release.

That is: which one is live, which were validated or rejected, and how each could come back.
"""

from __future__ import annotations

import functools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Literal, NamedTuple

from slipway.contract.outcomes import DEPLOYING
from slipway.contract.problems import SlipwayError
from slipway.releases.backend.checkpoints import checkpoints_of
from slipway.releases.engine import settings_of, stack_of
from slipway.releases.history.ledgers import HostLedger, read_ledgers
from slipway.releases.history.merging import merged

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from slipway.releases.backend.checkpoints import Checkpoints
    from slipway.releases.engine import Engine
    from slipway.releases.history.entry import Entry
    from slipway.releases.history.ledgers import LedgerLine
    from slipway.settings.model import Settings

__all__ = ["VALIDATED_TAG", "Barrier", "StackHistory", "ValidationMark", "WayBack", "read_history"]

VALIDATED_TAG = "slipway:validated"
"""Tag of the stack with the release that was validated last (see slipway/releases/validation)."""


class ValidationMark(NamedTuple):
    """That a release was validated."""

    at: datetime | None
    actor: str


class Barrier(Enum):
    """Why there is no way back to a release."""

    NO_RELEASE = "it is about no release"
    NEVER_HEALTHY = "it never ran well"
    UNKNOWN = "the backend has no state with it"
    REJECTED = "it was rolled back from: {}"
    MIGRATION = "a migration since then cannot be undone ({})"


class WayBack(NamedTuple):
    """How a release could come back."""

    kind: Literal["live", "warm", "cold", "no"]
    """live (it runs), warm (every host has all of it), cold (its images are pulled again), no."""
    barrier: Barrier | None = None
    detail: str = ""
    """What a rejection was for, or whose migration it is."""

    @property
    def reason(self) -> str:
        """Why not, in words."""
        return self.barrier.value.format(self.detail) if self.barrier else ""


@dataclass(frozen=True, kw_only=True)
class StackHistory:
    """What happened to a stack, and what follows."""

    stack: str
    project: str | None
    """Compose project on the hosts; None before the first deployment."""
    entries: Sequence[Entry]
    """Oldest first."""
    checkpoints: Checkpoints
    hosts: Mapping[str, HostLedger | SlipwayError] = field(default_factory=dict)
    tagged: str | None = None
    """The release that the stack's tag calls validated."""
    known_settings: Settings | None = None
    """None where the hosts were not asked: then nothing needs them."""

    @property
    def settings(self) -> Settings:
        """The stack's settings; only of a history for which the hosts were asked."""
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
        return sorted((line for ledger in self._ledgers for line in ledger.lines), key=lambda line: line.at)

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
        """Releases that every host could bring back by itself."""
        if not self.hosts or self.errors:
            return frozenset()
        return frozenset.intersection(*(ledger.warm for ledger in self._ledgers))

    @functools.cached_property
    def rejected(self) -> dict[str, str]:
        """Releases that a watch rolled back from after they went live, and why; deployed again since, they are none."""
        found: dict[str, str] = {}
        for line in self._lines:
            if line.outcome == "rejected":
                found[line.release] = line.reason
            elif line.proven:
                found.pop(line.release, None)
        return found

    @functools.cached_property
    def validated(self) -> dict[str, ValidationMark]:
        """Releases whose tests passed, the one validated last at the end."""
        found: dict[str, ValidationMark] = {}
        for line in self._lines:
            if line.outcome in ("validated", "rejected"):  # rejected by a watch, after its tests had passed
                found.pop(line.release, None)
            if line.outcome == "validated":
                found[line.release] = ValidationMark(line.at, line.actor)
        if self.tagged and not any(line.release == self.tagged and line.outcome == "rejected" for line in self._lines):
            found.setdefault(self.tagged, ValidationMark(None, ""))  # hosts that do not know it were made after it
        return found

    @functools.cached_property
    def left(self) -> set[str]:
        """Releases that somebody rolled back from, and that were not deployed again since."""
        found: set[str] = set()
        order: list[str] = []  # releases by their first time
        live = ""
        for entry in self.entries:
            if not entry.proven:
                continue
            release = str(entry.release)
            if entry.kind == "rollback" and release in order and order.index(release) < order.index(live):
                found.add(live)
            found.discard(release)
            if release not in order:
                order.append(release)
            live = release
        return found

    def deployed(self, release: str) -> Entry | None:
        """The last update that made `release` live, in whose state it stands; None when there was none."""
        return self._deployed.get(release)

    @functools.cached_property
    def _deployed(self) -> dict[str, Entry]:
        return {str(each.release): each for each in self._attempts if each.proven}

    def attempted(self, release: str) -> Entry | None:
        """The last update that was about `release`, whatever came of it."""
        return next((each for each in reversed(self._attempts) if each.release == release), None)

    @functools.cached_property
    def _attempts(self) -> list[Entry]:
        return [each for each in self.entries if each.number is not None and each.kind in DEPLOYING]

    def keepers(self, release: str) -> list[str]:
        """The hosts that keep `release` with all that it takes."""
        return [name for name, each in self.hosts.items() if isinstance(each, HostLedger) and release in each.warm]

    @functools.cached_property
    def way_back(self) -> Callable[[str | None], WayBack]:
        """How a release could come back, as far as the history knows; images in a registry are asked for later."""
        return functools.cache(self._way_back)

    def _way_back(self, release: str | None) -> WayBack:
        if release is None:
            return WayBack("no", Barrier.NO_RELEASE)
        if release == self.live:
            return WayBack("live")
        if self.deployed(release) is None and release not in self.warm:  # what hosts keep needs no backend
            return WayBack("no", Barrier.NEVER_HEALTHY if self.attempted(release) else Barrier.UNKNOWN)
        if release in self.rejected:
            return WayBack("no", Barrier.REJECTED, self.rejected[release])
        if migrated := self._irreversible_since(release):
            return WayBack("no", Barrier.MIGRATION, migrated)
        return WayBack("warm" if release in self.warm else "cold")

    def _irreversible_since(self, release: str) -> str:
        """The first release since `release` ran whose migration cannot be undone; empty without one."""
        ran = [number for number, entry in enumerate(self.entries) if entry.proven and entry.release == release]
        if not ran:
            return ""
        migrated = {line.release for line in self._lines if line.outcome == "migrated"}
        for entry in self.entries[ran[-1] + 1 :]:
            # A failed one counts when its migration was done, and when no host can tell.
            done = entry.result == "succeeded" or entry.release in migrated or bool(self.errors) or not self.hosts
            if entry.irreversible and done:
                return f"{entry.release}: {', '.join(entry.irreversible)}"
        since = self.entries[ran[-1]].at  # an update may be gone from the engine's history: the hosts know of it
        later = (line.release for line in self._lines if line.irreversible and line.at > since)
        return next((each for each in later if each != release), "")


def read_history(engine: Engine, *, hosts: bool = True) -> StackHistory:
    """Read it.

    Args:
        engine: how the engine is called for the stack.
        hosts: ask the hosts, too; without them it holds the updates alone.

    Raises:
        SlipwayError: when the backend or the stack's settings cannot be read. A host that does not answer is no error.
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
        return StackHistory(
            stack=engine.short,
            project=project,
            known_settings=known,
            entries=merged(updates, records, lines),
            checkpoints=checkpoints,
            hosts=ledgers,
            tagged=tagged.result() if tagged else None,
        )


def _preload() -> None:
    """What asking hosts needs and takes a while to load."""
    import asyncssh  # noqa: F401, PLC0415  # loaded for whoever needs it next

    from slipway.hosts.agent_package import pack_agent  # noqa: PLC0415  # as above

    pack_agent()
