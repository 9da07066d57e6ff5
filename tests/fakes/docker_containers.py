"""Containers of a simulated Docker engine as its API shows them."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import math
import re
from typing import TYPE_CHECKING, Any

from docker_objects import SECOND, Container, Refused, labelled, volume
from docker_stores import Stores
from virtual_time import EPOCH

if TYPE_CHECKING:
    import itertools
    from collections.abc import Iterator

_NOWHERE = "0001-01-01T00:00:00Z"


class Containers(Stores):
    """Makes containers, finds them, and says what they are like."""

    events: list[dict[str, Any]]
    execs: dict[str, tuple[Container, list[str]]]
    codes: dict[str, int]
    """exit codes of commands that ended"""
    _numbers: itertools.count[int]

    def _event(self, action: str, container: Container, **more: str) -> None:
        self.changes += 1
        attributes = {**container.labels, "name": container.name, "image": container.config["Image"], **more}
        self.events.append(
            {
                "Type": "container",
                "Action": action,
                "Actor": {"ID": container.id, "Attributes": attributes},
                "time": int(self._now()),
                "timeNano": int(self._now() * SECOND),
            }
        )

    def container(self, identifier: str) -> Container:
        """By id, name or the beginning of an id."""
        for each in self.containers.values():
            if identifier in (each.id, each.name):
                return each
        found = [each for each in self.containers.values() if each.id.startswith(identifier)]
        if len(found) != 1:
            raise Refused(404, f"No such container: {identifier}")
        return found[0]

    def at(self, address: str) -> Container | None:
        """The running container that has an address now."""
        return next((each for each in self.containers.values() if address in each.addresses()), None)

    def answering(self, container: Container) -> bool:
        """Whether a request to it would be answered now."""
        if container.state != "running" or container.started is None:
            return False
        return self.time.now - container.started >= container.program.ready

    def _exec(self, identifier: str, *, body: dict[str, Any], **_: Any) -> tuple[int, Any]:
        container = self.container(identifier)
        if container.state != "running":
            raise Refused(409, f"container {container.id} is not running")
        made = self._id()
        self.execs[made] = (container, [str(word) for word in body["Cmd"]])
        return 201, {"Id": made}

    def _start_exec(self, name: str, **_: Any) -> tuple[int, Any]:
        container, command = self.execs[name]
        seconds, code, output = container.program.commands.get(command[0], (0.0, 0, ""))
        run = container.run
        if command[0] in container.program.silent:
            if seconds < math.inf:
                self.time.at(self.time.now + seconds, lambda: self.codes.update({name: code}))
            return 200, b""
        while seconds > 0 and container.run == run:
            self.time.sleep(min(seconds, 1.0))
            seconds -= 1.0
        self.codes[name] = code if container.run == run else 137
        written = output.encode()
        return 200, b"\1\0\0\0" + len(written).to_bytes(4, "big") + written if written else b""

    def _inspect_exec(self, name: str, **_: Any) -> tuple[int, Any]:
        return 200, {"ID": name, "Running": name not in self.codes, "ExitCode": self.codes.get(name)}

    def _list(self, *, query: dict[str, str], **_: Any) -> tuple[int, Any]:
        wanted = json.loads(query.get("filters") or "{}")
        every = query.get("all") in ("true", "1")
        found = [
            each
            for each in reversed(self.containers.values())
            if (every or each.running or each.state == "restarting" or wanted.get("status"))
            and labelled(each.labels, wanted)
            and (not wanted.get("status") or each.state in wanted["status"])
            and (not wanted.get("name") or any(re.search(name, "/" + each.name) for name in wanted["name"]))
            and (not wanted.get("id") or any(each.id.startswith(one) for one in wanted["id"]))
        ]
        return 200, [self._entry(each) for each in found]

    def _entry(self, container: Container) -> dict[str, Any]:
        ports = [
            {"PrivatePort": private, "Type": protocol} | ({"IP": address, "PublicPort": public} if public else {})
            for private, protocol, address, public in self._ports(container)
        ]
        return {
            "Id": container.id,
            "Names": [f"/{container.name}"],
            "Image": container.config["Image"],
            "ImageID": container.image.id,
            "Created": int(EPOCH + container.created),
            "Ports": ports,
            "Labels": container.labels,
            "State": container.state,
            "Mounts": container.mounts,
            "NetworkSettings": {"Networks": {name: dict(each) for name, each in container.endpoints.items()}},
        }

    def _ports(self, container: Container) -> Iterator[tuple[int, str, str, int]]:
        if not container.running:
            return
        for target, bindings in (container.host.get("PortBindings") or {}).items():
            port, _, protocol = target.partition("/")
            for each in bindings:
                yield int(port), protocol, each.get("HostIp") or "0.0.0.0", int(each["HostPort"])  # noqa: S104

    def _inspect(self, identifier: str, **_: Any) -> tuple[int, Any]:
        container = self.container(identifier)
        ports: dict[str, Any] = {}
        for private, protocol, address, public in self._ports(container):
            ports.setdefault(f"{private}/{protocol}", []).append({"HostIp": address, "HostPort": str(public)})
        state: dict[str, Any] = {
            "Status": container.state,
            "Running": container.state in ("running", "paused", "restarting"),
            "Paused": container.state == "paused",
            "Restarting": container.state == "restarting",
            "Dead": False,
            "Pid": int(container.id[:7], 16) if container.running else 0,
            "ExitCode": container.code,
            "Error": container.error,
            "OOMKilled": container.out_of_memory,
            "StartedAt": self._moment(container.started),
            "FinishedAt": self._moment(container.ended),
        }
        if container.health is not None:
            health = container.health
            state["Health"] = {"Status": health.status, "FailingStreak": health.streak, "Log": list(health.log)}
        return 200, {
            "Id": container.id,
            "Name": f"/{container.name}",
            "Created": self._moment(container.created),
            "State": state,
            "Image": container.image.id,
            "RestartCount": container.restarts,
            "HostConfig": {"RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, **container.host},
            "Config": container.config,
            "NetworkSettings": {
                "Ports": ports,
                "Networks": {name: dict(each) for name, each in container.endpoints.items()},
            },
            "Mounts": container.mounts,
        }

    def _logs(self, identifier: str, *, query: dict[str, str], **_: Any) -> tuple[int, Any]:
        container = self.container(identifier)
        lines = [line for _, line in container.logs]
        if query.get("tail", "all") != "all":
            lines = lines[-int(query["tail"]) :]
        pieces = [f"{line}\n".encode() for line in lines]
        return 200, b"".join(b"\1\0\0\0" + len(each).to_bytes(4, "big") + each for each in pieces)

    def _changes(self, identifier: str, **_: Any) -> tuple[int, Any]:
        container = self.container(identifier)
        return 200, [{"Path": each, "Kind": 1} for each in (*container.targets.values(), *container.program.adds)]

    def _create(self, *, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        name = query.get("name") or f"unnamed_{next(self._numbers)}"
        holder = next((each for each in self.containers.values() if each.name == name), None)
        if holder is not None:
            raise Refused(
                409,
                f'Conflict. The container name "/{name}" is already in use by container "{holder.id}". '
                "You have to remove (or rename) that container to be able to reuse that name.",
            )
        image = self._find_image(str(body["Image"]))
        config = {key: value for key, value in body.items() if key not in ("HostConfig", "NetworkingConfig")}
        if image.check:
            config["Healthcheck"] = image.check | {k: v for k, v in (config.get("Healthcheck") or {}).items() if v}
        host = body.get("HostConfig") or {}
        mode = str(host.get("NetworkMode") or "bridge")
        wanted = (body.get("NetworkingConfig") or {}).get("EndpointsConfig") or {mode: {}}
        if mode.startswith("container:"):
            wanted = {}
        container = Container(self._id(), name, image, config, host, {}, self.time.now)
        for network, endpoint in wanted.items():
            self._attach(container, self._find_network("bridge" if network == "default" else network), endpoint or {})
        for mount in host.get("Mounts") or ():
            if mount.get("Type") == "volume":
                name = mount.get("Source") or self._id()
                self.volumes.setdefault(name, volume(name, {}, self._moment(self.time.now)))
                container.volumes.append(name)
                container.targets[name] = str(mount.get("Target", ""))
            elif mount.get("Type") == "bind" and not mount.get("ReadOnly"):
                container.binds.append(str(mount["Source"]))
        container.command = [str(word) for word in (body.get("Cmd") or ())]
        container.program = image.behaviour(container.environment, container.command)
        self.containers[container.id] = container
        self._event("create", container)
        return 201, {"Id": container.id, "Warnings": []}

    def _rename(self, identifier: str, *, query: dict[str, str], **_: Any) -> tuple[int, Any]:
        container = self.container(identifier)
        if any(each.name == query["name"] for each in self.containers.values()):
            raise Refused(409, f'Conflict. The container name "/{query["name"]}" is already in use')
        container.name = query["name"]
        self._event("rename", container)
        return 204, None

    def _update(self, identifier: str, *, body: dict[str, Any], **_: Any) -> tuple[int, Any]:
        self.container(identifier).host.update(body)
        return 200, {"Warnings": []}

    def _id(self) -> str:
        return hashlib.sha256(f"{id(self)}-{next(self._numbers)}".encode()).hexdigest()

    def _now(self) -> float:
        return EPOCH + self.time.now

    def _moment(self, when: float | None) -> str:
        if when is None:
            return _NOWHERE
        fraction, whole = math.modf(EPOCH + when)
        at = dt.datetime.fromtimestamp(whole, dt.UTC)
        return f"{at:%Y-%m-%dT%H:%M:%S}.{round(fraction * 1e9):09d}Z"
