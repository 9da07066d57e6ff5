"""One deployment on one host, from the lock to the report: the order of things."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.deadline import Deadline, Stop
from slipway.agent.deploy import preflight
from slipway.agent.deploy.actions import Actions
from slipway.agent.deploy.attempt import Attempt
from slipway.agent.deploy.failure import undo
from slipway.agent.deploy.migrate import remove_one_offs
from slipway.agent.deploy.plan import Plan, WantedRelease, deployment, name_of_proof
from slipway.agent.deploy.report import report
from slipway.agent.deploy.runner import Runner
from slipway.agent.docker import pull
from slipway.agent.docker.machine import supports_start_interval
from slipway.agent.release.rendering import render
from slipway.agent.state.journal import end_orphans
from slipway.agent.state.lock import lock
from slipway.agent.strategies.steps import names
from slipway.agent.traffic.traffic_shift import facts_of_routes
from slipway.contract.barriers import DONE
from slipway.contract.outcomes import DEPLOYED, REPAIRED, UNCHANGED

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.agent.docker.facts import Container
    from slipway.agent.output import Output
    from slipway.agent.release.rendering import Rendered
    from slipway.agent.state.stack_dir import StackFolder
    from slipway.agent.strategies.planner_types import Routed
    from slipway.contract.deployment import Deployment

__all__ = ["deploy", "dry_run"]

_YIELDING = 10  # of 19


def deploy(document: Deployment, folder: StackFolder, out: Output, watch: Callable[[Attempt], None]) -> dict[str, Any]:
    """Make the release live, and have it watched by `watch`; the Report.

    Raises:
        SlipwayError: it failed; the message says which release serves now.
    """
    stop = Stop()
    stop.install()
    runtime.lower_priority(_YIELDING)  # what serves visitors comes first, also before Compose, which inherits this
    folder.create()
    begin = runtime.monotonic()
    reason = f"deploy {document.release.id}"
    origin = folder.origin()  # now: while this one waits or works, others may look and say who they are
    with lock(folder.lock, owner=origin.get("actor", ""), reason=reason, wait=document.options.lock_wait, stop=stop):
        attempt = Attempt(document, folder, out, stop, origin=origin, begin=begin)
        done = _DeployRun(attempt).run()
        if attempt.outcome == DEPLOYED or attempt.keeping.kept:
            watch(attempt)
        return done


def dry_run(document: Deployment, folder: StackFolder, out: Output) -> None:
    """Print the plan, one step a line; change nothing."""
    plan, _ = _DeployRun(Attempt(document, folder, out, Stop())).plan(keep_key=False)
    for name in names(plan.steps):
        out.say(name)
    if not plan.steps:
        out.say("nothing to do")


class _DeployRun:
    """A release on its way to being live."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    def run(self) -> dict[str, Any]:
        """Do it; the Report. A failure leaves or brings back the release that was live."""
        attempt = self._attempt
        self._recover()
        attempt.fleet.open()
        attempt.begin_journal(attempt.release.id, attempt.document.convergence)
        try:
            done = self._forward()
        except Exception as error:  # a bug of ours rolls back, too
            if attempt.recorded:
                attempt.journal.end(attempt.outcome)
                raise
            raise undo(attempt, error) from error
        attempt.journal.end(attempt.outcome)
        attempt.fleet.publish(DONE)
        return done

    def plan(self, *, keep_key: bool) -> tuple[Plan, Rendered]:
        """Facts read, release rendered, plan made; `keep_key` allows the key of the configuration hashes to be made."""
        attempt, access = self._attempt, self._attempt.access
        rendered = render(
            attempt.release,
            attempt.document.services,
            attempt.document.secrets,
            key=attempt.folder.hash_key(make=keep_key),
            folder=attempt.folder,
            quick_health=supports_start_interval(access.machine),
        )
        seen = attempt.containers()
        if attempt.live is not None and attempt.live.release == attempt.release.id:
            # What an earlier deployment of this very release kept is as it should be.
            kept = attempt.keeping.containers
            seen = [each for each in seen if each.id not in kept]
        images = sorted({service.image for service in rendered.services.values()})
        missing = pull.missing(access.api, images)
        wanted, routed = self._wanted(rendered), self._routed(rendered, seen)
        return deployment(wanted, seen, attempt.live, missing, routed), rendered

    def _routed(self, rendered: Rendered, seen: list[Container]) -> Routed:
        attempt, edge, wanted = self._attempt, self._attempt.access.edge, self._attempt.document.edge
        found = facts_of_routes(
            rendered.services,
            attempt.release,
            wanted,
            attempt.document.secrets,
            current=edge.current(attempt.folder.stack),
            containers=seen,
        )
        lacking = wanted is not None and edge.lacks(wanted, attempt.folder.stack)
        return found._replace(edge=wanted.version) if wanted and lacking else found

    def _wanted(self, rendered: Rendered) -> WantedRelease:
        attempt, document = self._attempt, self._attempt.document
        own, fleet = attempt.release.services, document.fleet
        leads = fleet is None or fleet.leader == document.host
        done = attempt.ledger.migrated(attempt.release.id)
        return WantedRelease(
            release=attempt.release.id,
            convergence=document.convergence,
            services=rendered.services,
            migrations=tuple(n for n in rendered.services if leads and own[n].migrate and n not in done),
            smoke=tuple(n for n, s in rendered.services.items() if own[n].smoke and s.replicas),
            retention=attempt.options.retention,
            fleet=fleet is not None,
        )

    def _recover(self) -> None:
        attempt = self._attempt
        if attempt.unfinished is None:
            return
        attempt.out.progress("recover", f"an interrupted deployment: {attempt.unfinished.text()}")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(attempt.folder.compose)
        ended = end_orphans(attempt.unfinished)
        if ended:
            attempt.out.progress("recover", f"ended {ended} process(es) that it had left running")

    def _forward(self) -> dict[str, Any]:
        attempt, options = self._attempt, self._attempt.options
        deadline = Deadline(options.deadline, "the deployment", (attempt.stop.check, attempt.fleet.check))
        begin = runtime.monotonic()
        if attempt.unfinished is not None or attempt.keeping.overdue:
            attempt.finish_stops()
            attempt.access.edge.settle(attempt.folder.stack, deadline)
        plan, rendered = self.plan(keep_key=True)
        api, stack = attempt.access.api, attempt.folder.stack
        if attempt.unfinished is not None:
            remove_one_offs(api, stack)
        attempt.outcome = self._outcome_of(plan, rendered)
        if plan.touched:
            preflight.check(
                rendered.compose,
                plan.touched,
                api=api,
                machine=attempt.access.machine,
                stack=stack,
                disk_minimum_mb=options.disk_minimum_mb,
            )
        phases = {"facts": runtime.monotonic() - begin}
        if not plan.steps:
            attempt.out.progress("plan", f"nothing to do: {attempt.release.id} is live")
        actions = Actions(attempt, attempt.release, rendered, attempt.document.secrets, deadline)
        runner = Runner(attempt.journal, actions.act)
        runner.run(plan.steps)
        phases.update(runner.phases)
        return report(attempt, rendered, touched=plan.touched, phases=phases)

    def _outcome_of(self, plan: Plan, rendered: Rendered) -> str:
        live = self._attempt.live
        proofs = live.services if live else {}
        unproven = any(name_of_proof(proofs.get(s.name)) != s.config for s in rendered.services.values())
        if not (plan.touched or unproven):
            return UNCHANGED
        same = live is not None and live.release == self._attempt.release.id
        return REPAIRED if same and not unproven else DEPLOYED
