"""Whether a route answers: its containers are asked before requests move to them, then the edge, as a visitor would.

Anything passes that is not silence, 502, 503 or 504: what a good answer is, only smoke checks can know.
"""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, NamedTuple

from slipway.agent import runtime
from slipway.agent.deadline import Deadline
from slipway.agent.docker.facts import log_tail
from slipway.agent.edge.metrics import listeners
from slipway.agent.edge.routing import GENERATION_HEADER
from slipway.agent.traffic.http_get import CONNECT_SECONDS, get, words
from slipway.agent.traffic.proxy_check import kept_address
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.docker.facts import Container
    from slipway.agent.edge.edge import Edge
    from slipway.agent.strategies.service import Service
    from slipway.contract.deployment import Route, ServiceEntry

__all__ = ["RouteCheck", "why_lost"]

_LOST = (http.client.BAD_GATEWAY, http.client.SERVICE_UNAVAILABLE, http.client.GATEWAY_TIMEOUT)
_PAUSE_SECONDS = 0.1
# How long to wait for an answer: what already listens elsewhere is unlikely to open the route's port later.
_HEALTHY_ELSEWHERE_SECONDS = 10.0
_ELSEWHERE_SECONDS = 30.0
_ANSWER_SECONDS = 30.0
_EDGE_SECONDS = 10.0
"""Visitors may be getting the same answer meanwhile."""


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

    def before(self, service: Service, containers: Sequence[Container], *, ask: bool = True) -> set[str]:
        """Wait until the containers that are to get requests listen on the route's port, and answer if we `ask`.

        Returns:
            Ids of those that do not and may (`max_failure_ratio`), so that they get no requests.

        Raises:
            SlipwayError: more of them do not than may; names what one listens on.
        """
        entry = self._entries[service.name]
        if entry.smoke is None or not entry.routes:
            return set()
        tolerated = service.traffic.update.tolerated(len(containers))
        begin = runtime.monotonic()
        while True:
            refusals = []
            for each in containers:
                self._deadline.check()  # each may take its whole time to answer
                refusal = self._refusal(entry, service.name, each, ask=ask) if each.id not in self._passed else None
                if refusal is None:
                    self._passed.add(each.id)
                else:
                    refusals.append((each, refusal))
            if len(refusals) <= tolerated:
                return {each.id for each, _ in refusals}
            container, last = refusals[-1]
            if runtime.monotonic() - begin >= last.patience:
                evidence = [*last.evidence, *log_tail(self._api, container)]
                raise SlipwayError(last.what, last.meaning, last.fix, evidence)
            self._deadline.pause(_PAUSE_SECONDS)

    def through(self, service: Service, proxy: str = "", changed: Sequence[str] = ()) -> None:
        """Ask for every route through the edge of this host, whatever DNS and a CDN say by now.

        `proxy` is the service itself or one that it needs, unchanged, which needs those that `changed`.

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
            self._deadline.check()
            headers = {GENERATION_HEADER: service.generation}
            begin = runtime.monotonic()
            while reason := why_lost(address, route.path, {**headers, **_host(route)}):
                if runtime.monotonic() - begin >= _EDGE_SECONDS:
                    shown = _shown(route)
                    fix = kept_address(proxy, changed) if changed else _fix(service.name)
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
            runtime.connect((container.edge, port), CONNECT_SECONDS)
        except OSError as error:
            return self._silent(name, container, port, words(error))
        for route in entry.routes if ask and entry.scheme == "http" else ():  # the agent speaks no HTTP/2
            path = "/" if route.strip else route.path
            reason = why_lost((container.edge, port), path, {"Host": "localhost", **_host(route)})
            if reason:
                return _Refusal(
                    f"{name} does not answer for its route {_shown(route)} on port {port}: {reason}",
                    "visitors would have got the same, so it gets no request",
                    _fix(name),
                    _ANSWER_SECONDS,
                    (f"probed: http://{container.edge}:{port}{path} ({container.name})", f"last answer: {reason}"),
                )
        return None

    def _silent(self, name: str, container: Container, port: int, answer: str) -> _Refusal:
        details = self._api.container(container.id) or {}
        found = listeners(details)
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
            (f"probed: tcp://{container.edge}:{port} ({container.name})", f"last answer: {answer}"),
        )


def why_lost(
    address: tuple[str, int],
    path: str,
    headers: Mapping[str, str],
    *,
    seconds: float = _ANSWER_SECONDS,
    tls: bool = False,
) -> str:
    """One request; why it would be lost to a visitor, empty when it would not."""
    error, status, _ = get(address, path, headers, seconds=seconds, tls=tls)
    return error or (f"{status} {http.client.responses[status]}" if status in _LOST else "")


def _host(route: Route) -> dict[str, str]:
    return {"Host": route.host} if route.host else {}


def _shown(route: Route) -> str:
    return f"{route.host}{route.path}"


def _fix(name: str) -> str:
    return (
        f"read the log of {name}, fix it, then deploy again; where that answer is intended, `smoke: off` in its "
        "x-slipway lets it pass"
    )
