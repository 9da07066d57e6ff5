"""The containers of the project that a stack takes over from: noted before the first is touched, none ever removed."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent import runtime
from slipway.agent.docker.docker_api import PROJECT_LABEL, DockerError
from slipway.agent.docker.facts import NEVER_RESTARTED, SERVICE_LABEL, SHORT_ID
from slipway.agent.docker.stop import grace
from slipway.agent.edge.metrics import listeners
from slipway.agent.edge.network import EDGE_LABEL
from slipway.agent.move.shared_data import data_of
from slipway.agent.state.atomic_files import read_object, remove_files, write_atomically
from slipway.contract.published_ports import held_ports

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.state.stack_dir import StackFolder

__all__ = [
    "FINISHED", "FOLDER_LABEL", "MOVED", "MOVING", "NOTES", "OPEN", "UNDOING", "UNDONE", "OldContainer",
    "OldProject",
]  # fmt: skip

MOVING, MOVED, UNDOING, UNDONE, FINISHED = "moving", "moved", "undoing", "undone", "finished"
OPEN = (MOVING, MOVED, UNDOING)
"""States in which it can be given back to."""
NOTES = "move.json"
_UP_SECONDS, _POLL_SECONDS, _STEADY_SECONDS = 60.0, 0.1, 2.0
_WITHOUT_NAMES = ("bridge", "host", "none")  # Docker's own networks
_UNLESS_STOPPED = "unless-stopped"
_SWARM_LABEL = "com.docker.swarm.task.id"  # whatever somebody stops of a swarm, it starts again
_ONE_OFF_LABEL = "com.docker.compose.oneoff"
FOLDER_LABEL = "com.docker.compose.project.working_dir"


class OldContainer(NamedTuple):
    """One of them, as it was when it was noted; `running` is as it is now."""

    id: str
    name: str
    service: str
    created: str
    policy: dict[str, Any]
    ports: tuple[int, ...]  # of the host
    mounts: tuple[str, ...]
    """data that it may write to (see `shared_data`)"""
    networks: dict[str, list[str]]  # name → its aliases there
    running: bool = True


class OldProject:
    """The one whose move can still be undone, else what `names` are: projects and containers."""

    def __init__(self, folder: StackFolder, api: DockerApi, names: Sequence[str] = ()) -> None:
        self.api, self._stack = api, folder.stack
        self._path = os.path.join(folder.path, NOTES)
        noted = read_object(self._path)
        other = bool(names) and noted.get("names") != list(names)
        if other and noted.get("state") not in OPEN:
            noted = {}
        self.state = str(noted.get("state", ""))
        self.more = other and self.state == MOVING
        """whether `names` may name containers that are not noted yet"""
        self.names: Sequence[str] = names if self.more else noted.get("names") or names
        self.alone = bool(noted.get("alone"))
        """whether nothing of the stack ran when it began to take over, so that no release of its own is to come back"""
        self.beside: Sequence[str] | None = noted.get("beside")
        """who else worked on its data before the move; None before the move begins"""
        self._stopping: Sequence[str] = noted.get("stopping", ())
        self._noted = [_container(each) for each in noted.get("containers", ())]
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
            each._replace(running=_runs(details), mounts=data_of(details, self.api))
            for each, details in seen
            if details
        ]

    def is_noted(self, container: str) -> bool:
        """Whether a container, by its whole id, is one of them."""
        return any(container.startswith(each.id) for each in self._noted)

    def lost(self) -> list[str]:
        """Which of those that were noted do not run, in words; not those that ended well by themselves."""
        found = []
        for each in self._noted:
            if self.api.container(each.id) is None:
                found.append(f"{each.name} was removed and is not there to start")
            elif self._lost(each):
                found.append(f"{each.name} does not run{self._refused.get(each.id, '')}")
        return found

    def _lost(self, old: OldContainer) -> bool:
        details = self.api.container(old.id)
        state = details["State"] if details else {"Running": True}
        return not state.get("Running") and bool(old.id in self._refused or state.get("ExitCode"))

    def containers(self) -> list[OldContainer]:
        """Those that were noted for this move, or else those that run now; in the order of their making."""
        noted = self.noted() if self.open else []
        if self.open and not self.more:
            return noted
        every = (self.api.container(each["Id"]) for each in self.api.containers() if self._is_one(each))
        found = [_read(details, self.api) for details in every if details and _runs(details)]
        found += self.down()  # the next undo tries again
        known = {each.id for each in noted}
        return noted + sorted((each for each in found if each.id not in known), key=lambda each: each.created)

    def down(self) -> list[OldContainer]:
        """What an undo was to start, and does not run."""
        return [each for each in self.noted() if each.id in self._down and not each.running]

    def ended(self) -> dict[str, str]:
        """Those of the same folder that had ended before the move, so that nobody noted them: names by id."""
        every = [each for each in self.api.containers() if self._is_one(each)]
        folders = {_folder(each) for each in every if self.is_noted(each["Id"])}
        listed = (each for each in every if each.get("State") == "exited" and _folder(each) in folders)
        return {each["Id"]: str(each["Names"][0]).lstrip("/") for each in listed if not self.is_noted(each["Id"])}

    def _is_one(self, listed: Mapping[str, Any]) -> bool:
        labels, wanted = listed.get("Labels") or {}, self.names
        names = (str(each).lstrip("/") for each in listed.get("Names") or ())
        own = labels.get(PROJECT_LABEL) == self._stack or EDGE_LABEL in labels
        in_project = labels.get(PROJECT_LABEL) in wanted and labels.get(_ONE_OFF_LABEL) != "True"
        return _SWARM_LABEL not in labels and not own and (in_project or not set(wanted).isdisjoint(names))

    def note(self, state: str) -> None:
        """Note how far it is; in the beginning also which containers run."""
        if state == MOVING:
            noted = self._noted if self.open else []
            known = {each.id for each in noted}
            self._noted = [*noted, *(each for each in self.containers() if each.id not in known)]
        self._down = [each.id for each in self._noted if self._lost(each)] if state == UNDONE else ()
        self.state, self.more = state, False
        self._write(self._stopping)

    def forget(self) -> None:
        """Be as before the move began."""
        self.state, self._noted = "", []
        remove_files(self._path)

    def _write(self, stopping: Sequence[str] = ()) -> None:
        self._stopping = stopping
        noted = [each._asdict() for each in self._noted]
        content = {"names": list(self.names), "state": self.state, "alone": self.alone, "beside": self.beside,
                   "stopping": stopping, "containers": noted, "down": self._down}  # fmt: skip
        write_atomically(self._path, json.dumps(content).encode())

    def stop(self, containers: Iterable[str]) -> None:
        """Stop them so that nothing but `start` starts them again."""
        self._write(list(containers))
        self.finish_stops()

    def finish_stops(self) -> None:
        """Stop to the end what a run that was cut off was stopping: it looks as if it ran until its time is over."""
        for each in self._stopping:
            if details := self.api.container(each):
                self._set_policy(each, {"Name": self._resting(details)})
                self.api.stop(each, grace(details))
        self._write()

    def _resting(self, details: Mapping[str, Any]) -> str:
        """The policy of what is stopped: of the stack's own what worked must not look as if its work was done."""
        if details["Id"][:SHORT_ID] in {each.id for each in self._noted}:
            return "no"
        return _UNLESS_STOPPED if _runs(details) or _policy(details)["Name"] == _UNLESS_STOPPED else "no"

    def start(self, containers: Sequence[OldContainer], pause: Callable[[float], None]) -> dict[str, str]:
        """Start them as they were, one after the other, each with time to come up; by id who has not yet, in words."""
        for each in containers:
            self._refused.pop(each.id, None)
            try:
                self._set_policy(each.id, each.policy)
                if not each.running:
                    self.api.start(each.id)
            except DockerError as error:
                self._refused[each.id] = f": {error.message}"
        until = runtime.monotonic() + _UP_SECONDS
        waiting = [each for each in containers if not each.running and each.id not in self._refused]
        begun: dict[tuple[str, str], float] = {}
        while waiting and (now := runtime.monotonic()) < until:
            for each in tuple(waiting):
                details = self.api.container(each.id)
                since = begun.setdefault((each.id, str(((details or {}).get("State") or {}).get("StartedAt"))), now)
                if _up(details, steady=now - since >= _STEADY_SECONDS):
                    waiting.remove(each)
            pause(_POLL_SECONDS)
        return {each.id: f"{each.name} does not work yet" for each in waiting if _runs(self.api.container(each.id))}

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
                network = self.api.network(name) if name not in on else None
                if network and (network.get("Scope") != "swarm" or network.get("Attachable")):
                    self.api.connect_network(name, {"Container": each, "EndpointConfig": {"Aliases": aliases}})

    def networks(self) -> list[str]:
        """The names of the networks that are its own."""
        return [str(each["Name"]) for name in self.names for each in self.api.networks(name)]

    def leave_networks(self, stack: str) -> list[str]:
        """Take the stack's containers off the project's own networks, except what they were made on; their names."""
        names = self.networks()
        for entry in self.api.containers({PROJECT_LABEL: stack}):
            attached = (entry.get("NetworkSettings") or {}).get("Networks") or {}
            own = ((entry.get("HostConfig") or {}).get("NetworkMode"), *attached)[0]
            for name in names:
                if name in attached and name != own:
                    self.api.disconnect_network(name, entry["Id"])
        return names

    def _set_policy(self, container: str, policy: Mapping[str, Any]) -> None:
        details = self.api.container(container)
        if details and _policy(details)["Name"] != policy["Name"]:
            self.api.update(container, {"RestartPolicy": policy})


