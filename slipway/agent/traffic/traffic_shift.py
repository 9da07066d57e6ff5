"""Moves requests between the generations of a service: attaching, shifting, judging, draining."""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING

from slipway.agent import runtime
from slipway.agent.docker import facts
from slipway.agent.docker.facts import RUNS
from slipway.agent.docker.stop import stop_and_remove
from slipway.agent.edge.metrics import connections
from slipway.agent.edge.routing import GENERATION_HEADER, Backend, Preview, Routing, ServiceRouting
from slipway.agent.state.kept_generations import Kept
from slipway.agent.strategies.graph import ancestors, between, unchanged_proxy
from slipway.agent.strategies.service import generation_of
from slipway.agent.traffic.canary_analysis import TrafficAnalysis, alphas
from slipway.agent.traffic.canary_statistics import EMPTY, Window
from slipway.agent.traffic.proxy_check import PATIENCE_SECONDS, ProxyPath, check_targets, still_asked
from slipway.agent.traffic.wanted_routes import WHOLE, service_in, wanted_route
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from slipway.agent.deadline import Deadline
    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.docker.facts import Container
    from slipway.agent.edge.edge import Edge
    from slipway.agent.edge.metrics import Counters
    from slipway.agent.output import Output
    from slipway.agent.strategies.service import Service
    from slipway.agent.strategies.steps import CheckRoutes, Drain, Judge, LeaveOld, ShiftTraffic
    from slipway.agent.traffic.route_check import RouteCheck
    from slipway.contract.deployment import EdgeRequest, Release

__all__ = ["Mover", "retire"]

_POLL_SECONDS = 0.05
_LOOK_SECONDS = 1.0
_DRAIN_SECONDS = 30.0  # of a service that is not in the release any more
_PROBES = 20  # a second and generation
_PROBE_SECONDS = 10.0


