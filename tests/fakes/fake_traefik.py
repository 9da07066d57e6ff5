"""Traefik as the edge runs it: takes over what is written to its folder a moment later, and sends requests on.

A container of the fake engine: it serves while that runs. Which containers get requests is read from the dynamic
configuration itself, so that a wrong route shows here as it would to a visitor.
"""

from __future__ import annotations

import collections
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from programs import NEVER, Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from fake_docker import Container, FakeDocker

_TAKES_OVER = 0.06  # it waits 50 ms for more to come
_STARTS = 0.25
_GOLDEN = 0.6180339887  # its multiples spread evenly
_BOUNDS = tuple(float(f"{0.001 * 1.25**step:.3g}") for step in range(48))


class Server(NamedTuple):
    """A container that requests go to."""

    generation: str
    """of the load balancer, as Traefik names it: stack~service~generation"""
    address: str
    port: int
    weight: int


@dataclass
class _Counters:
    codes: collections.Counter[str] = field(default_factory=collections.Counter)
    buckets: collections.Counter[float] = field(default_factory=collections.Counter)


class FakeTraefik:
    """One container of the edge."""

    def __init__(self, engine: FakeDocker, container: Container) -> None:
        self.engine = engine
        self.container = container
        self.run = container.run
        binds = dict(each.split(":")[1::-1] for each in container.host["Binds"])
        self.folder = Path(binds["/edge"])
        self._routes = str(self.folder / "routes")
        name = container.config["Cmd"][0].rpartition("/")[2]
        static = json.loads((self.folder / name).read_text())
        self.points = {point: int(each["address"].rpartition(":")[2]) for point, each in static["entryPoints"].items()}
        self.http: dict[str, dict[str, Any]] = {}
        self.counters: dict[str, _Counters] = collections.defaultdict(_Counters)
        self.stuck = False
        """whether it takes nothing over any more"""
        self._seen: object = None
        self._found: dict[tuple[Any, ...], list[Server]] = {}
        self._strips: dict[tuple[str, str], str] = {}
        """host and path of a request → what is taken off the path"""
        self._turns: collections.Counter[str] = collections.Counter()

    @property
    def alive(self) -> bool:
        return self.container.state == "running" and self.container.run == self.run

    @property
    def serves(self) -> bool:
        return self.alive and self.engine.answering(self.container)

    def look(self) -> None:
        """See what is written now; it is live a moment later."""
        if not self.alive:
            return
        seen = self._signature()
        if seen != self._seen:
            self._seen = seen
            age = self.engine.time.now - (self.container.started or 0.0)
            self.engine.time.at(self.engine.time.now + max(_TAKES_OVER, _STARTS - 0.01 - age), self.take_over)
            self.engine.mutating("after routes were written")

    def _signature(self) -> object:
        try:
            return {(each.name, each.inode(), each.stat().st_mtime_ns) for each in os.scandir(self._routes)}
        except FileNotFoundError:
            return None

    def take_over(self) -> None:
        """Serve what is written now."""
        if self.stuck:
            return
        http: dict[str, dict[str, Any]] = {"routers": {}, "services": {}, "middlewares": {}}
        for path in sorted((self.folder / "routes").glob("*.yaml")):
            content = json.loads(path.read_text().partition("\n")[2]).get("http") or {}
            for kind, entries in http.items():
                entries.update(content.get(kind) or {})
        self.http = http
        self._found.clear()
        self.engine.changes += 1

    # --- its API

    def api(self, path: str) -> tuple[int, bytes]:
        """An answer on its own port."""
        if path == "/ping":
            return 200, b"OK"
        if path == "/metrics":
            return 200, "".join(self._metrics()).encode()
        if path == "/api/rawdata":
            return 200, b"{}"
        marker = re.fullmatch(r"/api/http/middlewares/(.+)@file", unquote(path))
        return (200, b"{}") if marker and marker[1] in self.http.get("middlewares", {}) else (404, b"not found")

    def _metrics(self) -> Iterator[str]:
        for name, counters in self.counters.items():
            for code, count in counters.codes.items():
                labels = f'code="{code}",method="GET",protocol="http",service="{name}@file"'
                yield f"traefik_service_requests_total{{{labels}}} {count}\n"
            for bound in (*_BOUNDS, float("inf")):
                count = sum(number for at, number in counters.buckets.items() if at <= bound)
                le = "+Inf" if bound == float("inf") else f"{bound:g}"
                labels = f'code="200",method="GET",protocol="http",service="{name}@file",le="{le}"'
                yield f"traefik_service_request_duration_seconds_bucket{{{labels}}} {count}\n"

    # --- requests

    def servers(self, host: str, path: str, headers: Mapping[str, str]) -> list[Server]:
        """All that a request may be sent to."""
        key = (host, path, *sorted(headers.items()))
        if key not in self._found:
            fitting = [
                (router["priority"], router)
                for router in self.http.get("routers", {}).values()
                if _fits(router["rule"], host, path, headers)
            ]
            router = max(fitting, key=lambda each: each[0])[1] if fitting else None
            ways = [self.http["middlewares"].get(each, {}) for each in (router or {}).get("middlewares") or ()]
            self._strips[host, path] = "".join(
                each["stripPrefix"]["prefixes"][0] for each in ways if "stripPrefix" in each
            )
            self._found[key] = list(self._reached(router["service"], 1)) if router else []
        return self._found[key]

    def routed(self) -> dict[str, list[Server]]:
        """The service that a router of visitors leads to → all that its requests may be sent to."""
        names = {
            router["service"]
            for name, router in self.http.get("routers", {}).items()
            if "~probe-" not in name and not name.endswith("~preview")
        }
        return {name: list(self._reached(name, 1)) for name in sorted(names)}

    def _reached(self, name: str, weight: int) -> Iterator[Server]:
        service = self.http["services"].get(name) or {}
        for each in (service.get("weighted") or {}).get("services") or ():
            yield from self._reached(each["name"], each["weight"])
        for each in (service.get("loadBalancer") or {}).get("servers") or ():
            address, _, port = each["url"].removeprefix("http://").rpartition(":")
            yield Server(name, address, int(port), weight)

    def request(self, host: str, path: str, headers: Mapping[str, str]) -> tuple[int, str]:
        """One request: status and body."""
        servers = self.servers(host, path, headers)
        if not servers:
            return 404, "404 page not found"
        share = [server for server in servers for _ in range(server.weight)]
        self._turns[path] += 1
        for attempt in range(3):  # as the retry middleware does
            server = share[int((self._turns[path] + attempt / 3) * _GOLDEN % 1 * len(share))]
            container = self.engine.at(server.address)
            if container and self.engine.answering(container) and container.program.listens(server.port):
                return self._answered(server, container, path.removeprefix(self._strips[host, path]) or "/")
            self.counters[server.generation].codes["502"] += 1
        return 502, "Bad Gateway"

    def _answered(self, server: Server, container: Container, path: str) -> tuple[int, str]:
        program: Program = container.program
        if self.engine.passed_on(container, path) is None:
            self.counters[server.generation].codes["502"] += 1
            return 502, "Bad Gateway"
        self._turns[container.id] += 1
        count = self._turns[container.id]
        failed = program.fails and int(count * program.fails) != int((count - 1) * program.fails)
        status, body = (500, "failed") if failed else program.answer(path)
        counters = self.counters[server.generation]
        counters.codes[str(status)] += 1
        counters.buckets[next((bound for bound in _BOUNDS if program.seconds <= bound), NEVER)] += 1
        return status, body


