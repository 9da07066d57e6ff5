"""One deployment on one host, from the lock to the report.

Owns the order of things and what a failure does: nothing when nothing was touched, else the previous release comes
back. Does not own how a step is done (`actions`) or which steps there are (`plan`).
"""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Any

from slipway.contract import CONTRACT
from slipway.contract.container_illness import illness
from slipway.contract.problems import SlipwayError

from agent import fetch, preflight
from agent.actions import Actions
from agent.compose import Compose
from agent.deadline import Deadline, Stop
from agent.edge import Edge
from agent.facts import containers, supports_start_interval
from agent.fleet import Fleet
from agent.going_back import clear_first, go_back
from agent.journal import Journal, end_orphans
from agent.keeping import Keeping
from agent.ledger import Ledger, Proof
from agent.lock import lock
from agent.migrate import remove_one_offs
from agent.observe import observed, proof_state
from agent.output import RESULT_LIMIT
from agent.plan import Plan, Routed, Wanted, deployment, name_of_proof
from agent.probe import require_host
from agent.rendering import render
from agent.retention import prune
from agent.runner import Runner
from agent.steps import names
from agent.traffic import Mover, facts_of_routes
from agent.validation import refuge
from agent.watching import start_watch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.docker_api import DockerApi
    from agent.facts import Container, Machine
    from agent.going_back import Back
    from agent.ledger import Live
    from agent.output import Output
    from agent.rendering import Rendered
    from agent.state import StackFolder

__all__ = ["Deployment", "deploy", "dry_run"]

_YIELDING = 10  # of 19


def deploy(document: dict[str, Any], folder: StackFolder, out: Output) -> dict[str, Any]:
    """Make the release live; the Report.

    Raises:
        SlipwayError: it failed; the message says which release serves now.
    """
    stop = Stop()
    stop.install()
    with contextlib.suppress(OSError):
        os.nice(_YIELDING)  # what serves visitors comes first, also before Compose, which inherits this
    folder.create()
    begin = time.monotonic()
    reason = f"deploy {document['release']['id']}"
    wait = float(document["options"]["lock_wait"])
    origin = folder.origin()  # now: while this one waits or works, others may look and say who they are
    with lock(folder.lock, owner=origin.get("actor", ""), reason=reason, wait=wait, stop=stop):
        return Deployment(document, folder, out, stop, begin, origin=origin).run()


def dry_run(document: dict[str, Any], folder: StackFolder, out: Output) -> None:
    """Print the plan, one step a line; change nothing."""
    planned = Deployment(document, folder, out, Stop(), time.monotonic()).planned(keep_key=False)
    for name in names(planned.steps):
        out.say(name)
    if not planned.steps:
        out.say("nothing to do")


