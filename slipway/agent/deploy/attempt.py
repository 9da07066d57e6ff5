"""One attempt to change what a stack runs on this host: what it knows, what it works with, and what it did so far."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent import runtime
from slipway.agent.docker import facts
from slipway.agent.docker.compose_cli import Compose
from slipway.agent.docker.machine import require_host
from slipway.agent.docker.stop import finish_stops
from slipway.agent.edge.edge import Edge
from slipway.agent.fleet import Fleet
from slipway.agent.move.data_users import DataUsers
from slipway.agent.move.handover import Handover
from slipway.agent.move.old_project import MOVING, NOTES, UNDOING, UNDONE, OldProject
from slipway.agent.move.undo import undo
from slipway.agent.release.rendering import render
from slipway.agent.state.atomic_files import read_object
from slipway.agent.state.journal import Journal
from slipway.agent.state.kept_generations import Keeping
from slipway.agent.state.ledger import Ledger
from slipway.agent.state.stack_dir import moment
from slipway.agent.traffic.calm_traffic import pause, resume
from slipway.contract.deployment import Release
from slipway.contract.outcomes import DEPLOYED, FAILED, UNCHANGED
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from slipway.agent.deadline import Stop
    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.docker.facts import Container
    from slipway.agent.docker.machine import Machine
    from slipway.agent.output import Output
    from slipway.agent.release.rendering import Rendered
    from slipway.agent.state.stack_dir import StackFolder
    from slipway.agent.traffic.canary_statistics import Window
    from slipway.contract.deployment import Deployment

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
        fleet: Fleet | None = None,
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
        self.doubted = self.unfinished is not None or (self.ledger.last() or {}).get("outcome") == FAILED
        """whether what is live went through a failure since it was proven"""
        self.fleet = fleet or Fleet.of(document, folder)
        self.keeping = Keeping(folder)
        self._access: MachineAccess | None = None
        self._handover: Handover | None = None
        self._users: DataUsers | None = None
        self.undoing = False
        """whether an undo of a move was cut off, and is yet to be finished"""
        self.runs_instead = ""
        """the project that runs in the place of this stack, whose recorded release does not"""
        self.calm: Mapping[str, Window] = {}
        """what each service of the live release had counted at the edge while nothing was deployed"""
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
        compose, edge = Compose(self.folder, api.path, self.note_child), Edge(api, self.out)
        self._access = MachineAccess(api, machine, compose, edge)
        return self._access

    @property
    def handover(self) -> Handover | None:
        """What takes over from another project; None where this stack does not, or has done so.

        A move that was cut off is gone on with, or given back, also where the stack names no project any more.
        """
        if not (self.document.move_from or self._handover or self._cut_off()):
            return None
        if self._handover is None:
            old = OldProject(self.folder, self.access.api, self.document.move_from)
            self._handover = Handover(old, self.folder.stack, self.access.api, self.access.edge, self.out)
        return None if self._handover.old.over else self._handover

    @property
    def deployed(self) -> bool:
        """Whether this run deployed the release, or one did so that was cut off, maybe before it was watched."""
        cut_off, done = self.unfinished, (DEPLOYED, self.release.id)
        proven = [line["at"] for line in self.ledger.lines if (line["outcome"], line["release"]) == done]
        return self.outcome == DEPLOYED or bool(cut_off and proven and proven[-1] >= cut_off.since)

    @property
    def users(self) -> DataUsers:
        """Who else works on data, looked at first before anything of the stack is touched."""
        if self._users is None:
            old, api, engine = OldProject(self.folder, self.access.api), self.access.api, self.access.machine.root
            planned = {each.name for each in self.handover.old.containers()} if self.handover else set()
            self._users = DataUsers(
                old,
                api,
                engine,
                lambda: self._leaving(planned),
                live=self._live_file(),
                cut_off=facts.comparable(self._cut_off_since),
                beside=self.folder.beside,
                stop=self.stop,
            )
        return self._users

    @property
    def giving_up(self) -> list[str]:
        """The old containers that this stack takes the place of."""
        return [each.id for each in self.handover.old.containers()] if self.handover else []

    def _leaving(self, planned: Collection[str]) -> list[str]:
        """Those, and who of the names that were `planned` was made anew since: it stops as well."""
        anew = self.handover.old.awake() if self.handover else ()
        return [*self.giving_up, *(each.id for each in anew if each.name in planned)]

    @property
    def _cut_off_since(self) -> str:
        """When a deployment began that was cut off and may have left down what is live."""
        return self.unfinished.since if self.unfinished and self.unfinished.begun else ""

    def _live_file(self) -> Mapping[str, Any]:
        """The Compose file of what is live."""
        live = self.live
        with contextlib.suppress(KeyError):  # a record that lacks its parts
            release = Release.from_json((self.folder.release(live.release) if live else None) or {})
            secrets = {**dict.fromkeys(release.secrets, ""), **self.folder.stored_secrets()}
            return self.render(release, live.services if live else (), secrets, keep_key=False).compose
        return {"services": {}}

    def _cut_off(self) -> bool:
        return bool(read_object(os.path.join(self.folder.path, NOTES)).get("state") == MOVING)

    def finish_undo(self) -> float:
        """Finish an undo that was cut off, so that this takes over from a project that runs as before; seconds."""
        begin = runtime.monotonic()
        old = OldProject(self.folder, self.access.api)
        self.undoing = old.state == UNDOING
        if self.undoing:
            self.out.progress("recover", f"an undo was cut off: {old.name} runs again first")
        try:
            if self.undoing:
                undo(self.folder, old, self.access.api, self.out)
        finally:
            self.undoing = old.state == UNDOING
            if old.state == UNDONE and self.handover and self.handover.old.state == UNDONE:
                self.runs_instead, self.unfinished = old.name, None  # what was cut off before has been stopped
        return runtime.monotonic() - begin

    @property
    def edge_ports(self) -> set[int]:
        """The ports that the edge is to have."""
        edge = self.document.edge
        return {edge.http_port, *((edge.https_port,) if edge.https else ())} if edge else set()

    @property
    def standby(self) -> bool:
        """Whether the edge has to run on its standby ports: the project before still holds its own."""
        return bool(self.handover and self.handover.holds(self.edge_ports))

    def render(
        self, release: Release, services: Collection[str], secrets: Mapping[str, str], *, keep_key: bool
    ) -> Rendered:
        """A release as this host should run it; `keep_key` allows the key of the configuration hashes to be made."""
        return render(release, services, secrets, key=self.folder.hash_key(make=keep_key), folder=self.folder)

    def containers(self) -> list[Container]:
        return facts.containers(self.access.api, self.folder.stack)

    def begin_journal(self, release: str, convergence: str) -> None:
        self.journal.begin(
            release=release,
            convergence=convergence,
            previous=self.live.release if self.live else None,
            actor=self.origin.get("actor", ""),
            stopping=self.unfinished.stopping if self.unfinished else (),
            since=self._cut_off_since or moment(),
        )
        with contextlib.suppress(SlipwayError, OSError):  # what this needs as well, it asks for again
            self.calm = pause(self.folder, self.access.edge, self.live)

    def end_journal(self, outcome: str) -> None:
        """What runs is known again."""
        self.journal.end(outcome)
        with contextlib.suppress(SlipwayError, OSError):  # then nothing more counts until the next deployment
            resume(self.folder, self.access.edge, self.ledger.live(), self.live)

    def finish_stops(self) -> float:
        """Stop to the end what a deployment cut off (also this one) or an overdue watch was stopping; seconds."""
        earlier = [each.stopping for each in (self.unfinished, self.journal.unfinished()) if each]
        begun = {*self.keeping.overdue, *(each for stopping in earlier for each in stopping)}
        begin = runtime.monotonic()
        ended = finish_stops(self.folder.stack, begun, self.access.api, self.note_stops)
        if ended:
            said = f"{', '.join(ended)} had been told to stop, and that was waited for"
            self.out.progress("recover", said, runtime.monotonic() - begin)
        return runtime.monotonic() - begin

    def note_stops(self, containers: Sequence[str]) -> None:
        with contextlib.suppress(OSError):  # a full disk must not keep the previous release from coming back
            self.journal.stops(containers)

    def note_child(self, process: int) -> None:
        with contextlib.suppress(OSError):  # as above
            self.journal.child(process)

    def shifted(self) -> None:
        """Note that requests moved: after a failure, back to where they came from."""
        if self.failed_at is not None and self.back_seconds is None:
            self.back_seconds = round(runtime.monotonic() - self.failed_at, 3)
