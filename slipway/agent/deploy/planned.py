"""What a plan would do, in words: per service what happens, because of what, and what that interrupts. Pure.

It reads the very steps that a deployment takes, so that what is said and what is done cannot drift apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent.docker.facts import RUNS
from slipway.agent.release.release_diff import differences
from slipway.agent.strategies.steps import (
    Drain,
    EdgeUp,
    Migrate,
    Remove,
    ScaleUp,
    ShiftTraffic,
    Start,
    Step,
    Unroute,
)
from slipway.contract.plan import (
    CLEARED,
    CREATED,
    EDGE,
    MIGRATION,
    ONE_OFF,
    RECREATED,
    REMOVED,
    REROUTED,
    RESTARTED,
    ROLLED,
    SCALED,
    STARTED,
    STOPPED,
    Change,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from slipway.agent.deploy.plan import Plan
    from slipway.agent.docker.facts import Container
    from slipway.agent.strategies.service import Service

__all__ = ["Known", "changes"]


class Known(NamedTuple):
    """What reasons are found in."""

    containers: Sequence[Container]
    old: Mapping[str, Any] | None  # release that is live, as its document
    new: Mapping[str, Any]
    rotated: Collection[str] = ()  # secrets with other values than those that were proven
    drift: Mapping[str, Sequence[str]] = {}  # service → what happened to it
    outages: Mapping[str, float] = {}  # service → seconds of its last interruption


def changes(plan: Plan, services: Mapping[str, Service], known: Known) -> list[Change]:
    """What `plan` changes, in the order in which it does."""
    found: list[Change] = []
    recreated: set[str] = set()
    for name in _in_order(plan.steps):
        own = [each for each in known.containers if each.service == name]
        action = _action(name, plan.steps, services.get(name), own)
        after = sorted(services[name].replaced_with & recreated) if name in services else []
        recreated |= {name} if action in (RECREATED, RESTARTED) else set()
        interrupts = action in (RECREATED, RESTARTED, STOPPED, REMOVED) and any(each.state in RUNS for each in own)
        because = _because(name, action, after, known)
        found.append(Change(name, action, because, interrupts, known.outages.get(name) if interrupts else None))
    for step in plan.steps:
        if isinstance(step, Migrate):
            found.append(Change(step.service, MIGRATION, ("new release",)))
        elif isinstance(step, EdgeUp):
            found.append(Change("edge", EDGE, (f"Traefik {step.version}",)))
    return found


def _in_order(steps: Sequence[Step]) -> list[str]:
    """The services that steps are about, those that stop or start something first."""
    names: dict[str, None] = {}
    for kinds in ((Start, ScaleUp, Remove, Drain), (ShiftTraffic, Unroute)):
        for step in steps:
            if isinstance(step, kinds):
                names.update(dict.fromkeys(_services(step)))
    return list(names)


def _services(step: Step) -> tuple[str, ...]:
    return getattr(step, "services", ()) or (getattr(step, "service", ""),)


def _action(name: str, steps: Sequence[Step], service: Service | None, own: Sequence[Container]) -> str:
    if service is None:
        return REMOVED
    mine = [step for step in steps if name in _services(step)]
    starts = [step for step in mine if isinstance(step, (Start, ScaleUp))]
    if starts:
        return _started(service, starts, own)
    gone = {each for step in mine if isinstance(step, (Remove, Drain)) for each in step.containers}
    if not gone:
        return REROUTED
    if service.replicas == 0:
        return STOPPED
    return SCALED if any(each.id in gone and each.config == service.config for each in own) else CLEARED


def _started(service: Service, starts: Sequence[Step], own: Sequence[Container]) -> str:
    alive = [each for each in own if each.state in RUNS]
    as_wanted = [each for each in alive if each.config == service.config]
    if service.completes:
        return ONE_OFF
    if any(isinstance(step, Start) and step.recreate for step in starts) and own:
        return RESTARTED if len(as_wanted) == len(alive) else RECREATED
    if len(as_wanted) < len(alive):
        return ROLLED
    if any(each.config == service.config for each in own if each not in alive):
        return STARTED
    return SCALED if alive else CREATED


def _because(name: str, action: str, after: Sequence[str], known: Known) -> tuple[str, ...]:
    if action == REMOVED:
        return ("no longer in the Compose file",)
    if action == CREATED and known.old is None:
        return ("first deployment",)
    found = differences(known.old, known.new, name, known.rotated, routes=action == REROUTED)
    found += [f"drift: {what}" for what in known.drift.get(name, ())]
    found += [f"{other} is replaced" for other in after]
    return tuple(found or ("its containers are not as proven",))