def traefik(started: Callable[[Container], None]) -> Callable[[Mapping[str, str], list[str]], Program]:
    """The behaviour of Traefik's image; `started` is told of each container of it."""

    def behaviour(environment: Mapping[str, str], _command: list[str]) -> Program:
        if "PAIRS" in environment:  # it redirects ports of its host, and ends
            return Program(ready=NEVER, exits=0.05, runs=started)
        return Program(ready=_STARTS, stops=0.2, runs=started)

    return behaviour


def _fits(rule: str, host: str, path: str, headers: Mapping[str, str]) -> bool:
    """Traefik's rules as far as they are written here."""
    names = {name.lower(): value for name, value in headers.items()}
    matchers: dict[str, Callable[..., bool]] = {
        "Host": lambda name: name == host.partition(":")[0],
        "Path": lambda value: path == value,
        "PathPrefix": path.startswith,
        "Header": lambda name, value: names.get(name.lower()) == value,
        "PathRegexp": lambda pattern: re.search(pattern, unquote(re.sub("(?i)%2f", "%252F", path))) is not None,
        "HeaderRegexp": lambda name, pattern: re.search(pattern, names.get(name.lower(), "")) is not None,
        "ClientIP": lambda value: value == "127.0.0.1",
    }

    def decided(match: re.Match[str]) -> str:
        return str(matchers[match[1]](*re.findall(r"`([^`]*)`", match[2])))

    text = re.sub(r"(\w+)\(((?:`[^`]*`(?:, )?)+)\)", decided, rule)
    assert re.fullmatch(r"[TrueFals&| ()!]+", text), rule
    text = text.replace("&&", "and").replace("||", "or").replace("!", "not ")
    return bool(eval(text))  # noqa: S307 - True, False, and, or, not alone
