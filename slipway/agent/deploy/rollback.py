"""Rolls back to an earlier release, or clears away a first one that failed.

A release comes back with the secret values it was proven with, so that untouched containers stay as they are and a bad
new secret cannot break the rollback; only when that fails, with today's (the old ones may be revoked by now).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slipway.agent import runtime
from slipway.agent.deadline import Deadline
from slipway.agent.deploy.actions import Actions
from slipway.agent.deploy.destroy import remove_containers
from slipway.agent.deploy.plan import converge
from slipway.agent.docker import pull
from slipway.agent.move.data_users import DataUsedError
from slipway.agent.strategies.steps import CheckRoutes, Fetch, ShiftTraffic, Write
from slipway.agent.traffic.wanted_routes import facts_of_routes
from slipway.contract.deployment import Release
from slipway.contract.outcomes import REPAIRED
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.agent.deploy.attempt import Attempt
    from slipway.agent.state.ledger import Live, Proof
    from slipway.agent.strategies.steps import Step

__all__ = ["Back", "clear_first", "roll_back_to"]


class Back(NamedTuple):
    """How a rollback ended."""

    said: str  # which release serves now, and what of it does not, in words
    services: dict[str, Proof]  # what it consists of, with the secrets that it has now
    but: str = ""  # what of it does not


def roll_back_to(
    attempt: Attempt, live: Live, *, now: Mapping[str, str], proven: Mapping[str, str], prefix: str = "back:"
) -> Back:
    """Roll back to `live`: converge wherever the host differs from it.

    `proven` are the secret values that it was proven with, `now` those of today; `prefix` begins the names that the
    journal knows the steps by.
    """
    folder, out = attempt.folder, attempt.out
    kept = folder.release(live.release)
    if kept is None:
        raise SlipwayError(
            f"the record of release {live.release} is missing on this host",
            "this host cannot roll back to it",
            "deploy a release",
        )
    release = Release.from_json(kept)
    then = {name: proven.get(name, now.get(name, "")) for name in release.secrets}
    today = {name: now.get(name, proven.get(name, "")) for name in release.secrets}
    begin = runtime.monotonic()
    deadline = Deadline(attempt.options.deadline, "the rollback")
    unproven = False
    for values in (then, today):
        deadline.extend(attempt.finish_stops())  # each takes what it asked for, however little time there is
        rendered = attempt.render(release, live.services, values, keep_key=True)
        try:
            actions = Actions(attempt, release, rendered, values, deadline)
            kept_from: dict[str, str] = {}
            touched = _converge(attempt, live, actions, prefix, kept_from, unproven=unproven)
        except SlipwayError as error:
            if values == today:
                raise
            unproven = True
            out.progress("back", f"{live.release} with the secrets that it was proven with: {error.what}")
            continue
        break
    services = {name: proof._replace(config=rendered.services[name].config) for name, proof in live.services.items()}
    if values != then:
        folder.store_secrets(values)
        attempt.ledger.append(
            live.release, REPAIRED, convergence=live.convergence, reason="secrets of today", services=services
        )
    if touched:
        out.progress("back", f"{live.release} ({', '.join(touched)})", runtime.monotonic() - begin)
    was = f"{live.release} as it was before" if live.release == attempt.release.id else live.release  # other secrets
    said = f"rolled back to release {was}, which serves" if touched else f"release {live.release} still serves"
    but = "".join(f", but for {name}: {why}" for name, why in kept_from.items())
    return Back(f"{said}{but}", services, but)


def clear_first(attempt: Attempt) -> None:
    """Remove the routes, containers and networks of a stack of which nothing ran before; never its volumes."""
    begin = runtime.monotonic()
    attempt.access.edge.drop_stack(attempt.folder.stack)
    remove_containers(attempt.folder.stack, attempt.access.api, attempt.note_stops)
    attempt.out.progress("back", "removed what the failed deployment had started", runtime.monotonic() - begin)


def _converge(
    attempt: Attempt, live: Live, actions: Actions, prefix: str, kept_from: dict[str, str], *, unproven: bool
) -> list[str]:
    """Do what makes `live` run again, and ask for its routes; the services touched.

    Services whose data somebody else took meanwhile stay as they are, and are added to those that are `kept_from` it:
    all else comes back. Where nothing is touched yet, as by the watch, they keep all of it from coming back.
    """
    services = {name: each for name, each in actions.rendered.services.items() if name not in kept_from}
    seen = [each for each in attempt.containers() if each.service not in kept_from]
    current = attempt.access.edge.current(attempt.folder.stack)
    routed = facts_of_routes(services, actions.release, None, actions.secrets, current=current, containers=seen)
    routed = routed._replace(weights={name: each for name, each in routed.weights.items() if name not in kept_from})
    plans = converge(services, seen, live.services, routed=routed, back=True, resumed=attempt.unfinished is not None)
    if not (plans.first or plans.steps or plans.left or plans.late or unproven or attempt.doubted):
        return []
    images = sorted({service.image for service in services.values()})
    before: list[Step] = [Fetch(tuple(images))] if pull.missing(attempt.access.api, images) else []
    # Requests go back before anything else: what they go to is here and runs.
    steps = [*plans.first, *before, Write(live.release), *plans.steps, *plans.left, *plans.late]
    checked = {name for name, entry in actions.release.services.items() if entry.smoke}
    routes = tuple(n for n, each in services.items() if each.replicas and (each.traffic.routed or n in checked))
    touched = plans.touched or [step.service for step in plans.first if isinstance(step, ShiftTraffic)]
    steps += [CheckRoutes(routes, tuple(touched), doubted=True)] if routes else []
    taken = ""
    try:
        for taken in plans.touched:
            attempt.users.check(actions.rendered.compose, (taken,))
        taken = ""
        actions.run(steps, prefix)
    except DataUsedError as error:
        if not (attempt.touched or attempt.unfinished):
            raise
        if taken:  # else somebody was quicker, and is found now
            attempt.out.progress("back", f"{taken} stays as it is: {error.what}")
            kept_from[taken] = f"{error.what} ({error.problems[0].fix})"
        return _converge(attempt, live, actions, prefix, kept_from, unproven=unproven)
    return touched
