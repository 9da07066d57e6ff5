"""Whether a route answers: its containers are asked before requests move to them, then the edge, as a visitor would.

Anything passes that is not silence, 502, 503 or 504: what a good answer is, only smoke checks can know.
"""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent import runtime
from slipway.agent.deadline import Deadline
from slipway.agent.edge.metrics import listeners
from slipway.agent.edge.routing import GENERATION_HEADER
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.docker.facts import Container
    from slipway.agent.edge.edge import Edge
    from slipway.agent.strategies.service import Service
    from slipway.contract.deployment import Route, ServiceEntry

__all__ = ["RouteCheck"]

_LOST = (http.client.BAD_GATEWAY, http.client.SERVICE_UNAVAILABLE, http.client.GATEWAY_TIMEOUT)
_CONNECT_SECONDS = 2.0
_PAUSE_SECONDS = 0.1
# How long an answer may be waited for: what listens elsewhere already will hardly come to the route's port any more.
_HEALTHY_ELSEWHERE_SECONDS = 10.0
_ELSEWHERE_SECONDS = 30.0
_ANSWER_SECONDS = 30.0
_EDGE_SECONDS = 10.0
"""Visitors may be getting the same answer meanwhile."""
_LOG_LINES = 20


class _Refusal(NamedTuple):
    """Why a container does not get requests yet, and for how many seconds that may be so."""

    what: str
    meaning: str
    fix: str
    patience: float
    evidence: tuple[str, ...] = ()


