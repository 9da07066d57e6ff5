"""Does the steps of a plan on this host, each written to the journal before and after; decides nothing.

`SLIPWAY_TEST_KILL_AFTER=<step name>:<started|finished>` kills the process right after that line is on disk, for tests.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.deploy.health_wait import Expected, GateContext, await_healthy, stay_up, still_up
from slipway.agent.deploy.migrate import migrate
from slipway.agent.deploy.recording import prune_releases, record
from slipway.agent.deploy.smoke import CheckTarget, run_again, run_checks
from slipway.agent.docker import facts
from slipway.agent.docker.addresses import former_addresses, links, starting_order
from slipway.agent.docker.compose_cli import start
from slipway.agent.docker.health import Haste, image_check, quicken
from slipway.agent.docker.machine import supports_start_interval
from slipway.agent.docker.pull import fetch, without_tag
from slipway.agent.docker.start_report import killed_since, not_started
from slipway.agent.docker.stop import stop_and_remove
from slipway.agent.release.release_files import place
from slipway.agent.strategies import steps
from slipway.agent.strategies.graph import ancestors, unchanged_proxy
from slipway.agent.strategies.steps import name_of, phase
from slipway.agent.traffic.proxy_check import explaining
from slipway.agent.traffic.route_check import RouteCheck
from slipway.agent.traffic.traffic_shift import Mover
from slipway.contract.barriers import PROVEN
from slipway.contract.outcomes import MIGRATED, REPAIRED, UNCHANGED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from slipway.agent.deadline import Deadline
    from slipway.agent.deploy.attempt import Attempt
    from slipway.agent.docker.addresses import Former
    from slipway.agent.docker.facts import Container
    from slipway.agent.release.rendering import Rendered
    from slipway.agent.strategies.service import Service
    from slipway.agent.strategies.steps import Step
    from slipway.contract.deployment import Release

__all__ = ["Actions"]

_KILL_VARIABLE = "SLIPWAY_TEST_KILL_AFTER"
# After these there is something to roll back.
_TOUCHING = (
    steps.Migrate, steps.Start, steps.ScaleUp, steps.Remove, steps.ShiftTraffic, steps.Drain, steps.Unroute,
    steps.Create, steps.StopOld, steps.TakePorts,
)  # fmt: skip


class Actions:
    """One release on its way to being what runs here."""

    def __init__(
        self, attempt: Attempt, release: Release, rendered: Rendered, secrets: Mapping[str, str], deadline: Deadline
    ) -> None:
        self.attempt = attempt
        self.release = release
        self.rendered = rendered
        self.secrets = secrets
        self.deadline = deadline
        self.folder = attempt.folder
        self.out = attempt.out
        self.api, self.machine, self.compose, self.edge = attempt.access
        self.begin = runtime.monotonic()
        self.context = GateContext(self.api, self.folder.stack, deadline, self.out)
        self.wanted_edge = attempt.document.edge
        self._down: dict[str, float] = {}  # service → when its containers began to be replaced
        self.haste: dict[str, Haste] = {}
        self.restarts: dict[str, int] = {}
        """container → restarts before anything was started, of those that were proven before"""
        self.started: set[str] = set()
        self.waited: dict[str, Service] = {}
        self.tolerated: set[str] = set()
        limit = attempt.options.health_deadline
        check = RouteCheck(release.services, edge=self.edge, api=self.api, deadline=deadline, health_deadline=limit)
        self.mover = Mover(
            release=release,
            services=rendered.services,
            secrets=secrets,
            edge=self.edge,
            wanted=self.wanted_edge,
            api=self.api,
            stack=self.folder.stack,
            deadline=deadline,
            out=self.out,
            shifted=attempt.shifted,
            stopping=attempt.note_stops,
            check=check,
            smoke=self._smoke_again,
        )
        self.mover.standby, self.mover.calm = attempt.standby, attempt.calm

    def run(self, plan: Iterable[Step], prefix: str = "") -> dict[str, float]:
        """Do all steps in order; seconds per phase. The first failure ends it, with its step started and not finished.

        `prefix` marks the steps of a rollback.
        """
        phases: dict[str, float] = {}
        plan = list(plan)
        going = [step.containers for step in plan if isinstance(step, (steps.Remove, steps.Drain, steps.KeepOld))]
        self.mover.leaving = frozenset(each for containers in going for each in containers)
        self.context = self.context._replace(leaving=self.mover.leaving)
        self.mover.back = bool(prefix)
        for step in plan:
            begin = runtime.monotonic()
            self._note(step, prefix, "started")
            self._act(step)
            phases[phase(step)] = phases.get(phase(step), 0.0) + runtime.monotonic() - begin
            self._note(step, prefix, "finished")
        return phases

    def _note(self, step: Step, prefix: str, state: str) -> None:
        name = prefix + name_of(step)
        try:
            stops = step.containers if isinstance(step, steps.Remove) else ()  # one that drains goes on running
            self.attempt.journal.step(name, state, stops)
        except OSError:
            # On a full disk a rollback goes on without its notes; the next run finds the facts.
            if not prefix:
                raise
        if os.environ.get(_KILL_VARIABLE) == f"{name}:{state}":
            runtime.die()

    def _act(self, step: Step) -> None:
        unhurried = (steps.Record, steps.KeepOld, steps.Prune, steps.StopOld)
        if not isinstance(step, (*unhurried, steps.CheckRoutes) if self.mover.back else unhurried):
            # Past its proof nothing turns a deployment back: in a fleet the others have recorded by now.
            self.deadline.check()
        self.attempt.touched |= isinstance(step, _TOUCHING)
        if step == steps.Barrier(PROVEN) or (isinstance(step, steps.Record) and self.attempt.document.fleet is None):
            self._prove()
        actions: dict[type, Callable[[Any], None]] = {
            steps.Fetch: self._fetch,
            steps.Write: self._write,
            steps.Barrier: self._wait_at_barrier,
            steps.Migrate: self._migrate,
            steps.EdgeUp: self._edge_up,
            steps.Start: self._start,
            steps.ScaleUp: lambda step: self._up(step, scale=self._more(step)),
            steps.Remove: self._remove,
            steps.WaitHealthy: self._wait_healthy,
            steps.Smoke: self._smoke,
            steps.ShiftTraffic: self.mover.shift,
            steps.CheckRoutes: self._check_routes,
            steps.LeaveOld: self.mover.leave_old,
            steps.Judge: self.mover.judge,
            steps.Observe: self._observe,
            steps.Drain: self.mover.retire,
            steps.KeepOld: self._keep,
            steps.Unroute: lambda step: self.mover.unroute(step.services),
            steps.Create: lambda step: self._up(step, scale=self._more(step), start=False),
            steps.StopOld: self._take_over,
            steps.StandIn: self._take_over,
            steps.TakePorts: self._take_over,
            steps.Record: lambda _: record(self.attempt, self.rendered),
            steps.Prune: lambda step: prune_releases(self.attempt, step.retention),
        }
        actions[type(step)](step)

    def _write(self, _: steps.Write) -> None:
        place(self.release, self.rendered, self.folder)
        self.folder.store_release(self.release.content)

    def _wait_at_barrier(self, step: steps.Barrier) -> None:
        begin = runtime.monotonic()
        self.attempt.fleet.reach(step.reached, self.deadline)
        self.out.progress(phase(step), step.reached, runtime.monotonic() - begin)

    def _fetch(self, step: steps.Fetch) -> None:
        # Kept before its images are here, so that another stack's pruning leaves them alone from the first instant.
        self.folder.store_release(self.release.content)
        self._pull(step.images)

    def _pull(self, images: Sequence[str]) -> None:
        registries, architecture = self.attempt.document.registries, self.machine.architecture
        fetch(
            images, api=self.api, registries=registries, architecture=architecture, deadline=self.deadline, out=self.out
        )

    def _migrate(self, step: steps.Migrate) -> None:
        migration = self.release.services[step.service].migrate
        assert migration is not None  # noqa: S101 - the plan has this step only where there is one
        self.attempt.users.check(self.rendered.compose, (step.service,))
        migrate(step.service, migration, self.rendered, self.compose, self.context)
        # No rollback may lead to data that it cannot read, also when the engine's history is lost.
        self.attempt.ledger.append(self.release.id, MIGRATED, service=step.service, irreversible=migration.irreversible)

    def _start(self, step: steps.Start) -> None:
        if step.recreate:
            self._down.update(dict.fromkeys(step.services, runtime.monotonic()))
        if not step.recreate or len(step.services) == 1:
            self._up(step, recreate=step.recreate)
            return
        former = {each.name: former_addresses(self.api, each.id) for each in self._own(step)}
        self._up(step, recreate=True, start=False)
        self._start_made(step, former)
        self.mover.attach(step.services)

    def _start_made(self, step: steps.Start, former: Mapping[str, Mapping[str, Former]]) -> None:
        made = {each.name: each.service for each in self._own(step) if each.state not in facts.RUNS}
        for name in starting_order(self.api, made, former):
            if self.rendered.started_by_compose(made[name]):
                self._up(steps.Start((made[name],), recreate=False))
            else:
                start(self.api, name)

    def _own(self, step: steps.Start) -> list[Container]:
        return facts.containers(self.api, self.folder.stack, step.services)

    def _more(self, step: steps.ScaleUp | steps.Create) -> dict[str, int]:
        present = [each.service for each in facts.containers(self.api, self.folder.stack, step.services)]
        return {name: count + present.count(name) for name, count in zip(step.services, step.counts)}

    def _up(
        self,
        step: steps.Start | steps.ScaleUp | steps.Create,
        *,
        recreate: bool = False,
        scale: Mapping[str, int] | None = None,
        start: bool = True,
    ) -> None:
        begin, since = runtime.monotonic(), runtime.time()
        wanted = {name: self.rendered.services[name].config for name in step.services}
        self._look_before()
        self.started.update(step.services)
        with self.attempt.users.kept_off(self.rendered.compose, step.services, self.deadline):
            self.compose.up(
                step.services,
                self.rendered.linked(step.services, self._links),
                self.deadline,
                recreate=recreate,
                scale=scale,
                start=start,
                unable=lambda line: not_started(self.api, self.folder.stack, wanted, line),
                fetch=lambda: self._pull([self.rendered.services[name].image for name in step.services]),
            )
        self.mover.attach(step.services)
        seconds = runtime.monotonic() - begin
        killed = killed_since(self.api, self.folder.stack, step.services, since) if recreate and seconds >= 1 else []
        self.out.progress(phase(step), "; ".join([name_of(step), *killed]), seconds)

    def _links(self, other: Service) -> list[str]:
        stack = self.folder.stack
        running = [each.id for each in facts.containers(self.api, stack, (other.name,)) if each.state in facts.RUNS]
        return links(self.api, running, other.alias, other.names, self.mover.leaving)

    def _edge_up(self, _: steps.EdgeUp) -> None:
        wanted = self.wanted_edge
        assert wanted is not None  # noqa: S101 - the plan has this step only where an edge is wanted
        self._pull([wanted.image])
        self.edge.ensure(wanted, self.folder.stack, self.deadline, standby=self.mover.standby)

    def _take_over(self, step: steps.StopOld | steps.StandIn | steps.TakePorts) -> None:
        handover = self.attempt.handover
        assert handover is not None  # noqa: S101 - these steps are there only where there is one
        if isinstance(step, steps.StopOld):
            handover.stop_old(step, self.attempt.document.move_beside)
            self._start_made(steps.Start((step.service,) if step.service else (), recreate=False), {})
        elif isinstance(step, steps.StandIn):
            handover.stand_in(step)
        elif self.wanted_edge is not None:
            handover.take_ports(step, self.wanted_edge, self.mover, self.deadline)
            self.mover.check_routes(steps.CheckRoutes(self.mover.routed()))

    def _keep(self, step: steps.KeepOld) -> None:
        entry = self.release.services[step.service]
        self.attempt.keeping.keep(step.service, step.containers, seconds=entry.keep, drain=entry.drain, port=entry.port)

    def _remove(self, step: steps.Remove) -> None:
        begin = runtime.monotonic()
        # Not cut off by the deadline: a stop that was begun has to be awaited on the way back, too.
        killed = stop_and_remove(step.containers, self.api)
        self.out.progress(phase(step), "; ".join([name_of(step), *killed]), runtime.monotonic() - begin)

    def _wait_healthy(self, step: steps.WaitHealthy) -> None:
        self._look_before()
        services = [self.rendered.services[name] for name in step.services]
        if step.counts:
            services = [service._replace(replicas=count) for service, count in zip(services, step.counts)]
        expected = [
            Expected(each, self.haste[each.name], self._may_wait_for_another(each), self.restarts) for each in services
        ]
        limit = self.attempt.options.health_deadline
        self.tolerated |= await_healthy(expected, self.context, limit, self._end_outage)
        self.waited.update({each.name: each for each in services})

    def _end_outage(self, service: str) -> None:
        if service in self._down:
            self.attempt.outages[service] = round(runtime.monotonic() - self._down.pop(service), 1)

    def _look_before(self) -> None:
        """Make health checks quick, those of images as well (they are here by now); count what was restarted before."""
        if self.haste:
            return
        quick = supports_start_interval(self.machine)
        for name, service in self.rendered.services.items():
            image = image_check(self.api.image(without_tag(service.image)))
            self.haste[name] = quicken(self.rendered.compose["services"][name], image, quick=quick)
        proofs = self.attempt.live.services if self.attempt.live else {}
        self.restarts = {
            each.id: each.restarts
            for each in facts.containers(self.api, self.folder.stack)
            if each.service in proofs and proofs[each.service].config == each.config
        }

    def _may_wait_for_another(self, service: Service) -> bool:
        """Whether it may crash for want of another service: on a first start, or where that was started just now."""
        edges = {name: list(each.depends_on) for name, each in self.rendered.services.items()}
        unrelated = {name for name in edges if service.name not in (name, *ancestors(name, edges))}
        others = {name for name in service.depends_on or unrelated if self.rendered.services[name].replicas}
        first = self.attempt.live is None or service.name not in self.attempt.live.services
        return bool(others if first else others & self.started)

    def _prove(self) -> None:
        self.context = self.context._replace(leaving=self.context.leaving | self.tolerated)
        still_up(list(self.waited.values()), self.context, runtime.monotonic() - self.begin)

    def _observe(self, step: steps.Observe) -> None:
        self.deadline.extend(step.seconds)
        self.out.progress(phase(step), f"{step.service} is observed for {step.seconds:.0f} s")
        stay_up(self.rendered.services[step.service], self.context, step.seconds)

    def _smoke(self, step: steps.Smoke) -> None:
        status = self.edge.status() if step.preview else None
        edge = ("127.0.0.1", int(status["http_port"])) if status else None
        for name in step.services:
            if step.batch and not self.mover.back:  # it knows more of a wrong port than a check of the user's own
                self.mover.ask_new(self.rendered.services[name])
            entry, config = self.release.services[name], self.rendered.services[name].config
            target = CheckTarget(config, edge, entry.preview if edge else "")
            with explaining(*unchanged_proxy(name, self.mover.needs, step.changed)):
                run_checks(name, entry.smoke or (), target, self.context)

    def _check_routes(self, step: steps.CheckRoutes) -> None:
        self.attempt.touched |= step.doubted  # what it starts again has to be asked again
        self.mover.check_routes(step)
        if self.mover.restarted and self.attempt.outcome == UNCHANGED:
            self.attempt.outcome = REPAIRED

    def _smoke_again(self, name: str) -> None:
        target = CheckTarget(self.rendered.services[name].config)
        run_again(name, self.release.services[name].smoke or (), target, self.context, last=bool(self.mover.restarted))