class Mover:
    """Moves the requests of one release's services."""

    def __init__(
        self,
        *,
        release: Release,
        services: Mapping[str, Service],
        secrets: Mapping[str, str],
        edge: Edge,
        wanted: EdgeRequest | None,
        api: DockerApi,
        stack: str,
        deadline: Deadline,
        out: Output,
        shifted: Callable[[], None],
        stopping: Callable[[Sequence[str]], None],
        check: RouteCheck,
        smoke: Callable[[str], None],
    ) -> None:
        """`wanted` None keeps what the edge does about TLS for this stack; `stopping` gets who is stopped, before.

        `smoke` runs the smoke checks of a service whose route is asked for after a failure.
        """
        self._release = release
        self._services = services
        self._secrets = secrets
        self._edge = edge
        self._wanted = wanted
        self._api = api
        self._stack = stack
        self._deadline = deadline
        self._out = out
        self._shifted = shifted
        self._stopping = stopping
        self._check = check
        self._smoke = smoke
        self.restarted: set[str] = set()
        """services that started again since they kept the address of what is gone"""
        self.back = False
        """whether this is a rollback: requests return at once, and are asked about once all of it is done"""
        self.standby = False
        """whether another proxy has the edge's ports yet: no authority could reach the edge, and no visitor TLS"""
        self.calm: Mapping[str, Window] = {}  # what the old generations counted while nothing was deployed
        self._ports: dict[str, int] = {}
        self.leaving: frozenset[str] = frozenset()
        """ids of containers that go in the end: never part of the new generation"""

    def attach(self, services: Iterable[str]) -> None:
        """Give the containers of routed services an address that the edge reaches them at."""
        routed = [name for name in services if self._services[name].traffic.routed]
        for each in facts.containers(self._api, self._stack, routed) if routed else ():
            if not each.edge and each.state in RUNS:
                self._edge.attach(each.id)

    def shift(self, step: ShiftTraffic) -> None:
        service = self._services[step.service]
        seen = self._reachable(step.service)
        unwanted = {*step.without, *step.old, *self.leaving}
        new = [each for each in seen if each.config == service.config and each.id not in unwanted]
        old = [each for each in seen if each.id in step.old]
        if not (new or (old and not step.share)):
            raise SlipwayError(
                f"no container of {step.service} is left to send requests to",
                "what had started is gone again, so the route is unchanged",
                f"docker ps --all --filter label=com.docker.compose.service={step.service}",
            )
        tried = bool(new) and not (self.back or step.ahead)
        if tried:
            refused = self._check.before(service, new)
            new = [each for each in new if each.id not in refused]
        share = step.share if old else WHOLE
        generations = {service.generation: (new, share)} if new else {}
        for generation in sorted({generation_of(each.config) for each in old}):
            own = [each for each in old if generation_of(each.config) == generation]
            weight = max(1, (WHOLE - share) * len(own) // len(old))
            # Of a service that only restarts, old and new are one generation.
            beside, more = generations.get(generation, ([], 0))
            generations[generation] = ([*beside, *own], more + weight)
        backends = [self._backend(step.service, name, own, weight) for name, (own, weight) in generations.items()]
        preview = self._release.services[step.service].preview
        written = service_in(self._edge.current(self._stack), step.service)
        route = wanted_route(step.service, self._release, self._asked, self._secrets, written)
        route = route._replace(
            backends=tuple(each for each in backends if each.weight or share == 0),
            preview=Preview(preview, service.generation) if preview and share < WHOLE else None,
        )
        seconds = self._write(route)
        self._shifted()
        self._out.progress("shift", f"{step.service} {share} % on {service.generation}, live", seconds)
        if tried:
            self._check.through(service)

    @property
    def _asked(self) -> EdgeRequest | None:
        return self._wanted._replace(https=False) if self._wanted and self.standby else self._wanted

    def secure(self, wanted: EdgeRequest) -> None:
        """Give every route the TLS that is `wanted`: the edge is about to get its ports."""
        self.standby, current = False, self._edge.current(self._stack)
        for each in current.services if current else ():
            route = wanted_route(each.service, self._release, wanted, self._secrets, None)
            if each.https != route.https:
                self._write(route._replace(backends=each.backends))

    def routed(self) -> tuple[str, ...]:
        """The services with a route."""
        return tuple(sorted(n for n, each in self._services.items() if each.traffic.routed and each.replicas))

    def names(self) -> set[str]:
        """The host names that visitors ask for."""
        entries = [self._release.services[name] for name in self.routed()]
        found = {route.host for entry in entries for route in entry.routes}
        return {*found, *(each.origin for entry in entries for each in entry.middlewares.redirects)} - {""}

    def check_routes(self, step: CheckRoutes) -> None:
        """Ask for every route of these services, whether or not their own containers changed."""
        begin = runtime.monotonic()
        if self.back:
            self._check.take_time()
        for name in step.services:
            try:
                self._prove(name, step)
            except SlipwayError as error:
                if not (self.back or step.doubted):
                    raise
                # A proxy that keeps the address of a container that is gone by now asks for it again when it starts.
                for other in between(name, self.needs, step.changed) or [name]:
                    self._out.progress("back", f"{other} starts again: {error.what}")
                    self.restarted.add(other)
                    for each in self._reachable(other):
                        self._api.stop(each.id, self._deadline.remaining())
                        self._api.start(each.id)
                self._prove(name, step)
        self._out.progress("smoke", f"{', '.join(step.services)} through the edge", runtime.monotonic() - begin)

    def leave_old(self, step: LeaveOld) -> None:
        """Have no service that stays go on asking old containers alone, since they are about to go.

        Raises:
            SlipwayError: one does; nothing of it was lost so far.
        """
        begin = runtime.monotonic()
        for name in step.services:
            proxy, changed = unchanged_proxy(name, self.needs, step.changed)
            seen = [each for one in changed for each in self._reachable(one)]
            old = [each for each in seen if each.config != self._services[each.service].config]
            targets = check_targets(self._release.services[name].smoke or (), self._reachable(name))
            path = ProxyPath(targets, self._reachable(proxy), old, [each for each in seen if each not in old])
            while path.asks_old_alone(self._api):
                self._deadline.check()
                if runtime.monotonic() - begin >= PATIENCE_SECONDS:
                    raise still_asked(proxy, changed)
                self._deadline.pause(_LOOK_SECONDS)
        self._out.progress("smoke", f"{', '.join(step.services)} need nothing that goes", runtime.monotonic() - begin)

    def unroute(self, services: Sequence[str]) -> None:
        current = self._edge.current(self._stack)
        if current is None:
            return
        kept = tuple(each for each in current.services if each.service not in services)
        gone = [each for each in current.services if each.service in services]
        servers = {each.service: server for each in gone for backend in each.backends for server in backend.servers}
        self._ports = {name: int(server.rpartition(":")[2]) for name, server in servers.items()}
        self._edge.write(self._stack, current._replace(services=kept), self._deadline)
        self._out.progress("shift", f"{', '.join(services)} off the edge")

    def judge(self, step: Judge) -> None:
        """Compare both generations for as long as the canary's pause says, longer while requests are too few.

        Raises:
            SlipwayError: the new generation is worse, or too little is known of it and that is to count as worse.
        """
        service = self._services[step.service]
        rules = self._release.services[step.service].canary
        assert rules is not None  # noqa: S101 - only a canary is judged
        self._deadline.extend(rules.pause + rules.patience)
        self._out.progress("canary", f"{step.service} {step.share} % is compared for at least {rules.pause:.0f} s")
        shares = [share for share in service.traffic.canary if share < WHOLE]
        analysis = TrafficAnalysis(rules.thresholds, alphas(len(shares))[shares.index(step.share)])
        begin, before = runtime.monotonic(), self._samples(step.service)
        while True:
            self._deadline.pause(_LOOK_SECONDS)
            new, old = _windows(before, self._samples(step.service), service.generation)
            elapsed = runtime.monotonic() - begin
            over, last = elapsed >= rules.pause, elapsed >= rules.pause + rules.patience
            verdict = analysis.look(new, old, self.calm.get(step.service, EMPTY), ended=over, last=last)
            if verdict.state == "bad" or (last and verdict.state == "wait" and rules.too_little == "fail"):
                raise _worse(step, verdict.reason)
            if over and (verdict.state == "good" or last):
                break
            if over and rules.too_little == "probe":
                self._probe(step.service, service)
        self._out.progress("canary", f"{step.service} {step.share} %: {verdict.reason}", runtime.monotonic() - begin)

    def ask_new(self, service: Service, *, ask: bool = True) -> None:
        """Wait until those of the new generation listen, and answer for their routes if we `ask`."""
        seen = [each for each in self._reachable(service.name) if each.id not in self.leaving]
        self._check.before(service, [each for each in seen if each.config == service.config], ask=ask)

    @property
    def needs(self) -> dict[str, dict[str, str]]:
        """Service → what it depends on."""
        return {each.name: each.depends_on for each in self._services.values()}

    def _prove(self, name: str, step: CheckRoutes) -> None:
        service, related = self._services[name], {name, *ancestors(name, self.needs)}
        self.ask_new(service, ask=False)
        self._check.through(service, *unchanged_proxy(name, self.needs, step.changed))
        if step.doubted and not related.isdisjoint(step.changed or related):
            self._smoke(name)

    def retire(self, step: Drain) -> None:
        service = self._services.get(step.service)
        drain = service.traffic.drain if service else _DRAIN_SECONDS
        old = Kept(step.service, step.containers, until=runtime.time(), drain=drain, port=self._port(step.service))
        retire(old, self._api, self._deadline.pause, self._out, self._stopping)

    def _probe(self, name: str, service: Service) -> None:
        """Send requests of our own through the edge to each generation, for want of others'."""
        status = self._edge.status()
        if status is None:
            return
        route = self._release.services[name].routes[0]
        for generation in {generation_of(each.config) for each in self._reachable(name)} | {service.generation}:
            host = {"Host": route.host} if route.host else {}
            headers = {GENERATION_HEADER: generation, "User-Agent": "slipway", **host}
            connection = runtime.http_connection("127.0.0.1", status["http_port"], _PROBE_SECONDS)
            try:
                for _ in range(_PROBES):
                    connection.request("GET", route.path, headers=headers)
                    connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                continue  # the edge counts it as the error that it is
            finally:
                connection.close()

    def _samples(self, name: str) -> dict[str, Counters]:
        """Generation → counters so far."""
        found = self._edge.metrics().items()
        return {target.generation: each for target, each in found if target[:2] == (self._stack, name)}

    def _reachable(self, name: str) -> list[Container]:
        """Running containers of a service, every one with its address."""
        self.attach((name,))
        return [each for each in facts.containers(self._api, self._stack, (name,)) if each.state in RUNS]

    def _backend(self, name: str, generation: str, containers: Sequence[Container], weight: int) -> Backend:
        return Backend(generation, weight, tuple(f"{each.edge}:{self._port(name)}" for each in containers))

    def _port(self, name: str) -> int:
        entry = self._release.services.get(name)
        return (entry.port if entry else 0) or self._ports.get(name, 0)

    def _write(self, route: ServiceRouting) -> float:
        current = self._edge.current(self._stack) or Routing(())
        others = tuple(each for each in current.services if each.service != route.service)
        whole = current._replace(services=tuple(sorted((*others, route), key=lambda each: each.service)))
        return self._edge.write(self._stack, whole, self._deadline)


def retire(
    old: Kept,
    api: DockerApi,
    pause: Callable[[float], None],
    out: Output,
    stopping: Callable[[Sequence[str]], None] = lambda _: None,
) -> None:
    """Wait at most `drain` seconds until no connection of the edge's is left, then stop and remove."""
    begin = runtime.monotonic()
    while (left := _in_flight(old, api)) and runtime.monotonic() - begin < old.drain:
        pause(_POLL_SECONDS)
    cut = f", {left} connection(s) cut" if left else ""
    out.progress("drain", f"{old.service}{cut}", runtime.monotonic() - begin)
    begin = runtime.monotonic()
    stopping(old.containers)
    killed = stop_and_remove(old.containers, api)
    if killed:
        out.progress("drain", "; ".join(killed), runtime.monotonic() - begin)


def _in_flight(old: Kept, api: DockerApi) -> int:
    """Connections that the edge has to these containers."""
    found = [facts.container(details) for details in map(api.container, old.containers) if details is not None]
    return connections([f"{each.edge}:{old.port}" for each in found if each.edge and old.port])


def _windows(before: Mapping[str, Counters], now: Mapping[str, Counters], generation: str) -> tuple[Window, Window]:
    """What the new generation got since `before`, and what all others did."""
    new, old = EMPTY, EMPTY
    for name, sample in now.items():
        window = Window.between(before.get(name, EMPTY), sample)
        if name == generation:
            new = window
        else:
            old = old.plus(window)
    return new, old


def _worse(step: Judge, reason: str) -> SlipwayError:
    return SlipwayError(
        f"the canary of {step.service} is worse at {step.share} % of the traffic: {reason}",
        "visitors would have noticed, so all requests return to the previous release",
        f"look at the logs of {step.service}, fix it, then deploy again",
    )
