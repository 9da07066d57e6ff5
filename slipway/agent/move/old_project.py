"""The containers of the project that a stack takes over from: noted before the first is touched, none ever removed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.docker.docker_api import PROJECT_LABEL, DockerError
from slipway.agent.docker.facts import (
    NEVER_RESTARTED,
    SHORT_ID,
    restart_policy,
    works_or_will,
)
from slipway.agent.docker.stop import grace, side_by_side
from slipway.agent.edge.metrics import listeners
from slipway.agent.edge.network import EDGE_LABEL
from slipway.agent.move.old_container import OldContainer, from_note, place_of, read, runs
from slipway.agent.move.shared_data import data_of
from slipway.agent.state.atomic_files import read_object, remove_files, write_atomically

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.state.stack_dir import StackFolder

__all__ = [
    "FINISHED", "MOVED", "MOVING", "NOTES", "OPEN", "UNDOING", "UNDONE", "WITHOUT_NAMES",
    "OldContainer", "OldProject",
]  # fmt: skip

MOVING, MOVED, UNDOING, UNDONE, FINISHED = "moving", "moved", "undoing", "undone", "finished"
OPEN = (MOVING, MOVED, UNDOING)
"""States in which it can be given back to."""
NOTES = "move.json"
_UP_SECONDS, _POLL_SECONDS, _STEADY_SECONDS = 60.0, 0.1, 2.0
WITHOUT_NAMES = ("bridge", "host", "none")  # Docker's own networks
_UNLESS_STOPPED = "unless-stopped"
_SWARM_LABEL = "com.docker.swarm.task.id"  # whatever somebody stops of a swarm, it starts again
_ONE_OFF_LABEL = "com.docker.compose.oneoff"


class OldProject:
    """The one whose move can still be undone, else what `names` are: projects and containers."""

    def __init__(self, folder: StackFolder, api: DockerApi, names: Sequence[str] = ()) -> None:
        self.api, self.stack = api, folder.stack
        self._path = os.path.join(folder.path, NOTES)
        noted = read_object(self._path)
        other = bool(names) and noted.get("names") != list(names)
        if other and noted.get("state") not in OPEN:  # what an undo could not start is to start at the next one
            own = [each for each in noted.get("containers", ()) if {each["project"], each["name"]} & set(names)]
            noted = {**noted, "names": names, "containers": own} if noted.get("state") == UNDONE else {}
        self.state = str(noted.get("state", ""))
        self.more = other and self.state == MOVING
        """whether `names` may name containers that are not noted yet"""
        self.names: Sequence[str] = names if self.more else noted.get("names") or names
        self.alone = bool(noted.get("alone"))
        """whether nothing of the stack ran when it began to take over, so that no release of its own is to come back"""
        self.proofs: int | None = noted.get("proofs")
        """how many proofs the stack's ledger had when it began to take over: with one more, its place is taken; None
        where a former version noted it"""
        self.beside: Sequence[str] | None = noted.get("beside")
        """who else worked on its data before the move; None before the move begins"""
        self.stopping: Sequence[str] = noted.get("stopping", ())
        self._given: list[list[str]] = noted.get("given", [])  # [container, network] that `stand_in` connected
        self.asks: dict[str, tuple[int, list[list[str]]]] = noted.get("answered", {})
        """http or https → the edge's port, where it has that, and [host, path] of what it answered there before"""
        self._noted = [from_note(each, api) for each in noted.get("containers", ())]
        self._refused: dict[str, str] = {}  # container → why it did not start
        self._down: Sequence[str] = noted.get("down", ())  # those that did not come back

    @property
    def name(self) -> str:
        """What it is called in messages."""
        return ", ".join(self.names)

    @property
    def over(self) -> bool:
        """Whether this stack has taken its place."""
        return self.state in (MOVED, FINISHED)

    @property
    def open(self) -> bool:
        """Whether it can be given back to."""
        return self.state in OPEN

    def noted(self) -> list[OldContainer]:
        """Those that were noted, as far as they exist."""
        seen = ((each, self.api.container(each.id)) for each in self._noted)
        return [
            each._replace(running=runs(details), mounts=data_of(details, self.api)) for each, details in seen if details
        ]

    def is_noted(self, container: str) -> bool:
        """Whether a container, by its whole id, is one of them."""
        return any(container.startswith(each.id) for each in self._noted)

    def lost(self) -> list[str]:
        """Which of those that were noted do not run, in words; not those that ended well by themselves."""
        found = []
        for each in (old for old in self._noted if old.ran):
            if self.api.container(each.id) is None:
                found.append(f"{each.name} was removed and is not there to start")
            elif self._lost(each):
                found.append(f"{each.name} does not run{self._refused.get(each.id, '')}")
        return found

    def gone(self) -> list[OldContainer]:
        """Those that were noted at work and are not there any more."""
        return [each for each in self._noted if each.ran and self.api.container(each.id) is None]

    def _lost(self, old: OldContainer) -> bool:
        details = self.api.container(old.id) if old.ran else None
        state = details["State"] if details else {"Running": True}
        return not state.get("Running") and bool(old.id in self._refused or state.get("ExitCode"))

    def containers(self) -> list[OldContainer]:
        """Those that were noted for this move, or else those that work now or will; in the order of their making."""
        noted = self.noted() if self.open else []
        if self.open and not self.more:
            return noted
        found = {each.id: each for each in (*self.awake(), *self.down(), *noted)}  # the next undo starts who is down
        return noted + sorted((each for each in found.values() if each not in noted), key=lambda each: each.created)

    def awake(self) -> list[OldContainer]:
        """Those that work now, or that Docker starts when it starts itself, noted or not."""
        every = (self.api.container(each["Id"]) for each in self.api.containers() if self._is_one(each))
        found = [read(details, self.api) for details in every if details and works_or_will(details)]
        # The same project in another folder is another application; after an undo, whoever is there is looked at anew.
        names, here = {each.name for each in self._noted}, self.places()
        projects = () if self.state == UNDONE else {project for project, _ in here}
        return [
            each
            for each in found
            if each.project not in projects or each.name in names or (each.project, each.folder) in here
        ]

    def down(self) -> list[OldContainer]:
        """What an undo was to start, and does not run."""
        return [each for each in self.noted() if each.id in self._down and not each.running]

    def ended(self) -> dict[str, str]:
        """Those of the same folder that had ended before the move, so that nobody noted them: names by id."""
        every = (each for each in self.api.containers() if each.get("State") == "exited" and self._is_one(each))
        listed = (each for each in every if place_of(each.get("Labels") or {}) in {*self.places(), ("", "")})
        return {each["Id"]: str(each["Names"][0]).lstrip("/") for each in listed if not self.is_noted(each["Id"])}

    def places(self) -> set[tuple[str, str]]:
        """Project and folder of those that Compose made of them."""
        return {(each.project, each.folder) for each in self._noted if each.project}

    def _is_one(self, listed: Mapping[str, Any]) -> bool:
        labels, wanted = listed.get("Labels") or {}, self.names
        names = (str(each).lstrip("/") for each in listed.get("Names") or ())
        own = labels.get(PROJECT_LABEL) == self.stack or EDGE_LABEL in labels
        in_project = labels.get(PROJECT_LABEL) in wanted and labels.get(_ONE_OFF_LABEL) != "True"
        return _SWARM_LABEL not in labels and not own and (in_project or not set(wanted).isdisjoint(names))

    def note(self, state: str) -> bool:
        """Note how far it is; in the beginning also which containers there are. Whether that is written.

        Raises:
            OSError: it is not, on the way there. A full disk must not keep the old project from coming back.
        """
        if state == MOVING:
            found = self.containers()
            if not self.open:
                self._noted, self._given = [], []
            self.add(found)
        self._down = [each.id for each in self._noted if self._lost(each)] if state == UNDONE else ()
        self.state, self.more = state, False
        return self._write(must=state not in (UNDOING, UNDONE))

    def add(self, found: Iterable[OldContainer]) -> None:
        """Have them among those that are noted; one that was made anew takes the place of the former of its name."""
        known = {each.id for each in self._noted}
        new = [each for each in found if each.id not in known]
        names = {each.name for each in new}
        self._noted = [*(each for each in self._noted if each.name not in names), *new]

    def forget(self) -> None:
        """Be as before the move began."""
        self.state, self._noted = "", []
        remove_files(self._path)

    def _write(self, *, must: bool = False) -> bool:
        noted = [each._asdict() for each in self._noted]
        content = {"names": list(self.names), "state": self.state, "alone": self.alone, "proofs": self.proofs,
                   "beside": self.beside, "stopping": self.stopping, "given": self._given, "down": self._down,
                   "answered": self.asks, "containers": noted}  # fmt: skip
        try:
            write_atomically(self._path, json.dumps(content).encode())
        except OSError:
            if must:
                raise
            return False
        return True

    def stop(self, containers: Iterable[str]) -> None:
        """Stop them so that nothing but `start` starts them again."""
        self.stopping = list(containers)
        self._write()
        self.finish_stops()

    def finish_stops(self) -> None:
        """Stop to the end what a run that was cut off was stopping: it looks as if it ran until its time is over."""

        def act(client: DockerApi, container: str) -> None:
            if details := client.container(container):
                _set_policy(client, details, {"Name": self._resting(details)})
                client.stop(container, grace(details))

        side_by_side(self.stopping, self.api, act)
        self.stopping = ()
        self._write()

    def rest(self) -> None:
        """Have Docker start none of those that do not run: nothing else stops them."""
        for each in self._noted:
            if (details := self.api.container(each.id)) and not runs(details):
                _set_policy(self.api, details, {"Name": "no"})

    def _resting(self, details: Mapping[str, Any]) -> str:
        """The policy of what is stopped: of the stack's own what worked must not look as if its work was done."""
        if details["Id"][:SHORT_ID] in {each.id for each in self._noted}:
            return "no"
        return _UNLESS_STOPPED if runs(details) or restart_policy(details)["Name"] == _UNLESS_STOPPED else "no"

    def start(
        self, containers: Sequence[OldContainer], pause: Callable[[float], None], *, early: bool = False
    ) -> dict[str, str]:
        """Start them as they were, one after the other, each with time to come up; by id who has not yet, in words.

        What ends at once while it is `early` lacks somebody who starts later: it is stopped, and not waited for.
        """
        for each in containers:
            self._refused.pop(each.id, None)
            try:
                if details := self.api.container(each.id):
                    _set_policy(self.api, details, each.policy)
                if each.ran and not each.running:
                    self.api.start(each.id)
            except DockerError as error:
                self._refused[each.id] = f": {error.message}"
        until = runtime.monotonic() + _UP_SECONDS
        waiting = [each for each in containers if each.ran and not each.running and each.id not in self._refused]
        begun: dict[tuple[str, str], float] = {}
        while waiting and (now := runtime.monotonic()) < until:
            for each in tuple(waiting):
                details = self.api.container(each.id)
                since = begun.setdefault((each.id, str(((details or {}).get("State") or {}).get("StartedAt"))), now)
                lacks = early and bool(details and details["State"].get("Restarting"))
                if lacks:
                    self.api.stop(each.id)
                if lacks or _up(details, steady=now - since >= _STEADY_SECONDS):
                    waiting.remove(each)
            pause(_POLL_SECONDS)
        seen = [(each, self.api.container(each.id)) for each in waiting]
        return {each.id: _slow(each.name, details) for each, details in seen if details and runs(details)}

    def leave_out(self, container: str, user: str) -> None:
        """Note that a container is not started because of who works on its data."""
        self._refused[container] = f": {user} works on its data"

    def stand_in(self, containers: Collection[str], away: Sequence[OldContainer]) -> None:
        """Have `containers` answer on the old networks to the names of those that are `away`."""
        for each in containers:
            details = self.api.container(each) or {}
            mode = str((details.get("HostConfig") or {}).get("NetworkMode"))
            if mode in ("host", "none") or mode.startswith("container:"):
                continue  # can be on no other network
            on = set((details.get("NetworkSettings") or {}).get("Networks") or {})
            for name, aliases in _names_on(away).items():
                network = self.api.network(name)
                there = network and on.intersection((name, network["Id"]))  # Compose has some by id until the start
                if network and not there and (network.get("Scope") != "swarm" or network.get("Attachable")):
                    self._given.append([each, name])
                    self._write()
                    self.api.connect_network(name, {"Container": each, "EndpointConfig": {"Aliases": aliases}})

    def networks(self) -> list[str]:
        """The names of the networks that are its own, and nobody else's: a stack may have adopted one."""
        gone = self.ended()
        others = (each for each in self.api.containers() if not (self.is_noted(each["Id"]) or each["Id"] in gone))
        used = {
            name
            for each in others
            for name in (each.get("NetworkSettings") or {}).get("Networks") or ()
            if [each["Id"], name] not in self._given
        }
        own = (str(each["Name"]) for name in self.names for each in self.api.networks(name))
        return [name for name in own if name not in used]

    def leave_networks(self) -> None:
        """Take the stack's containers off the networks that `stand_in` connected them to."""
        for container, network in self._given:
            details = self.api.container(container) or {}
            if network in ((details.get("NetworkSettings") or {}).get("Networks") or {}):
                self.api.disconnect_network(network, container)
        self._given = []