class RouteCheck:
    """Asks for the routes of one release's services; `health_deadline` is in seconds."""

    def __init__(
        self,
        entries: Mapping[str, ServiceEntry],
        *,
        edge: Edge,
        api: DockerApi,
        deadline: Deadline,
        health_deadline: float,
    ) -> None:
        self._entries = entries
        self._edge = edge
        self._api = api
        self._deadline = deadline
        self._health_deadline = health_deadline
        self._passed: set[str] = set()

    def take_time(self) -> None:
        """Ask from now on however long all else took: a rollback is over only when its routes were asked for."""
        self._deadline = Deadline(self._health_deadline + _ANSWER_SECONDS, "asking for the routes")

    def before(self, service: Service, containers: Sequence[Container], *, ask: bool = True) -> None:
        """Wait until the containers that are to get requests listen on the route's port, and answer if we `ask`.

        Raises:
            SlipwayError: one does not, though it may not be missing (`max_failure_ratio`); names what it listens on.
        """
        entry = self._entries[service.name]
        if entry.smoke is None or not entry.routes:
            return
        update = service.traffic.update
        ratio = 1.0 if update.failure_action == "continue" else update.max_failure_ratio
        tolerated = max(0, min(int(ratio * len(containers)), len(containers) - 1))
        begin = runtime.monotonic()
        while True:
            refusals = []
            for each in containers:
                refusal = self._refusal(entry, service.name, each, ask=ask) if each.id not in self._passed else None
                if refusal is None:
                    self._passed.add(each.id)
                else:
                    refusals.append((each, refusal))
            if len(refusals) <= tolerated:
                return
            container, last = refusals[-1]
            if runtime.monotonic() - begin >= last.patience:
                lines = self._api.logs(container.id, _LOG_LINES)
                logs = [f"last lines of {container.name}:", *(f"| {line}" for line in lines)] if lines else []
                raise SlipwayError(last.what, last.meaning, last.fix, [*last.evidence, *logs])
            self._deadline.pause(_PAUSE_SECONDS)

    def through(self, service: Service, changed: Sequence[str] = ()) -> None:
        """Ask for every route through the edge of this host, whatever DNS and a CDN say by now.

        `changed` are the services that it needs and that changed, where it did not change itself.

        The edge's header picks the generation, so that one request suffices whatever the shares are, and over plain
        HTTP also where visitors are redirected, so that no certificate is needed yet.

        Raises:
            SlipwayError: there is no answer, or one that says that the edge had none.
        """
        entry, status = self._entries[service.name], self._edge.status()
        if entry.smoke is None or status is None:
            return
        address = ("127.0.0.1", int(status["http_port"]))
        for route in entry.routes:
            headers = {GENERATION_HEADER: service.generation}
            begin = runtime.monotonic()
            while reason := _ask(address, route.path, {**headers, **_host(route)}):
                if runtime.monotonic() - begin >= _EDGE_SECONDS:
                    shown = _shown(route)
                    fix = (
                        f"read the log of {service.name}, fix it, then deploy again; where that answer is meant, "
                        "`smoke: off` in its x-slipway lets it pass"
                    )
                    if changed:
                        follows = ", ".join(f"{each}: {{restart: true}}" for each in changed)
                        fix = (
                            f"a proxy keeps the addresses that it had from {' and '.join(changed)}: write `depends_on: "
                            f"{{{follows}}}` in {service.name}, so that it follows, then deploy again"
                        )
                    raise SlipwayError(
                        f"route {shown} of {service.name} does not answer through the edge: {reason}",
                        "visitors would have got the same",
                        fix,
                        [f"probed: http://{address[0]}:{address[1]}{route.path} for {shown}", f"last answer: {reason}"],
                    )
                self._deadline.pause(_PAUSE_SECONDS)

    def _refusal(self, entry: ServiceEntry, name: str, container: Container, *, ask: bool) -> _Refusal | None:
        """Why requests to this container would be lost; None when they would not."""
        port = entry.port or 0
        try:
            runtime.connect((container.edge, port), _CONNECT_SECONDS)
        except OSError as error:
            return self._silent(name, container, port, _words(error))
        for route in entry.routes if ask else ():
            path = "/" if route.strip else route.path
            reason = _ask((container.edge, port), path, {"Host": "localhost", **_host(route)})
            if reason:
                return _Refusal(
                    f"{name} does not answer for its route {_shown(route)} on port {port}: {reason}",
                    "visitors would have got the same, so it gets no request",
                    f"read the log of {name}, fix it, then deploy again; where that answer is meant, `smoke: off` in "
                    "its x-slipway lets it pass",
                    _ANSWER_SECONDS,
                    (f"probed: http://{container.edge}:{port}{path} ({container.name})", f"last answer: {reason}"),
                )
        return None

    def _silent(self, name: str, container: Container, port: int, words: str) -> _Refusal:
        details = self._api.container(container.id) or {}
        found = listeners(int((details.get("State") or {}).get("Pid") or 0))
        exposed = sorted(each.partition("/")[0] for each in (details.get("Config") or {}).get("ExposedPorts") or {})
        said = f"it listens on {', '.join(found)}" if found else ""
        if not found and exposed:
            said = f"its image exposes {', '.join(exposed)}"
        others = [each for each in found or exposed if each.isdecimal() and each != str(port)]
        fix = f"have {name} listen on 0.0.0.0:{port}, or set x-slipway.port of {name} to the port that it listens on"
        if len(others) == 1:
            fix = f"set `port: {others[0]}` in x-slipway of {name}, or have it listen on {port}"
        patience = self._health_deadline
        if found:
            patience = min(patience, _HEALTHY_ELSEWHERE_SECONDS if container.health else _ELSEWHERE_SECONDS)
        return _Refusal(
            f"nothing listens on port {port} of {name} (the route's port){f': {said}' if said else ''}",
            "the edge would answer 502 to every request, so it gets none",
            fix,
            patience,
            (f"probed: tcp://{container.edge}:{port} ({container.name})", f"last answer: {words}"),
        )


def _ask(address: tuple[str, int], path: str, headers: Mapping[str, str]) -> str:
    """One request; why it would be lost to a visitor, empty when it would not."""
    connection: Any = runtime.http_connection(*address, _ANSWER_SECONDS)
    try:
        connection.request("GET", path, headers={"User-Agent": "slipway", "Connection": "close", **headers})
        status = int(connection.getresponse().status)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return _words(error)
    finally:
        connection.close()
    return f"{status} {http.client.responses[status]}" if status in _LOST else ""


def _host(route: Route) -> dict[str, str]:
    return {"Host": route.host} if route.host else {}


def _shown(route: Route) -> str:
    return f"{route.host}{route.path}"


def _words(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, http.client.HTTPException):
        return "what answers does not speak HTTP"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