class Deployment:
    """A release on its way to being live on this host; the lock is held around it."""

    api: DockerApi
    machine: Machine
    rendered: Rendered
    edge: Edge

    def __init__(
        self,
        document: dict[str, Any],
        folder: StackFolder,
        out: Output,
        stop: Stop,
        begin: float,
        *,
        origin: Mapping[str, str] | None = None,
    ) -> None:
        self.document = document
        self.release = document["release"]
        self.options = document["options"]
        self.folder = folder
        self.out = out
        self.stop = stop
        self.begin = begin
        self.origin = dict(origin or {})
        self.actor = self.origin.get("actor", "")
        self.ledger = Ledger(folder.ledger)
        self.live = self.ledger.live()
        self.journal = Journal(folder.journal)
        self.unfinished = self.journal.unfinished()
        name = f"{self.release['id']}/{document['convergence']}"
        self.fleet = Fleet(folder, name, active=document["fleet"] is not None)
        self.keeping = Keeping(folder)
        self.touched = False
        self.outcome = "unchanged"
        self.failed_at: float | None = None
        self.back_seconds: float | None = None
        """from the failure until the requests were back where they came from; None when they had not moved"""
        self.recorded = False
        self.removed: list[str] = []
        self.warnings: list[str] = []

    def run(self) -> dict[str, Any]:
        """Do it; the Report. A failure leaves or brings back the release that was live."""
        self._recover()
        self.fleet.open()
        self.journal.begin(
            release=self.release["id"],
            convergence=self.document["convergence"],
            previous=self.live.release if self.live else None,
            actor=self.actor,
        )
        try:
            report = self._forward()
        except Exception as error:  # the previous release comes back after a bug of ours too
            if self.recorded:
                self.journal.end(self.outcome)
                raise
            raise self._failed(error) from error
        self.journal.end(self.outcome)
        self.fleet.publish("done")
        if self.outcome == "deployed" or self.keeping.kept:
            start_watch(self.document, self.folder, self.live, self.out)
        return report

    def return_to(self, before: Live, secrets: dict[str, str], why: str) -> str:
        """Make `before` live again, with the secret values that it was proven with; what happened, in words."""
        assert self.live is not None  # noqa: S101 - there is something to return from
        self._look()
        self.journal.begin(release=before.release, convergence="", previous=self.live.release, actor=self.actor)
        self.failed_at = time.monotonic()
        said = self._go_back(before, secrets, secrets).said
        self.ledger.append(self.live.release, "rejected", reason=why, **self.origin)
        self.ledger.append(
            before.release,
            "returned",
            reason=why,
            **self.origin,
            previous=self.live.release,
            convergence="",
            services=before.services,
        )
        self.folder.store_secrets(secrets)
        self.keeping.forget()
        self.journal.end("returned")
        return said

    def planned(self, *, keep_key: bool) -> Plan:
        """Facts read, release rendered, plan made."""
        self._look()
        self.rendered = render(
            self.release,
            self.document["services"],
            self.document["secrets"],
            key=self.folder.hash_key(make=keep_key),
            folder=self.folder,
            quick_health=supports_start_interval(self.machine),
        )
        seen = containers(self.api, self.folder.stack)
        if self.live is not None and self.live.release == self.release["id"]:
            # What an earlier deployment of this very release kept is as it should be.
            kept = self.keeping.containers
            seen = [each for each in seen if each.id not in kept]
        images = sorted({service.image for service in self.rendered.services.values()})
        return deployment(self._wanted(), seen, self.live, fetch.missing(self.api, images), self._routed(seen))

    def _look(self) -> None:
        self.api, self.machine = require_host()
        self.edge = Edge(self.api, self.out)

    def _routed(self, seen: list[Container]) -> Routed:
        wanted = self.document["edge"]
        found = facts_of_routes(
            self.rendered,
            self.release,
            wanted,
            self.document["secrets"],
            current=self.edge.current(self.folder.stack),
            containers=seen,
        )
        lacking = wanted is not None and self.edge.lacks(wanted, self.folder.stack)
        return Routed(found.weights, found.stale, wanted["version"] if lacking else "")

    def _wanted(self) -> Wanted:
        own, fleet = self.release["services"], self.document["fleet"]
        leads = fleet is None or fleet["leader"] == self.document["host"]
        done = self.ledger.migrated(self.release["id"])
        return Wanted(
            release=self.release["id"],
            convergence=self.document["convergence"],
            services=self.rendered.services,
            migrations=tuple(n for n in self.rendered.services if leads and own[n]["migrate"] and n not in done),
            smoke=tuple(n for n, s in self.rendered.services.items() if own[n]["smoke"] and s.replicas),
            retention=self.options["retention"],
            fleet=fleet is not None,
        )

    def _recover(self) -> None:
        if self.unfinished is None:
            return
        self.out.progress("recover", f"an interrupted deployment: {self.unfinished.text()}")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.folder.compose)
        ended = end_orphans(self.unfinished)
        if ended:
            self.out.progress("recover", f"ended {ended} process(es) that it had left at work")

    def _forward(self) -> dict[str, Any]:
        checks = (self.stop.check, self.fleet.check)
        deadline = Deadline(self.options["deadline"], "the deployment", checks)
        begin = time.monotonic()
        planned = self.planned(keep_key=True)
        if self.unfinished is not None:
            remove_one_offs(self.api, self.folder.stack)
        self.outcome = self._outcome_of(planned)
        if planned.touched:
            preflight.check(
                self.rendered.compose,
                planned.touched,
                api=self.api,
                machine=self.machine,
                stack=self.folder.stack,
                disk_minimum_mb=self.options["disk_minimum_mb"],
            )
        phases = {"facts": time.monotonic() - begin}
        if not planned.steps:
            self.out.progress("plan", f"nothing to do: {self.release['id']} is live")
        actions = self._actions(self.release, self.rendered, deadline, self.document["secrets"])
        runner = Runner(self.journal, actions.act)
        runner.run(planned.steps)
        phases.update(runner.phases)
        return self._report(planned, phases)

    def _outcome_of(self, planned: Plan) -> str:
        proofs = self.live.services if self.live else {}
        unproven = any(name_of_proof(proofs.get(s.name)) != s.config for s in self.rendered.services.values())
        if not (planned.touched or unproven):
            return "unchanged"
        same = self.live is not None and self.live.release == self.release["id"]
        return "repaired" if same and not unproven else "deployed"

    def _actions(
        self, release: dict[str, Any], rendered: Rendered, deadline: Deadline, secrets: dict[str, str]
    ) -> Actions:
        mover = Mover(
            release=release,
            rendered=rendered,
            secrets=secrets,
            edge=self.edge,
            wanted=self.document["edge"],
            api=self.api,
            stack=self.folder.stack,
            deadline=deadline,
            out=self.out,
            shifted=self._shifted,
        )
        return Actions(
            release=release,
            rendered=rendered,
            api=self.api,
            machine=self.machine,
            compose=Compose(self.folder, self.api.path, self.journal.child),
            folder=self.folder,
            out=self.out,
            deadline=deadline,
            health_deadline=float(self.options["health_deadline"]),
            registries=self.document["registries"],
            fleet=self.fleet,
            edge=self.edge,
            wanted_edge=self.document["edge"],
            mover=mover,
            keep=self._keep,
            touching=self._touching,
            record=self._record,
            migrated=self._migrated,
            prune=self._prune,
        )

    def _migrated(self, service: str) -> None:
        # a release of before must not come back to data that it cannot read, also when the engine's history is lost
        lasting = bool(self.release["services"][service]["migrate"].get("irreversible"))
        self.ledger.append(self.release["id"], "migrated", service=service, irreversible=lasting)

    def _shifted(self) -> None:
        if self.failed_at is not None and self.back_seconds is None:
            self.back_seconds = round(time.monotonic() - self.failed_at, 3)

    def _touching(self) -> None:
        self.touched = True

    def _record(self) -> None:
        seen = containers(self.api, self.folder.stack)
        proofs = {
            name: Proof(service.config, service.image, service.replicas, proof_state(seen, name))
            for name, service in self.rendered.services.items()
        }
        earlier = self.live.services if self.live else {}
        for name, proof in earlier.items():
            if name in proofs and proof.completed and proof.config == proofs[name].config:
                proofs[name] = proofs[name]._replace(completed=True)
        earlier_secrets = self.folder.stored_secrets()
        self.folder.store_secrets({**earlier_secrets, **self.document["secrets"]})
        if self.outcome == "deployed" and self.document["watch"] is not None:
            # A watch that brings the previous release back needs the values that it was proven with.
            self.folder.store_previous_secrets(earlier_secrets)
        self.ledger.append(
            self.release["id"],
            self.outcome,
            convergence=self.document["convergence"],
            **self.origin,
            previous=self.live.release if self.live else None,
            seconds=round(time.monotonic() - self.begin, 3),
            services=proofs,
        )
        self.recorded = True
        if self.outcome == "deployed":
            self.keeping.forget()  # what was kept is live again, or gone
        needed = {*self.release["secrets"]}
        self.folder.store_secrets({name: value for name, value in self.document["secrets"].items() if name in needed})

    def _keep(self, service: str, containers: tuple[str, ...]) -> None:
        entry = self.release["services"][service]
        self.keeping.keep(service, containers, seconds=entry["keep"], drain=entry["drain"], port=entry["port"])

    def _prune(self, retention: int) -> None:
        try:
            if self.document["edge"] is None and self.edge.current(self.folder.stack) is not None:
                self.edge.drop_stack(self.folder.stack)
            removed, warnings = prune(self.folder, self.ledger, retention, self.api)
        except (SlipwayError, OSError) as error:
            removed, warnings = [], [f"pruning stopped: {error}"]
        self.removed += removed
        self.warnings += warnings

    def _report(self, planned: Plan, phases: dict[str, float]) -> dict[str, Any]:
        kept = self.keeping.containers
        seen = [each for each in containers(self.api, self.folder.stack) if each.id not in kept]
        for each in seen:
            if each.state != "exited" and (ill := illness(each.state, each.health)):
                self.warnings.append(f"{each.name} is {ill}; this deployment did not touch it")
        images = {name: service.image for name, service in self.rendered.services.items()}
        replicas = {name: service.replicas for name, service in self.rendered.services.items()}
        report = {
            "contract": CONTRACT,
            "stack": self.folder.stack,
            "host": self.document["host"],
            "release": self.release["id"],
            "previous": self.live.release if self.live else None,
            "outcome": self.outcome,
            "touched": list(planned.touched),
            "services": observed(images, replicas, seen),
            "seconds": round(time.monotonic() - self.begin, 3),
            "phases": {phase: round(seconds, 3) for phase, seconds in phases.items()},
            "removed": self.removed,
            "warnings": self.warnings,
        }
        self.out.progress("done", f"{self.release['id']} {self.outcome}", report["seconds"])
        return _capped(report)

    def _failed(self, error: Exception) -> SlipwayError:
        from agent.bug import as_error

        failure = as_error(error, self.folder, self.out.redactor)
        self.failed_at = time.monotonic()
        self.stop.clear()
        with contextlib.suppress(OSError):  # a full disk must not keep the previous release from coming back
            self.fleet.publish("failed", self.out.redactor.text(failure.what)[:500])
        self.out.progress("failed", failure.what)
        evidence = list(failure.evidence)
        known = True
        try:
            now = self._on_to_validated(self._return(), evidence)
        except Exception as second:  # noqa: BLE001 - both failures belong in one message
            known = False
            again = as_error(second, self.folder, self.out.redactor)
            now = f"and going back failed too ({again.what}), so what serves is not certain"
            evidence += [f"going back: {again}", *again.evidence]
        reason = self.out.redactor.text(f"{failure.what}; {now}")[:1000]
        with contextlib.suppress(OSError):
            back = {} if self.back_seconds is None else {"back_seconds": self.back_seconds}
            self.ledger.append(self.release["id"], "failed", reason=reason, **self.origin, **back)
            if known:
                self.journal.end("failed")
        problem = failure.problems[0]
        return SlipwayError(problem._replace(meaning=f"{problem.meaning}; {now}", evidence=tuple(evidence)))

    def _return(self) -> str:
        """Leave the host as it was; which release serves now, in words."""
        if not (self.touched or self.unfinished):
            return f"release {self.live.release} serves as before" if self.live else "nothing was started"
        if not hasattr(self, "api"):
            self._look()
        if self.live is None:
            clear_first(self.api, self.edge, self.folder.stack, self.out)
            return "nothing was live before, so what it had started was removed (volumes stay)"
        return self._go_back_to_live()

    def _go_back_to_live(self) -> str:
        assert self.live is not None  # noqa: S101 - there is something to go back to
        return self._go_back(self.live, self.document["secrets"], self.folder.stored_secrets()).said

    def _on_to_validated(self, now: str, evidence: list[str]) -> str:
        """Once what was live is back: go on to the release that was validated last; which serves now, in words."""
        wanted = refuge(self.ledger, self.folder, self.release["id"])
        if wanted is None or self.live is None:
            return now
        self.touched = False
        try:
            self._bring_validated(wanted)
        except Exception as error:  # noqa: BLE001 - what was live serves on, whatever keeps the other from it
            from agent.bug import as_error

            failure = as_error(error, self.folder, self.out.redactor)
            evidence += [f"going on to the validated {wanted.release}: {failure}", *failure.evidence]
            serves = self._go_back_to_live() if self.touched else now
            return f"{serves}; the last validated release {wanted.release} could not be brought back ({failure.what})"
        return (
            f"release {wanted.release}, the last validated one, was brought back and serves "
            f"(release {self.live.release}, which was live, is not validated)"
        )

    def _bring_validated(self, wanted: Live) -> None:
        assert self.live is not None  # noqa: S101 - else there is nothing that it takes the place of
        secrets = {**self.folder.stored_secrets(), **self.document["secrets"]}
        needed = (self.folder.release(wanted.release) or {}).get("secrets", [])
        missing = sorted(set(needed) - set(secrets))
        if missing:
            raise SlipwayError(
                f"its secrets {', '.join(missing)} have no value any more",
                "it would run without them",
                "deploy a release that works",
            )
        if not hasattr(self, "api"):
            self._look()
        self.out.progress("back", f"on to {wanted.release}, the last validated release")
        back = self._go_back(wanted, secrets, secrets, prefix="validated:")
        self.folder.store_secrets(secrets)
        self.ledger.append(
            wanted.release,
            "returned",
            reason=f"{self.release['id']} failed; the last validated release",
            **self.origin,
            previous=self.live.release,
            convergence="",
            services=back.services,
        )
        self.folder.store_secrets({name: secrets[name] for name in needed})
        self.keeping.forget()  # what was kept of it is live again

    def _go_back(self, live: Live, now: dict[str, str], proven: dict[str, str], prefix: str = "back:") -> Back:
        deadline = Deadline(self.options["deadline"], "going back")
        return go_back(
            live,
            now=now,
            proven=proven,
            folder=self.folder,
            quick_health=supports_start_interval(self.machine),
            api=self.api,
            edge=self.edge,
            actions=lambda release, rendered, secrets: self._actions(release, rendered, deadline, secrets),
            journal=self.journal,
            ledger=self.ledger,
            out=self.out,
            prefix=prefix,
        )


def _capped(report: dict[str, Any]) -> dict[str, Any]:
    """The report below the driver's line limit: what is only nice to know goes first."""
    import json

    for field, keep in (("removed", 20), ("warnings", 5)):
        if len(json.dumps(report)) < RESULT_LIMIT:
            return report
        report[field] = report[field][:keep]
    for service in report["services"].values():
        if len(json.dumps(report)) < RESULT_LIMIT:
            return report
        service["containers"] = service["containers"][:1]
    return report
