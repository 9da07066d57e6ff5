"""A stack's whole history, read from everywhere at once.

Owns: the order and concurrency of the reads, and what the history says of every release: live, validated, rejected, and
how it could come back. Does not own: putting the sources together (see `merging`), or going back (see `cli/rollback`).
"""

from __future__ import annotations

import functools
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from cli.backend.checkpoints import checkpoints_of
from cli.history.ledgers import Seen, read_ledgers
from cli.history.merging import merged
from cli.stack import settings_of, stack_of
from slipway.contract.outcomes import DEPLOYING
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from cli.backend.checkpoints import Checkpoints, Noted
    from cli.backend.updates import Update
    from cli.history.entry import Entry
    from cli.stack import Engine
    from components.settings import Settings

__all__ = ["VALIDATED_TAG", "Mark", "StackHistory", "Way", "read_history"]

VALIDATED_TAG = "slipway:validated"
"""Tag of the stack with the release that was validated last (see cli/validation)."""


class Mark(NamedTuple):
    """That a release was validated."""

    at: datetime | None
    actor: str


class Way(NamedTuple):
    """How a release could come back."""

    kind: str
    """live (it runs), warm (every host has all of it), cold (its images are pulled again), no."""
    reason: str = ""
    """Why not."""
    unproven: bool = False
    """Whether that is why not: it was tried, and never ran well."""


@dataclass(frozen=True, kw_only=True)
class StackHistory:
    """What happened to a stack, and what follows."""

    stack: str
    project: str | None
    """Compose project on the hosts; None before the first deployment."""
    entries: Sequence[Entry]
    """Oldest first."""
    checkpoints: Checkpoints
    hosts: Mapping[str, Seen | SlipwayError] = field(default_factory=dict)
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
        return [seen for seen in self.hosts.values() if isinstance(seen, SlipwayError)]

    @functools.cached_property
    def _seen(self) -> list[Seen]:
        return [seen for seen in self.hosts.values() if isinstance(seen, Seen)]

    @functools.cached_property
    def live(self) -> str | None:
        """The release that runs: what the hosts say; without them, what the last update left."""
        told = [seen.live for seen in self._seen if seen.live]
        if told:
            return max(set(told), key=told.count)
        for entry in reversed(self.entries):
            if entry.kind == "destroy" and entry.result == "succeeded":
                return None
            if entry.returned:
                return entry.returned
            if entry.proven:
                return entry.release
        return None

    @functools.cached_property
    def warm(self) -> frozenset[str]:
        """Releases that every host could bring back by itself."""
        if not self.hosts or self.errors:
            return frozenset()
        return frozenset.intersection(*(seen.warm for seen in self._seen))

    @functools.cached_property
    def rejected(self) -> dict[str, str]:
        """Releases that a watch turned back from after they went live, and why; deployed again since, they are none."""
        found: dict[str, str] = {}
        for line in sorted((line for seen in self._seen for line in seen.lines), key=lambda line: line.at):
            if line.outcome == "rejected":
                found[line.release] = line.reason
            elif line.proven:
                found.pop(line.release, None)
        return found

    @functools.cached_property
    def validated(self) -> dict[str, Mark]:
        """Releases whose tests passed, the one validated last at the end."""
        lines = sorted((line for seen in self._seen for line in seen.lines), key=lambda line: line.at)
        found: dict[str, Mark] = {self.tagged: Mark(None, "")} if self.tagged else {}
        for line in lines:
            if line.outcome == "validated":
                found.pop(line.release, None)
                found[line.release] = Mark(line.at, line.actor)
            elif line.outcome == "rejected":  # by a watch, after its tests had passed
                found.pop(line.release, None)
        if self.tagged in found and found[self.tagged].at is None:  # hosts that do not know it were made after it
            found[self.tagged] = found.pop(self.tagged)
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
            back = release in order and live in order and order.index(release) < order.index(live)
            if entry.kind == "rollback" and back:
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
        return {
            str(entry.release): entry
            for entry in self.entries
            if entry.number is not None and entry.proven and entry.kind in DEPLOYING
        }

    def keepers(self, release: str) -> list[str]:
        """The hosts that keep `release` with all that it takes."""
        return [name for name, seen in self.hosts.items() if isinstance(seen, Seen) and release in seen.warm]

    def attempted(self, release: str) -> Entry | None:
        """The last update that was about `release`, whatever came of it."""
        for entry in reversed(self.entries):
            if entry.number is not None and entry.kind in DEPLOYING and entry.release == release:
                return entry
        return None

    def way_back(self, release: str | None) -> Way:
        """How `release` could come back, as far as the history knows; images in a registry are asked for later."""
        if release not in self._ways:
            self._ways[release] = self._way_back(release)
        return self._ways[release]

    @functools.cached_property
    def _ways(self) -> dict[str | None, Way]:
        return {}

    def _way_back(self, release: str | None) -> Way:  # noqa: PLR0911  # one answer a rule
        if release is None:
            return Way("no", "it is about no release")
        if release == self.live:
            return Way("live")
        if self.deployed(release) is None and release not in self.warm:  # what hosts keep needs no backend
            if self.attempted(release):
                return Way("no", "it never ran well", unproven=True)
            return Way("no", "the backend has no state with it")
        if release in self.rejected:
            return Way("no", f"it was brought back from: {self.rejected[release]}")
        if barrier := self.barrier(release):
            return Way("no", f"a migration since then cannot be undone ({barrier})")
        return Way("warm" if release in self.warm else "cold")

    def barrier(self, release: str) -> str:
        """The first release since `release` ran whose migration cannot be undone; empty without one."""
        ran = [number for number, entry in enumerate(self.entries) if entry.proven and entry.release == release]
        migrated = {line.release for seen in self._seen for line in seen.lines if line.outcome == "migrated"}
        for entry in self.entries[ran[-1] + 1 :] if ran else []:
            # A failed one counts when its migration was done, and when no host can tell.
            done = entry.result == "succeeded" or entry.release in migrated or bool(self.errors) or not self.hosts
            if entry.irreversible and done:
                return f"{entry.release}: {', '.join(entry.irreversible)}"
        since = self.entries[ran[-1]].at if ran else None
        for line in (line for seen in self._seen for line in seen.lines):
            if line.irreversible and line.release != release and since and line.at > since:
                return line.release  # its update is not in the engine's history any more
        return ""