def _set_policy(api: DockerApi, details: Mapping[str, Any], policy: Mapping[str, Any]) -> None:
    if restart_policy(details)["Name"] != policy["Name"]:
        api.update(details["Id"], {"RestartPolicy": policy})


def _names_on(away: Iterable[OldContainer]) -> dict[str, list[str]]:
    """Network → the names by which these are found there; Docker's own networks know none."""
    found: dict[str, list[str]] = {}
    for old in away:
        for name, aliases in old.networks.items():
            if name not in WITHOUT_NAMES:
                found.setdefault(name, []).extend(each for each in (*aliases, old.service, old.name) if each)
    return {name: list(dict.fromkeys(aliases)) for name, aliases in found.items()}


def _up(details: Mapping[str, Any] | None, *, steady: bool) -> bool:
    """Whether a container that was started works, as far as can be seen; one that is gone is not waited for."""
    state = (details or {}).get("State") or {}
    health = (state.get("Health") or {}).get("Status")
    if not details or health not in (None, "none"):
        return not details or health == "healthy"
    works = state.get("Running") and not state.get("Restarting")
    return _ended(details) or (steady and bool(works or listeners(details)))


def _slow(name: str, details: Mapping[str, Any]) -> str:
    """What keeps a container that runs from counting as up."""
    health = (details["State"].get("Health") or {}).get("Status", "none")
    why = f"health check says {health}" if health != "none" else f"restarted {details.get('RestartCount', 0)} times"
    return f"{name} does not work yet ({why}, {_UP_SECONDS:.0f} s after it was started; docker logs {name} says more)"


def _ended(details: Mapping[str, Any]) -> bool:
    """Whether its work is done."""
    state, may_end = details.get("State") or {}, (*NEVER_RESTARTED, "on-failure")
    return state.get("Status") == "exited" and not state.get("ExitCode") and restart_policy(details)["Name"] in may_end
