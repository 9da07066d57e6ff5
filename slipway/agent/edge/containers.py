"""The edge's containers: what they serve, and that one is never removed before its successor serves."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import socket
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent import runtime
from slipway.agent.docker.docker_api import PROJECT_LABEL
from slipway.agent.edge.network import EDGE_LABEL
from slipway.agent.edge.rendering import marker, text
from slipway.agent.edge.static_config import FOLDER, GRACE_SECONDS, OWNER, shared, static
from slipway.agent.edge.traefik_api import TraefikApi
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from slipway.agent.deadline import Deadline
    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.edge.edge_dir import EdgeFolder
    from slipway.agent.edge.static_config import Desired

__all__ = ["STANDBY_PORTS", "EdgeContainer", "EdgeContainers"]

STANDBY_PORTS = range(8950, 9000)
"""Where an edge listens while something else still holds its own ports."""
_NUMBER, _API_PORT = f"{EDGE_LABEL}.number", f"{EDGE_LABEL}.api-port"
_CONFIGURATION, _VERSION, _IMAGE = f"{EDGE_LABEL}.configuration", f"{EDGE_LABEL}.version", f"{EDGE_LABEL}.image"
_HTTP, _HTTPS = f"{EDGE_LABEL}.http-port", f"{EDGE_LABEL}.https-port"
_API_PORTS = range(8650, 8950)  # two of them at most are in use
_READY_SECONDS, _LIVE_SECONDS, _SHOWN_SECONDS = 30.0, 10.0, 2.0
_POLL_SECONDS, _LIVE_POLL_SECONDS = 0.02, 0.004
# Traefik gives the new routers to its entry points one after the other, its API's possibly first, with nothing to
# wait for in between.
_SETTLE_SECONDS = 0.01
_LEAVE_SECONDS = 2.0
"""Time in which clients that keep a connection are asked to make another one, before the old edge stops."""


class EdgeContainer(NamedTuple):
    """One of the edge's containers, from its labels."""

    id: str
    name: str
    number: int
    state: str
    api_port: int
    http_port: int
    https_port: int | None
    configuration: str
    version: str
    image: str

    @property
    def standby(self) -> bool:
        return self.http_port in STANDBY_PORTS

    @property
    def running(self) -> bool:
        return self.state == "running"


