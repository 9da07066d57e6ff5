"""A Docker engine in memory: the part of its API that the agent uses, with its behaviour in virtual time.

`test_fake_docker_is_true` runs the same scenarios against this and against the real engine.
"""

from __future__ import annotations

import functools
import ipaddress
import itertools
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from docker_lifecycle import Lifecycle
from docker_objects import SECOND, Container, Image, Network, Refused, labelled
from programs import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from virtual_time import VirtualTime

__all__ = ["Container", "FakeDocker", "Image"]

_LATENCY = 0.001


class FakeDocker(Lifecycle):
    """The engine of one host."""

    def __init__(self, time: VirtualTime, registry: Mapping[str, Image]) -> None:
        self.time = time
        self.registry = registry
        """reference → image"""
        self.images: dict[str, Image] = {}
        self.containers: dict[str, Container] = {}
        self.networks: dict[str, Network] = {}
        self.volumes: dict[str, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        self.execs, self.codes = {}, {}
        self.changes = 0
        """goes up with whatever could change an answer"""
        self.down = False
        self.handed: set[str] = set()
        """containers that got secrets and configs which are no files of the host"""
        self.passed = []
        """whether the engine does not answer"""
        self.mutating: Callable[[str], None] = lambda _: None
        """called before and after each request that changes something"""
        self._answered: dict[tuple[int, str], tuple[int, bytes]] = {}
        self._numbers = itertools.count(1)
        self._routes = [(verb, re.compile(pattern), action) for verb, pattern, action in self._actions()]
        for name in ("bridge", "host", "none"):
            subnet = ipaddress.IPv4Network("172.17.0.0/16")
            self.networks[name] = Network(name, self._id(), subnet, {}, {"Driver": name})

    def handle(self, method: str, target: str, body: bytes = b"") -> tuple[int, bytes]:
        """One request; status and body of its answer."""
        path, query = _parsed(target)
        changes = method != "GET"
        what = f"{method} {path}"
        if changes:
            self.time.sleep(_LATENCY)
        if self.down:
            raise ConnectionRefusedError(111, "Connection refused")
        if changes:
            self.mutating(f"before {what}")
        elif (self.changes, target) in self._answered:
            return self._answered[self.changes, target]
        try:
            status, content = self._answer(method, path, query, json.loads(body) if body else {})
        except Refused as error:
            return error.status, json.dumps({"message": str(error)}).encode()
        answer = (
            status,
            content if isinstance(content, bytes) else b"" if content is None else json.dumps(content).encode(),
        )
        if changes:
            self.changes += 1
            self.mutating(f"after {what}")
        elif path.startswith("/containers"):
            self._answered = {key: each for key, each in self._answered.items() if key[0] == self.changes}
            self._answered[self.changes, target] = answer
        return answer

    def _answer(self, method: str, path: str, query: dict[str, str], body: dict[str, Any]) -> tuple[int, Any]:
        for verb, pattern, action in self._routes:
            found = pattern.fullmatch(path) if verb == method else None
            if found:
                return action(*map(unquote, found.groups()), query=query, body=body)
        raise Refused(404, "page not found")

    def _actions(self) -> list[tuple[str, str, Callable[..., tuple[int, Any]]]]:
        one = r"/containers/([^/]+)"
        return [
            ("GET", "/version", self._version),
            ("GET", "/info", self._info),
            ("GET", "/events", self._events),
            ("GET", "/containers/json", self._list),
            ("GET", f"{one}/json", self._inspect),
            ("GET", f"{one}/logs", self._logs),
            ("GET", f"{one}/changes", self._changes),
            ("POST", "/containers/create", self._create),
            ("POST", f"{one}/start", self._start),
            ("POST", f"{one}/stop", self._stop),
            ("POST", f"{one}/restart", self._restart),
            ("POST", f"{one}/kill", self._kill),
            ("POST", f"{one}/rename", self._rename),
            ("POST", f"{one}/update", self._update),
            ("POST", f"{one}/pause", self._pause),
            ("POST", f"{one}/unpause", self._unpause),
            ("POST", f"{one}/wait", self._wait),
            ("DELETE", one, self._remove),
            ("POST", f"{one}/exec", self._exec),
            ("POST", r"/exec/([^/]+)/start", self._start_exec),
            ("GET", r"/exec/([^/]+)/json", self._inspect_exec),
            ("GET", "/networks", self._list_networks),
            ("GET", r"/networks/([^/]+)", self._inspect_network),
            ("POST", "/networks/create", self._create_network),
            ("POST", r"/networks/([^/]+)/connect", self._connect),
            ("POST", r"/networks/([^/]+)/disconnect", self._disconnect),
            ("DELETE", r"/networks/([^/]+)", self._remove_network),
            ("GET", "/volumes", self._list_volumes),
            ("GET", r"/volumes/([^/]+)", self._inspect_volume),
            ("POST", "/volumes/create", self._create_volume),
            ("DELETE", r"/volumes/([^/]+)", self._remove_volume),
            ("POST", "/images/create", self._pull),
            ("GET", r"/images/(.+)/json", self._inspect_image),
            ("DELETE", r"/images/(.+)", self._remove_image),
        ]

    def _version(self, **_: Any) -> tuple[int, Any]:
        return 200, {"Version": "28.0.0", "ApiVersion": "1.48", "Arch": "amd64"}

    def _info(self, **_: Any) -> tuple[int, Any]:
        return 200, {"DockerRootDir": "/var/lib/docker", "Plugins": {"Volume": ["local"]}}

    def _events(self, *, query: dict[str, str], **_: Any) -> tuple[int, Any]:
        """What happened between `since` and `until`; the stream that has no end is not here."""
        since, until = (float(query.get(name) or default) for name, default in (("since", 0), ("until", NEVER)))
        wanted = json.loads(query.get("filters") or "{}")
        found = [
            each
            for each in self.events
            if since <= each["timeNano"] / SECOND <= until
            and (not wanted.get("type") or each["Type"] in wanted["type"])
            and (not wanted.get("event") or each["Action"] in wanted["event"])
            and labelled(each["Actor"]["Attributes"], wanted)
        ]
        return 200, b"".join(json.dumps(each).encode() + b"\n" for each in found)


@functools.cache
def _parsed(target: str) -> tuple[str, dict[str, str]]:
    """Path and query; nobody changes them."""
    path, _, query = target.partition("?")
    return path, dict(parse_qsl(query))
