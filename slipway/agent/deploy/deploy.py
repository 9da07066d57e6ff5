"""One deployment on one host, from the lock to the report: the order of things."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent import runtime
from slipway.agent.deadline import Deadline, Stop
from slipway.agent.deploy import preflight
from slipway.agent.deploy.actions import Actions
from slipway.agent.deploy.attempt import Attempt
from slipway.agent.deploy.failure import undo, unfinished
from slipway.agent.deploy.migrate import remove_one_offs
from slipway.agent.deploy.plan import Plan, WantedRelease, deployment
from slipway.agent.deploy.planned import IN_PLACE, Known, changes, plan_document, unlike_plan
from slipway.agent.deploy.recording import report
from slipway.agent.docker import facts, pull
from slipway.agent.drift import drift, route_drift
from slipway.agent.edge.edge_dir import EdgeFolder
from slipway.agent.edge.secret_files import check_certificates
from slipway.agent.fleet import Fleet
from slipway.agent.move.checks import check_folders, check_kept, check_names, shared_now
from slipway.agent.move.claims import check_claims, taken_over_by, with_ways_back
from slipway.agent.move.handover_steps import old_changes, taken_over, with_handover
from slipway.agent.move.left_data import LeftData, check_left_data, left_data, seeds_of
from slipway.agent.move.old_project import UNDOING, OldProject
from slipway.agent.move.shared_data import data_of_service
from slipway.agent.release.release_diff import changed_networks
from slipway.agent.state.journal import end_orphans
from slipway.agent.state.lock import DEPLOYMENT, lock
from slipway.agent.state.owner import check_owner, note_owner
from slipway.agent.strategies.steps import EdgeUp, ShiftTraffic, Unroute
from slipway.agent.traffic.wanted_routes import facts_of_routes
from slipway.contract.barriers import DONE
from slipway.contract.outcomes import DEPLOYED, REPAIRED, UNCHANGED
from slipway.contract.plan import DATA_STAYS, UNDO_FINISHED, Change, sentence
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.docker.facts import Container
    from slipway.agent.move.old_project import OldContainer
    from slipway.agent.output import Output
    from slipway.agent.release.rendering import Rendered
    from slipway.agent.state.stack_dir import StackFolder
    from slipway.agent.strategies.service import Service
    from slipway.agent.strategies.steps import Step
    from slipway.contract.deployment import Deployment

__all__ = ["deploy", "planned", "wanted_release"]

_YIELDING = 10  # of 19


class _Planned(NamedTuple):
    """A plan, and what it was made from."""

    plan: Plan
    rendered: Rendered
    seen: list[Container]
    edge: Change | None  # what happens to the edge
    old: Sequence[OldContainer] = ()  # of the project that ran here before
    data: Mapping[str, Sequence[str]] = {}  # what services may write to
    undo_first: str = ""  # the project whose undo is finished first
    behind: Sequence[LeftData] = ()  # what the old project writes to and the stack does not


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
    reason, wait = DEPLOYMENT + document.release.id, document.options.lock_wait
    origin = folder.origin()  # now: while this one waits or works, others may look and say who they are
    fleet = Fleet.of(document, folder)
    with fleet.telling(out), lock(folder.lock, owner=origin.get("actor", ""), reason=reason, wait=wait, stop=stop):
        check_owner(folder, document.owner, str(document.release.content["application"]))
        attempt = Attempt(document, folder, out, stop, origin=origin, begin=begin, fleet=fleet)
        return _run(attempt, watch)


def planned(document: Deployment, folder: StackFolder, out: Output) -> dict[str, Any]:
    """What `deploy` would do now, as a Plan document; changes nothing."""
    attempt = Attempt(document, folder, out, Stop())
    made = _plan(attempt, keep_key=False)
    found = plan_document(document.host, made.plan, made.rendered.services, _changes(attempt, made))
    try:
        check_owner(folder, document.owner, str(document.release.content["application"]))
        _preflight(attempt, made)
    except SlipwayError as error:
        found["refused"] = [problem.to_json() for problem in error.problems]
    return found


def _preflight(attempt: Attempt, made: _Planned) -> None:
    plan, rendered, access, stack = made.plan, made.rendered, attempt.access, attempt.folder.stack
    live, names = attempt.live, attempt.document.move_from if attempt.handover else ()
    if taken := taken_over_by(stack, access.api):
        attempt.runs_instead = "" if any(each.state in facts.RUNS for each in made.seen) else taken.stack
        raise SlipwayError(taken.problem)
    if attempt.handover:
        if not attempt.handover.old.open:
            check_claims(attempt.handover.old, stack)
        check_kept(attempt.handover.old)
        check_folders(attempt.handover.old, rendered.services)
    application, first = str(attempt.release.content["application"]), attempt.live is None
    check_names(stack, application, made.seen, names, first=first)
    if made.old:
        check_left_data(plan.touched, made.behind)
    services = [attempt.release.services[name] for name in attempt.document.services]
    access.edge.check_routes(stack, services)
    if edge := attempt.document.edge:
        check_certificates(EdgeFolder(), edge.certificates, stack, services=services, neighbours=edge.neighbours)
    if plan.touched:
        preflight.check(
            rendered.compose,
            plan.touched,
            api=access.api,
            machine=access.machine,
            stack=stack,
            old=OldProject(attempt.folder, access.api),
            changed=changed_networks(live and attempt.folder.release(live.release), attempt.release.content),
            disk_minimum_mb=attempt.options.disk_minimum_mb,
            giving_up=attempt.giving_up,
            move_from=attempt.document.move_from,
        )
        attempt.users.check(rendered.compose, plan.touched)
    if attempt.document.edge and made.edge and not made.undo_first:
        access.edge.check(attempt.document.edge, stack, standby=attempt.standby)


def _changes(attempt: Attempt, made: _Planned) -> list[Change]:
    folder, live = attempt.folder, attempt.live
    then, now = folder.stored_secrets(), attempt.document.secrets
    old = folder.release(live.release) if live else None
    drifted: dict[str, list[str]] = {}
    kept, edge = attempt.keeping.containers, attempt.access.edge
    seen = [each for each in made.seen if each.id not in kept]
    found = drift(live.services, seen) if live else []
    found += route_drift(live, old, seen, edge.current(folder.stack), edge.status()) if live else []
    for each in found:
        drifted.setdefault(each["service"], []).append(each["what"])
    if attempt.handover and attempt.handover.undone:
        drifted = {name: ["stopped by `slipway move undo`"] for name in drifted}
    known = Known(
        containers=made.seen,
        old=old,
        new=attempt.release.content,
        rotated=[name for name, value in now.items() if then.get(name, value) != value],
        drift=drifted,
        edge=made.edge,
        absent=_absent(made.rendered.compose, attempt.access.api) if made.plan.touched else (),
        outages=attempt.ledger.outages(),
        taken_over=taken_over(made.plan.steps, made.old, made.data),
    )
    planned = changes(made.plan, made.rendered.services, known)
    if made.undo_first:
        because = "it was cut off: all of it runs again, and the stack stands still, before anything else is done"
        planned.insert(0, Change(made.undo_first, UNDO_FINISHED, (because,), interrupts=True))
    project = attempt.handover.old.name if attempt.handover else ""
    planned += old_changes(made.plan.steps, made.rendered, made.old, project, attempt.edge_ports, data=made.data,
                           beside=attempt.document.move_beside)  # fmt: skip
    stays = [each.words for each in made.behind if not each.used] if made.plan.steps else []
    return [*planned, *([Change(project, DATA_STAYS, tuple(stays))] if stays else [])]


def _absent(compose: Mapping[str, Any], api: DockerApi) -> list[str]:
    names = {key: str((definition or {}).get("name") or key) for key, definition in compose["volumes"].items()}
    return [key for key, name in names.items() if api.volume(name) is None]


def _run(attempt: Attempt, watch: Callable[[Attempt], None]) -> dict[str, Any]:
    """The Report, with the release watched. A failure leaves or brings back the release that was live."""
    _recover(attempt)
    attempt.fleet.open()
    attempt.begin_journal(attempt.release.id, attempt.document.convergence)
    try:
        done = _forward(attempt)
    except Exception as error:  # a bug of ours rolls back, too
        if attempt.recorded:
            raise unfinished(attempt, error, watch) from error
        raise undo(attempt, error) from error
    attempt.fleet.publish(DONE)
    if attempt.deployed or attempt.keeping.kept or not attempt.document.watch:
        watch(attempt)
    attempt.end_journal(attempt.outcome)
    return done


def _recover(attempt: Attempt) -> None:
    if attempt.unfinished is None:
        return
    attempt.out.progress("recover", f"an interrupted deployment: {attempt.unfinished.text()}")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(attempt.folder.compose)
    if ended := end_orphans(attempt.unfinished):
        attempt.out.progress("recover", f"ended {ended} process(es) that it had left running")


def _forward(attempt: Attempt) -> dict[str, Any]:
    deadline = Deadline(attempt.options.deadline, "the deployment", (attempt.stop.check, attempt.fleet.check))
    begin = runtime.monotonic()
    if attempt.unfinished is not None or attempt.keeping.overdue:
        deadline.extend(attempt.finish_stops())
        attempt.access.edge.settle(attempt.folder.stack, deadline)
    deadline.extend(attempt.finish_undo())
    made = _plan(attempt, keep_key=True)
    plan, rendered, access, stack = made.plan, made.rendered, attempt.access, attempt.folder.stack
    if attempt.unfinished is not None:
        remove_one_offs(access.api, stack)
    attempt.outcome = _outcome(plan, attempt)
    _preflight(attempt, made)
    note_owner(attempt.folder, attempt.document.owner, attempt.document.host)
    attempt.users.note()
    phases = {"facts": runtime.monotonic() - begin}
    found: list[Change] = []
    try:
        found = _changes(attempt, made) if plan.steps else []
    except Exception as error:  # noqa: BLE001  # words about a deployment never fail it
        attempt.out.progress("plan", f"a defect of Slipway, please report it: no words for the plan ({error!r})")
    for change in found:
        attempt.out.progress("plan", f"{change.service} {sentence(change)}")
        _warn(attempt, (f"{change.service}: replaced {each}" for each in change.because if each.startswith(IN_PLACE)))
    if not plan.steps:
        attempt.out.progress("plan", f"nothing to do: {attempt.release.id} is live")
    actions = Actions(attempt, attempt.release, rendered, attempt.document.secrets, deadline)
    handover = attempt.handover
    if handover and (handover.old.open or made.old):
        handover.begin(attempt.ledger.proofs, attempt.options.deadline, attempt.document.edge, attempt.release.services)
    phases.update(actions.run(plan.steps))
    if handover and handover.old.open:
        _warn(attempt, handover.end())
        back = "until `slipway move finish`, `slipway move undo` leads back"
        attempt.out.progress("move", f"took over from {handover.old.name}; {back}")
    with contextlib.suppress(Exception):  # words about a deployment never fail it
        noted = OldProject(attempt.folder, access.api)
        others = shared_now(stack, attempt.release.content["compose"], access.api, noted)
        _warn(attempt, (f"{each.service}: {each.said}" for each in others))
        if found:
            _hold_against(found, made.seen, attempt)
    return report(attempt, rendered, touched=sorted({*plan.touched, *actions.mover.restarted}), phases=phases)


def _hold_against(planned: Sequence[Change], before: Sequence[Container], attempt: Attempt) -> None:
    """Warn of what happened otherwise than it was planned."""
    kept = attempt.keeping.containers
    after = [each for each in attempt.containers() if each.id not in kept]
    unlike = unlike_plan(planned, _by_service(before), _by_service(after))
    _warn(attempt, (f"a defect of Slipway, please report it: {what}" for what in unlike))


def _warn(attempt: Attempt, said: Iterable[str]) -> None:
    for each in said:
        attempt.warnings.append(each)
        attempt.out.progress("warning", each)


def _by_service(containers: Sequence[Container]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in containers:
        found.setdefault(each.service, []).append(each.id)
    return found


def _plan(attempt: Attempt, *, keep_key: bool) -> _Planned:
    """Look, and plan; `keep_key` allows the key of the configuration hashes to be made."""
    document, access, stack = attempt.document, attempt.access, attempt.folder.stack
    rendered = attempt.render(attempt.release, document.services, document.secrets, keep_key=keep_key)
    services = rendered.services
    before = OldProject(attempt.folder, access.api)
    undoing = before.name if before.state == UNDOING else ""  # as a preview finds it: a deployment has finished it
    left = {each[: facts.SHORT_ID] for each in attempt.handover.left} if attempt.handover else set()
    seen = [each for each in attempt.containers() if each.id not in left]
    if attempt.live is not None and attempt.live.release == attempt.release.id:
        # What an earlier deployment of this very release kept is as it should be.
        kept = attempt.keeping.containers
        seen = [each for each in seen if each.id not in kept]
    missing = pull.missing(access.api, sorted({service.image for service in services.values()}))
    current = access.edge.current(stack) if not undoing else None
    routed = facts_of_routes(
        services, attempt.release, document.edge, document.secrets, current=current, containers=seen
    )
    edge = access.edge.lacks(document.edge, stack, standby=attempt.standby) if document.edge else None
    edge = edge and with_ways_back(edge, stack, access.edge, access.api)
    if document.edge and (edge or undoing):
        routed = routed._replace(edge=document.edge.version)
    wanted = wanted_release(
        document, services, migrated=attempt.ledger.migrated(attempt.release.id), resumed=attempt.unfinished is not None
    )._replace(doubted=attempt.doubted)
    plan = deployment(wanted, seen, attempt.live, missing, routed)
    old = attempt.handover.old.containers() if attempt.handover else []
    old = [each._replace(running=True) for each in old] if undoing else old
    data = {name: data_of_service(name, rendered.compose, access.api) for name in services if old}
    steps: Sequence[Step] = plan.steps
    behind: list[LeftData] = []
    if old:
        seeds = seeds_of(attempt.release.files, attempt.folder.data)
        trial = attempt.handover.trial() if attempt.handover else {}
        behind = list(left_data(rendered.compose, old, api=access.api, seeds=seeds, trial=trial))
        steps = with_handover(steps, rendered, old, attempt.edge_ports, data, beside=document.move_beside)
    return _Planned(plan._replace(steps=tuple(steps)), rendered, seen, edge, old, data, undoing, behind)


def wanted_release(
    document: Deployment, services: Mapping[str, Service], *, migrated: Collection[str], resumed: bool = False
) -> WantedRelease:
    """A document's release for the planner; `migrated` are the services whose migration of it is done."""
    own, fleet = document.release.services, document.fleet
    leads = fleet is None or fleet.leader == document.host
    return WantedRelease(
        release=document.release.id,
        convergence=document.convergence,
        services=services,
        migrations=tuple(name for name in services if leads and own[name].migrate and name not in migrated),
        smoke=tuple(name for name, service in services.items() if own[name].smoke and service.replicas),
        retention=document.options.retention,
        fleet=fleet is not None,
        resumed=resumed,
    )


def _outcome(plan: Plan, attempt: Attempt) -> str:
    routed = any(isinstance(step, (ShiftTraffic, Unroute, EdgeUp)) for step in plan.steps)
    if not (plan.touched or plan.unproven or routed):
        return UNCHANGED
    same = attempt.live is not None and attempt.live.release == attempt.release.id
    return REPAIRED if same and not plan.unproven else DEPLOYED
