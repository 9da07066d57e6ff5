"""One attempt to change what a stack runs on this host: what it knows, what it works with, and what it did so far."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, NamedTuple

from slipway.agent import runtime
from slipway.agent.docker import facts
from slipway.agent.docker.compose_cli import Compose
from slipway.agent.docker.machine import require_host, supports_start_interval
from slipway.agent.docker.stop import finish_stops
from slipway.agent.edge.edge import Edge
from slipway.agent.fleet import Fleet
from slipway.agent.release.rendering import render
from slipway.agent.state.journal import Journal
from slipway.agent.state.kept_generations import Keeping
from slipway.agent.state.ledger import Ledger
from slipway.contract.outcomes import UNCHANGED

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from slipway.agent.deadline import Stop
    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.docker.facts import Container
    from slipway.agent.docker.machine import Machine
    from slipway.agent.output import Output
    from slipway.agent.release.rendering import Rendered
    from slipway.agent.state.stack_dir import StackFolder
    from slipway.contract.deployment import Deployment, Release

__all__ = ["Attempt", "MachineAccess"]


class MachineAccess(NamedTuple):
    """What a deployment works with on its host."""

    api: DockerApi
    machine: Machine
    compose: Compose
    edge: Edge


class Attempt:
    """One attempt; the stack's lock is held around it, unless it only plans."""

    def __init__(
        self,
        document: Deployment,
        folder: StackFolder,
        out: Output,
        stop: Stop,
        *,
        origin: Mapping[str, str] | None = None,
        begin: float | None = None,
    ) -> None:
        """`origin` is who deploys, for the ledger; `begin` when they asked for it, on the monotonic clock."""
        self.document = document
        self.release = document.release
        self.options = document.options
        self.folder = folder
        self.out = out
        self.stop = stop
        self.origin = dict(origin or {})
        self.begin = runtime.monotonic() if begin is None else begin
        self.ledger = Ledger(folder.ledger)
        self.live = self.ledger.live()
        self.journal = Journal(folder.journal)
        self.unfinished = self.journal.unfinished()
        name = f"{self.release.id}/{document.convergence}"
        self.fleet = Fleet(folder, name, active=document.fleet is not None)
        self.keeping = Keeping(folder)
        self._access: MachineAccess | None = None
        self.touched = False
        """whether there is something to undo"""
        self.outages: dict[str, float] = {}
        """service → seconds from the stop of its containers until their successors were healthy"""
        self.outcome = UNCHANGED
        self.recorded = False
        self.failed_at: float | None = None
        self.back_seconds: float | None = None
        """from the failure until the requests were back where they came from; None when they had not moved"""
        self.removed: list[str] = []
        self.warnings: list[str] = []

    @property
    def access(self) -> MachineAccess:
        """The machine, looked at when it is first needed: that it cannot be reached is a failed deployment."""
        return self._access or self.reach()

    def reach(self) -> MachineAccess:
        api, machine = require_host()
        compose, edge = Compose(self.folder, api.path, self.journal.child), Edge(api, self.out)
        self._access = MachineAccess(api, machine, compose, edge)
        return self._access

    def render(
        self, release: Release, services: Collection[str], secrets: Mapping[str, str], *, keep_key: bool
    ) -> Rendered:
        """A release as this host should run it; `keep_key` allows the key of the configuration hashes to be made."""
        key, quick = self.folder.hash_key(make=keep_key), supports_start_interval(self.access.machine)
        return render(release, services, secrets, key=key, folder=self.folder, quick_health=quick)

    def containers(self) -> list[Container]:
        return facts.containers(self.access.api, self.folder.stack)

    def begin_journal(self, release: str, convergence: str) -> None:
        self.journal.begin(
            release=release,
            convergence=convergence,
            previous=self.live.release if self.live else None,
            actor=self.origin.get("actor", ""),
            stopping=self.unfinished.stopping if self.unfinished else (),
        )

    def finish_stops(self) -> None:
        """Stop to the end what an interrupted deployment, or a watch whose time has come, was stopping."""
        begun = (*(self.unfinished.stopping if self.unfinished else ()), *self.keeping.overdue)
        ended = finish_stops(self.folder.stack, begun, self.access.api, self._note_stops)
        if ended:
            self.out.progress("recover", f"{', '.join(ended)} had been told to stop")

    def _note_stops(self, containers: Sequence[str]) -> None:
        with contextlib.suppress(OSError):  # a full disk must not keep the previous release from coming back
            self.journal.stops(containers)

    def shifted(self) -> None:
        """Note that requests moved: after a failure, back to where they came from."""
        if self.failed_at is not None and self.back_seconds is None:
            self.back_seconds = round(runtime.monotonic() - self.failed_at, 3)
