"""Does each kind of step on this host. The only module that knows how every step is done; it decides nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from agent import facts, files
from agent.fetch import fetch
from agent.gates import await_healthy, stay_up
from agent.migrate import migrate
from agent.smoke import Place, run_checks
from agent.steps import (
    Await,
    Barrier,
    EdgeUp,
    Fetch,
    Grow,
    Judge,
    Keep,
    Migrate,
    Observe,
    Prune,
    Record,
    Remove,
    Retire,
    Shift,
    Smoke,
    Start,
    Unroute,
    Write,
    phase,
)
from agent.stopping import stop_and_remove

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from agent.compose import Compose
    from agent.deadline import Deadline
    from agent.docker_api import DockerApi
    from agent.edge import Edge
    from agent.facts import Machine
    from agent.fleet import Fleet
    from agent.output import Output
    from agent.rendering import Rendered
    from agent.state import StackFolder
    from agent.steps import Step
    from agent.traffic import Mover

__all__ = ["Actions"]

_STOP_SECONDS = 600.0


class Actions:
    """One release on its way to being what runs here."""

    def __init__(
        self,
        *,
        release: Mapping[str, Any],
        rendered: Rendered,
        api: DockerApi,
        machine: Machine,
        compose: Compose,
        folder: StackFolder,
        out: Output,
        deadline: Deadline,
        health_deadline: float,
        registries: Sequence[Mapping[str, str]],
        fleet: Fleet,
        edge: Edge,
        wanted_edge: Mapping[str, Any] | None,
        mover: Mover,
        keep: Callable[[str, tuple[str, ...]], None],
        touching: Callable[[], None],
        record: Callable[[], None],
        migrated: Callable[[str], None],
        prune: Callable[[int], None],
    ) -> None:
        self.release = release
        self.rendered = rendered
        self.api = api
        self.machine = machine
        self.compose = compose
        self.folder = folder
        self.out = out
        self.deadline = deadline
        self.health_deadline = health_deadline
        self.registries = registries
        self.fleet = fleet
        self.edge = edge
        self.wanted_edge = wanted_edge
        self.mover = mover
        self.keep = keep
        self.touching = touching
        self.record = record
        self.migrated = migrated
        self.prune = prune

    def act(self, step: Step) -> None:
        """Do one step."""
        if not isinstance(step, (Record, Keep, Prune)):
            # Past its proof nothing turns a deployment back: in a fleet the others have recorded by now.
            self.deadline.check()
        actions: dict[type, Callable[[Any], None]] = {
            Fetch: self._fetch,
            Write: self._write,
            Barrier: self._meet,
            Migrate: self._migrate,
            EdgeUp: self._edge_up,
            Start: self._start,
            Grow: self._grow,
            Remove: self._remove,
            Await: self._await,
            Smoke: self._smoke,
            Shift: self._touched(self.mover.shift),
            Judge: self.mover.judge,
            Observe: self._observe,
            Retire: self._touched(self.mover.retire),
            Keep: lambda keep: self.keep(keep.service, keep.containers),
            Unroute: self._touched(lambda step: self.mover.unroute(step.services)),
            Record: lambda _: self.record(),
            Prune: lambda prune: self.prune(prune.retention),
        }
        actions[type(step)](step)

    def _touched(self, action: Callable[[Any], None]) -> Callable[[Any], None]:
        """The action, after noting that from now on there is something to bring back."""

        def act(step: Any) -> None:  # noqa: ANN401 - any step
            self.touching()
            action(step)

        return act

    def _write(self, _: Write) -> None:
        files.place(dict(self.release), self.rendered, self.folder)
        self.folder.store_release(dict(self.release))

    def _meet(self, step: Barrier) -> None:
        begin = time.monotonic()
        self.fleet.reach(step.reached, self.deadline)
        self.out.progress(phase(step), step.reached, time.monotonic() - begin)

    def _fetch(self, step: Fetch) -> None:
        # Kept before its images are here, so that another stack's pruning leaves them alone from the first instant.
        self.folder.store_release(dict(self.release))
        fetch(
            step.images,
            api=self.api,
            registries=self.registries,
            architecture=self.machine.architecture,
            deadline=self.deadline,
            out=self.out,
        )

    def _migrate(self, step: Migrate) -> None:
        self.touching()
        migrate(
            step.service,
            self.release["services"][step.service]["migrate"],
            rendered=self.rendered,
            compose=self.compose,
            api=self.api,
            stack=self.folder.stack,
            deadline=self.deadline,
            out=self.out,
        )
        self.migrated(step.service)

    def _start(self, step: Start) -> None:
        self.touching()
        begin = time.monotonic()
        self.compose.up(step.services, self.rendered, self.deadline, recreate=step.recreate)
        self.mover.attach(step.services)
        self.out.progress(phase(step), step.name, time.monotonic() - begin)

    def _grow(self, step: Grow) -> None:
        self.touching()
        begin = time.monotonic()
        present = facts.containers(self.api, self.folder.stack, step.services)
        scale = {
            name: count + sum(each.service == name for each in present)
            for name, count in zip(step.services, step.counts)
        }
        self.compose.up(step.services, self.rendered, self.deadline, recreate=False, scale=scale)
        self.mover.attach(step.services)
        self.out.progress(phase(step), step.name, time.monotonic() - begin)

    def _edge_up(self, _: EdgeUp) -> None:
        wanted = self.wanted_edge or {}
        fetch(
            [wanted["image"]],
            api=self.api,
            registries=self.registries,
            architecture=self.machine.architecture,
            deadline=self.deadline,
            out=self.out,
        )
        self.edge.ensure(wanted, self.folder.stack, self.deadline)

    def _remove(self, step: Remove) -> None:
        self.touching()
        begin = time.monotonic()
        stop_and_remove(step.containers, self.api, min(_STOP_SECONDS, self.deadline.remaining()))
        self.out.progress(phase(step), step.name, time.monotonic() - begin)

    def _await(self, step: Await) -> None:
        services = [self.rendered.services[name] for name in step.services]
        if step.counts:
            pairs = zip(services, step.counts)
            services = [service._replace(replicas=count) for service, count in pairs]
        await_healthy(
            services,
            api=self.api,
            stack=self.folder.stack,
            deadline=self.deadline,
            limit=self.health_deadline,
            out=self.out,
        )

    def _observe(self, step: Observe) -> None:
        self.deadline.extend(step.seconds)
        self.out.progress(phase(step), f"{step.service} is looked at for {step.seconds:.0f} s")
        stay_up(
            self.rendered.services[step.service],
            api=self.api,
            stack=self.folder.stack,
            deadline=self.deadline,
            seconds=step.seconds,
            out=self.out,
        )

    def _smoke(self, step: Smoke) -> None:
        entries = self.release["services"]
        edge = ("127.0.0.1", int((self.wanted_edge or {}).get("http_port", 0))) if step.preview else None
        run_checks(
            {name: entries[name]["smoke"] for name in step.services},
            {
                name: Place(self.rendered.services[name].config, edge, entries[name]["preview"] if edge else "")
                for name in step.services
            },
            api=self.api,
            stack=self.folder.stack,
            deadline=self.deadline,
            out=self.out,
        )