def _folder(listed: Mapping[str, Any]) -> str:
    return str((listed.get("Labels") or {}).get(FOLDER_LABEL) or "")


def _read(details: Mapping[str, Any], api: DockerApi) -> OldContainer:
    labels = details["Config"].get("Labels") or {}
    settings = details.get("NetworkSettings") or {}
    short = str(details["Id"])[:SHORT_ID]
    return OldContainer(
        id=short,
        name=str(details["Name"]).lstrip("/"),
        service=str(labels.get(SERVICE_LABEL, "")),
        created=str(details.get("Created") or ""),
        policy=_policy(details),
        ports=tuple(sorted(held_ports(details))),
        mounts=data_of(details, api),
        networks={
            name: [alias for alias in (each or {}).get("Aliases") or () if alias != short]
            for name, each in (settings.get("Networks") or {}).items()
        },
    )


def _names_on(away: Iterable[OldContainer]) -> dict[str, list[str]]:
    """Network → the names by which these are found there; Docker's own networks know none."""
    found: dict[str, list[str]] = {}
    for old in away:
        for name, aliases in old.networks.items():
            if name not in _WITHOUT_NAMES:
                found.setdefault(name, []).extend(each for each in (*aliases, old.service, old.name) if each)
    return {name: list(dict.fromkeys(aliases)) for name, aliases in found.items()}


def _container(noted: Mapping[str, Any]) -> OldContainer:
    return OldContainer(**{**noted, "ports": tuple(noted["ports"]), "mounts": tuple(noted["mounts"])})


def _policy(details: Mapping[str, Any]) -> dict[str, Any]:
    return dict((details.get("HostConfig") or {}).get("RestartPolicy") or {"Name": "no"})


def _runs(details: Mapping[str, Any] | None) -> bool:
    return details is not None and bool(details["State"].get("Running"))


def _up(details: Mapping[str, Any] | None, *, steady: bool) -> bool:
    """Whether a container that was started works, as far as can be seen; one that is gone is not waited for."""
    state = (details or {}).get("State") or {}
    health = (state.get("Health") or {}).get("Status")
    if not details or health not in (None, "none"):
        return not details or health == "healthy"
    works = state.get("Running") and not state.get("Restarting")
    return _ended(details) or (steady and bool(works or listeners(details)))


def _ended(details: Mapping[str, Any]) -> bool:
    """Whether its work is done."""
    state, may_end = details.get("State") or {}, (*NEVER_RESTARTED, "on-failure")
    return state.get("Status") == "exited" and not state.get("ExitCode") and _policy(details)["Name"] in may_end