class EdgeContainers:
    """Finds and changes the edge's containers; the caller holds the edge's lock for every change."""

    def __init__(self, api: DockerApi, folder: EdgeFolder) -> None:
        self._api = api
        self._folder = folder
        # Another user of this host has a folder, and with it an edge, of his own.
        self._owner = hashlib.sha256(folder.path.encode()).hexdigest()[:6]
        self.steering = f"slipway-edge-{self._owner}-steering"

    def find(self) -> list[EdgeContainer]:
        """All of them in any state, the newest last; no stack's container, whose image may have that label."""
        listed = self._api.containers({EDGE_LABEL: self._owner})
        ours = (_container(each) for each in listed if PROJECT_LABEL not in (each.get("Labels") or {}))
        return sorted(ours, key=lambda each: each.number)

    def running(self) -> list[EdgeContainer]:
        return [each for each in self.find() if each.running]

    def on_standby(self, wanted: Desired, running: Sequence[EdgeContainer]) -> Desired:
        """`wanted` on ports that nobody uses: those of a container that runs so already, or free ones."""
        own = next((each for each in reversed(running) if each.standby), None)
        free = (port for port in STANDBY_PORTS if _free(port))
        http = own.http_port if own else next(free)
        https = wanted.https_port and ((own and own.https_port) or next(free))
        return wanted._replace(http_port=http, https_port=https)

    def configuration(self, wanted: Desired) -> str:
        """Changes with whatever a container cannot change while it runs, and with what it is given as it starts."""
        content = [static(wanted, 0, 0), self._body(wanted, 0, 0, ""), shared((0,))]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def publish_shared(self, numbers: Iterable[int], leaving: Iterable[int] = ()) -> str:
        """Write the file that belongs to no stack; its marker."""
        name = marker(OWNER, f"{time.time_ns():x}")
        content = shared(numbers, leaving, certificate=self._folder.has_certificate())
        self._folder.publish(self._folder.shared, text(content, name, None))
        return name

    def start(self, wanted: Desired, others: list[EdgeContainer], deadline: Deadline) -> EdgeContainer:
        """Start one more beside `others` and wait until it has all routes; nothing of it is left when it does not."""
        number = max((each.number for each in others), default=0) + 1
        in_use = {each.api_port for each in others}
        first = int(self._owner, 16) % len(_API_PORTS)  # another user's edge, which may start now, begins elsewhere
        candidates = [*_API_PORTS[first:], *_API_PORTS[:first]]
        port = next(port for port in candidates if port not in in_use and _free(port))
        self._folder.put(f"static-{number}.yaml", json.dumps(static(wanted, number, port)))
        self.publish_shared([*(each.number for each in others), number])
        body = self._body(wanted, number, port, self.configuration(wanted))
        identifier = self._api.create_container(f"slipway-edge-{self._owner}-{number}", body)
        try:
            self._api.start(identifier)
            self.wait_ready(identifier, port, deadline)
        except BaseException:
            self._api.remove(identifier)
            self.publish_shared(each.number for each in others)
            raise
        return next(each for each in self.find() if each.id == identifier)

    def hand_over(self, leaving: list[EdgeContainer], staying: EdgeContainer | None, deadline: Deadline) -> None:
        """Let `leaving` end what they are at, and remove them; new requests reach `staying` or another proxy."""
        kept = [staying.number] if staying else []
        numbers = [*kept, *(each.number for each in leaving)]
        running = [each for each in leaving if each.running]
        if running:
            name = self.publish_shared(numbers, [each.number for each in running])
            for each in running:
                _wait_shown(each, name, runtime.monotonic() + _SHOWN_SECONDS)
            deadline.pause(_LEAVE_SECONDS)
        for each in leaving:
            self._api.stop(each.id, GRACE_SECONDS + 10)
            self._api.remove(each.id)
        self.publish_shared(kept)
        if staying:
            self._folder.keep_static(staying.number)

    def ready(self, port: int) -> bool:
        """Whether a container answers and has every file of routes."""
        with contextlib.closing(TraefikApi(port)) as api:
            return api.ready() and all(api.shows(each) for each in self._folder.markers())

    def wait_ready(self, identifier: str, port: int, deadline: Deadline) -> None:
        """Wait until a container is ready."""
        until = runtime.monotonic() + min(_READY_SECONDS, deadline.remaining())
        while not self.ready(port):
            state = (self._api.container(identifier) or {}).get("State", {})
            if not state.get("Running") or state.get("Restarting") or runtime.monotonic() > until:
                raise SlipwayError(
                    f"the edge's container does not serve (it is {state.get('Status', 'gone')})",
                    "the routes of this host's stacks are unchanged",
                    "see its last lines above, fix what they name, then run it again",
                    [f"| {line}" for line in self._api.logs(identifier)],
                )
            deadline.pause(_POLL_SECONDS)

    def see_live(self, stack: str, name: str, running: Sequence[EdgeContainer], deadline: Deadline) -> None:
        """Wait until every running container has what was written under the marker `name`."""
        until = runtime.monotonic() + min(_LIVE_SECONDS, deadline.remaining())
        for each in running:
            with contextlib.closing(TraefikApi(each.api_port)) as api:
                while not api.shows(name) or (faults := api.faults(f"{stack}~")) is None:
                    if runtime.monotonic() > until:
                        raise self._not_taken(stack, name, each, api)
                    deadline.pause(_LIVE_POLL_SECONDS)
            if faults:
                raise SlipwayError(
                    f"Traefik does not accept the routes of {stack}: {faults[0]}",
                    "the previous routes are back",
                    "fix what it names in x-slipway of the Compose file, then run it again",
                    [f"| {fault}" for fault in faults],
                )
        runtime.sleep(_SETTLE_SECONDS)

    def _not_taken(self, stack: str, name: str, container: EdgeContainer, api: TraefikApi) -> SlipwayError:
        status, body = api.get(f"/api/http/middlewares/{name}@file")
        answer = f"its API answered {status}: {body.decode('utf-8', 'replace').strip()}"
        return SlipwayError(
            f"the routes of {stack} did not become live in {container.name}",
            f"{self._folder.routes_of(stack)} was written as {name}, but {answer}; the previous routes are back",
            f"docker logs {container.name}",
            [f"| {line}" for line in self._api.logs(container.id)],
        )

    def see_back(self, path: str, running: Sequence[EdgeContainer]) -> None:
        """Wait a moment until what was there before is live again; that it is not hides no other failure."""
        name, until = self._folder.marker(path), runtime.monotonic() + _SHOWN_SECONDS
        if name is not None:
            for each in running:
                _wait_shown(each, name, until)

    def _body(self, wanted: Desired, number: int, port: int, configuration: str) -> dict[str, Any]:
        capabilities = ["NET_BIND_SERVICE"]
        if os.getuid() != 0:
            capabilities.append("DAC_OVERRIDE")  # the files are this user's, 0600
        ports = {} if wanted.https_port is None else {_HTTPS: str(wanted.https_port)}
        return {
            "Image": wanted.image,
            "Cmd": [f"--configFile={FOLDER}/static-{number}.yaml"],
            "WorkingDir": FOLDER,  # where Traefik looks for plugins
            "User": "0:0",
            "StopSignal": "SIGTERM",
            "StopTimeout": GRACE_SECONDS + 10,
            "Labels": {
                EDGE_LABEL: self._owner,
                _NUMBER: str(number),
                _API_PORT: str(port),
                _HTTP: str(wanted.http_port),
                **ports,
                _CONFIGURATION: configuration,
                _VERSION: wanted.version,
                _IMAGE: wanted.image,
            },
            "HostConfig": {
                "NetworkMode": "host",
                "RestartPolicy": {"Name": "always"},  # `unless-stopped` stays down when dockerd was killed
                "ReadonlyRootfs": True,
                "CapDrop": ["ALL"],
                "CapAdd": capabilities,
                "SecurityOpt": ["no-new-privileges"],
                "Binds": [
                    f"{self._folder.path}:{FOLDER}:ro",
                    f"{self._folder.acme}:{FOLDER}/acme",
                    f"{self._folder.temporary}:/tmp",  # for bodies that Traefik has to buffer
                ],
                "LogConfig": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "5"}},
            },
        }


def _wait_shown(container: EdgeContainer, name: str, until: float) -> None:
    """Wait for a container to have a file; one that hangs must not keep its successor from serving."""
    with contextlib.closing(TraefikApi(container.api_port)) as api:
        while not api.shows(name) and runtime.monotonic() < until:
            runtime.sleep(_LIVE_POLL_SECONDS)


def _container(listed: Mapping[str, Any]) -> EdgeContainer:
    labels = listed["Labels"]
    https = labels.get(_HTTPS)
    return EdgeContainer(
        id=listed["Id"],
        name=listed["Names"][0].lstrip("/"),
        number=int(labels[_NUMBER]),
        state=listed["State"],
        api_port=int(labels[_API_PORT]),
        http_port=int(labels[_HTTP]),
        https_port=int(https) if https else None,
        configuration=labels[_CONFIGURATION],
        version=labels[_VERSION],
        image=labels[_IMAGE],
    )


def _free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
