"""Does each kind of step on this host; decides nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.deploy.health_wait import await_healthy, stay_up
from slipway.agent.deploy.migrate import migrate
from slipway.agent.deploy.recording import prune_releases, record
from slipway.agent.deploy.smoke import CheckTarget, run_checks
from slipway.agent.docker import facts
from slipway.agent.docker.pull import fetch
from slipway.agent.docker.stop import stop_and_remove
from slipway.agent.release.release_files import place
from slipway.agent.strategies import steps
from slipway.agent.strategies.steps import phase
from slipway.agent.traffic.traffic_shift import Mover
from slipway.contract.outcomes import MIGRATED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from slipway.agent.deadline import Deadline
    from slipway.agent.deploy.attempt import Attempt
    from slipway.agent.release.rendering import Rendered
    from slipway.agent.strategies.steps import Step
    from slipway.contract.deployment import Release

__all__ = ["Actions"]

_STOP_SECONDS = 600.0
# After these there is something to roll back.
_TOUCHING = (
    steps.Migrate, steps.Start, steps.ScaleUp, steps.Remove, steps.ShiftTraffic, steps.Drain, steps.Unroute,
)  # fmt: skip


class Actions:
    """One release on its way to being what runs here."""

    def __init__(
        self,
        attempt: Attempt,
        release: Release,
        rendered: Rendered,
        secrets: Mapping[str, str],
        deadline: Deadline,
    ) -> None:
        self.attempt = attempt
        self.release = release
        self.rendered = rendered
        self.secrets = secrets
        self.deadline = deadline
        self.folder = attempt.folder
        self.out = attempt.out
        self.api, self.machine, self.compose, self.edge = attempt.access
        self.wanted_edge = attempt.document.edge
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
        )

    def act(self, step: Step) -> None:
        if not isinstance(step, (steps.Record, steps.KeepOld, steps.Prune)):
            # Past its proof nothing turns a deployment back: in a fleet the others have recorded by now.
            self.deadline.check()
        self.attempt.touched |= isinstance(step, _TOUCHING)
        actions: dict[type, Callable[[Any], None]] = {
            steps.Fetch: self._fetch,
            steps.Write: self._write,
            steps.Barrier: self._wait_at_barrier,
            steps.Migrate: self._migrate,
            steps.EdgeUp: self._edge_up,
            steps.Start: self._start,
            steps.ScaleUp: self._scale_up,
            steps.Remove: self._remove,
            steps.WaitHealthy: self._wait_healthy,
            steps.Smoke: self._smoke,
            steps.ShiftTraffic: self.mover.shift,
            steps.Judge: self.mover.judge,
            steps.Observe: self._observe,
            steps.Drain: self.mover.retire,
            steps.KeepOld: self._keep,
            steps.Unroute: lambda step: self.mover.unroute(step.services),
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
        migrate(
            step.service,
            migration,
            rendered=self.rendered,
            compose=self.compose,
            api=self.api,
            stack=self.folder.stack,
            deadline=self.deadline,
            out=self.out,
        )
        # No rollback may lead to data that it cannot read, also when the engine's history is lost.
        self.attempt.ledger.append(self.release.id, MIGRATED, service=step.service, irreversible=migration.irreversible)

    def _start(self, step: steps.Start) -> None:
        begin = runtime.monotonic()
        self.compose.up(step.services, self.rendered.file, self.deadline, recreate=step.recreate)
        self.mover.attach(step.services)
        self.out.progress(phase(step), step.name, runtime.monotonic() - begin)

    def _scale_up(self, step: steps.ScaleUp) -> None:
        begin = runtime.monotonic()
        present = facts.containers(self.api, self.folder.stack, step.services)
        scale = {
            name: count + sum(each.service == name for each in present)
            for name, count in zip(step.services, step.counts)
        }
        self.compose.up(step.services, self.rendered.file, self.deadline, recreate=False, scale=scale)
        self.mover.attach(step.services)
        self.out.progress(phase(step), step.name, runtime.monotonic() - begin)

    def _edge_up(self, _: steps.EdgeUp) -> None:
        wanted = self.wanted_edge
        assert wanted is not None  # noqa: S101 - the plan has this step only where an edge is wanted
        self._pull([wanted.image])
        self.edge.ensure(wanted, self.folder.stack, self.deadline)

    def _keep(self, step: steps.KeepOld) -> None:
        entry = self.release.services[step.service]
        self.attempt.keeping.keep(step.service, step.containers, seconds=entry.keep, drain=entry.drain, port=entry.port)

    def _remove(self, step: steps.Remove) -> None:
        begin = runtime.monotonic()
        stop_and_remove(step.containers, self.api, min(_STOP_SECONDS, self.deadline.remaining()))
        self.out.progress(phase(step), step.name, runtime.monotonic() - begin)

    def _wait_healthy(self, step: steps.WaitHealthy) -> None:
        services = [self.rendered.services[name] for name in step.services]
        if step.counts:
            pairs = zip(services, step.counts)
            services = [service._replace(replicas=count) for service, count in pairs]
        await_healthy(
            services,
            api=self.api,
            stack=self.folder.stack,
            deadline=self.deadline,
            limit=self.attempt.options.health_deadline,
            out=self.out,
        )

    def _observe(self, step: steps.Observe) -> None:
        self.deadline.extend(step.seconds)
        self.out.progress(phase(step), f"{step.service} is observed for {step.seconds:.0f} s")
        stay_up(
            self.rendered.services[step.service],
            api=self.api,
            stack=self.folder.stack,
            deadline=self.deadline,
            seconds=step.seconds,
            out=self.out,
        )

    def _smoke(self, step: steps.Smoke) -> None:
        entries = self.release.services
        edge = ("127.0.0.1", self.wanted_edge.http_port) if step.preview and self.wanted_edge else None
        run_checks(
            {name: entries[name].smoke for name in step.services},
            {
                name: CheckTarget(self.rendered.services[name].config, edge, entries[name].preview if edge else "")
                for name in step.services
            },
            api=self.api,
            stack=self.folder.stack,
            deadline=self.deadline,
            out=self.out,
        )