def read_history(engine: Engine, *, hosts: bool = True, last: int | None = None) -> StackHistory:
    """Read it.

    Args:
        engine: how the engine is called for the stack.
        hosts: ask the hosts, too; without them it holds the updates alone.
        last: of how many updates, the newest, the states are read; all when None.

    Raises:
        SlipwayError: when the backend or the stack's settings cannot be read. A host that does not answer is no error.
    """
    with ThreadPoolExecutor(4) as pool:
        settings = pool.submit(settings_of, engine) if hosts else None
        if hosts:
            pool.submit(_get_ready)  # the engine decrypts in a process of its own meanwhile
        updates, checkpoints, noted = _backend(engine, last)
        tagged = pool.submit(checkpoints.tag, VALIDATED_TAG) if hosts else None
        project = next((str(each.deployed["project"]) for each in reversed(noted.values()) if each.deployed), None)
        known = settings.result() if settings else None
        if project is None and known:
            project = stack_of(engine).project
        seen = read_ledgers(known, project) if known and project else {}
        lines = [line for each in seen.values() if isinstance(each, Seen) for line in each.lines]
        return StackHistory(
            stack=engine.short,
            project=project,
            known_settings=known,
            entries=merged(updates, noted, lines),
            checkpoints=checkpoints,
            hosts=seen,
            tagged=tagged.result() if tagged else None,
        )


def _get_ready() -> None:
    """What asking hosts needs and takes a while to load."""
    import asyncssh  # noqa: F401, PLC0415  # loaded for whoever needs it next

    from components.agent_package import pack_agent  # noqa: PLC0415  # as above

    pack_agent()


def _backend(engine: Engine, last: int | None) -> tuple[list[Update], Checkpoints, dict[int, Noted]]:
    checkpoints = checkpoints_of(engine)
    updates = checkpoints.updates()
    wanted = updates if last is None else updates[-last:] if last else []
    return updates, checkpoints, checkpoints.noted([update.number for update in wanted])
