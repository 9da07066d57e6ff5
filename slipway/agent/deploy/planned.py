"""What a plan would do, in words: per service what happens, because of what, and what that interrupts. Pure.

It reads the very steps that a deployment takes, so that what is said and what is done cannot drift apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent.docker.facts import RUNS
from slipway.agent.release.release_diff import differences, left_behind, requests
from slipway.agent.strategies.steps import (
    Drain,
    EdgeUp,
    KeepOld,
    Migrate,
    Remove,
    ScaleUp,
    ShiftTraffic,
    Start,
    Step,
    Unroute,
    name_of,
)
from slipway.contract import CONTRACT
from slipway.contract.plan import (
    CLEARED,
    CREATED,
    EDGE_STARTED,
    EDGES,
    MIGRATION,
    MOVES,
    ONE_OFF,
    RECREATED,
    REMOVED,
    REROUTED,
    RESTARTED,
    ROLLED,
    SCALED,
    STARTED,
    STOPPED,
    TAKEN_OVER,
    UNBUILT,
    Change,
)
from slipway.contract.strategies import RECREATE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from slipway.agent.deploy.plan import Plan
    from slipway.agent.docker.facts import Container
    from slipway.agent.strategies.service import Service

__all__ = ["IN_PLACE", "Known", "changes", "plan_document", "unlike_plan"]

IN_PLACE = "in place, not"
"""what the reason begins with that a service is replaced otherwise than its strategy says"""

_CONTAINERS = (Start, ScaleUp, Remove, Drain, KeepOld)


class Known(NamedTuple):
    """What reasons are found in."""

    containers: Sequence[Container]
    old: Mapping[str, Any] | None  # release that is live, as its document
    new: Mapping[str, Any]
    rotated: Collection[str] = ()  # secrets with other values than those that were proven
    drift: Mapping[str, Sequence[str]] = {}  # service → what happened to it
    edge: Change | None = None  # what happens to the edge, where that is known
    outages: Mapping[str, float] = {}  # service → seconds of its last interruption
    absent: Collection[str] = ()  # volumes that this host does not have yet
    recorded: bool = False  # nobody looked at the host
    taken_over: Mapping[str, str] = {}  # service → whose place it takes, of the project that ran here before

    @property
    def unsure(self) -> bool:
        """Whether it is not known which migrations the release has run: the host does, by the release's id."""
        return self.recorded or any(UNBUILT in image for image in self.new["images"].values())


def plan_document(
    host: str, plan: Plan, services: Mapping[str, Service], found: Sequence[Change], *, seen: str = "host"
) -> dict[str, Any]:
    """A plan as plan.schema.json has it."""
    return {
        "contract": CONTRACT,
        "host": host,
        "seen": seen,
        "changes": [change._asdict() for change in found],
        "unchanged": sorted(set(services) - {change.service for change in found}),
        "steps": [name_of(step) for step in plan.steps],
    }


def changes(plan: Plan, services: Mapping[str, Service], known: Known) -> list[Change]:
    """What `plan` changes, in the order in which it does."""
    found: dict[tuple[str, str], Change] = {}
    moved = {name for step in plan.steps if isinstance(step, _CONTAINERS) for name in _services(step)}
    for step in plan.steps:
        if isinstance(step, Migrate):
            because = "if this release has not run it yet" if known.unsure else "new release"
            found[MIGRATION, step.service] = Change(step.service, MIGRATION, (because,))
        elif isinstance(step, EdgeUp):
            found["edge", ""] = known.edge or Change("edge", EDGE_STARTED, (f"Traefik {step.version}",))
        elif isinstance(step, (*_CONTAINERS, ShiftTraffic, Unroute)):
            for name in _services(step):
                if ("", name) not in found and (isinstance(step, _CONTAINERS) or name not in moved):
                    found["", name] = _change(name, plan.steps, services.get(name), known, list(found.values()))
    return list(found.values())


def _change(
    name: str, steps: Sequence[Step], service: Service | None, known: Known, earlier: Sequence[Change]
) -> Change:
    own = [each for each in known.containers if each.service == name]
    action = _action(name, steps, service, own)
    renewed = {each.service: "started" if each.action == STARTED else "replaced" for each in earlier
               if each.action in (RECREATED, RESTARTED, ROLLED, STARTED, ONE_OFF)}  # fmt: skip
    after = [f"{each} is {renewed[each]}" for each in sorted(service.replaced_with & renewed.keys())] if service else []
    stops = action in (RECREATED, RESTARTED, STOPPED, REMOVED, ONE_OFF) or _stops_first(name, steps, own)
    rolled = {each.service for each in earlier if each.action == ROLLED}
    stops = stops or bool(service and _left_alone(name, service.replaced_with & rolled, steps))
    interrupts = stops and any(each.state in RUNS for each in own)
    because = _because(name, action, after, known)
    if service and action == RECREATED and service.strategy != RECREATE:
        because += tuple(
            f"{IN_PLACE} {service.strategy}, for the volume without a name at {at}: its content would be left behind; "
            f"where nothing there has to stay, `tmpfs: [{at}]` of the service ends this, one deployment later"
            for at in _unnamed(own)
        )
    if name in known.taken_over:
        action, because, interrupts = TAKEN_OVER, (known.taken_over[name],), True
    return Change(name, action, because, interrupts, known.outages.get(name) if interrupts else None)


def _unnamed(own: Sequence[Container]) -> list[str]:
    return sorted({at for each in own for at in each.unnamed})


def _stops_first(name: str, steps: Sequence[Step], own: Sequence[Container]) -> bool:
    """Whether all containers are gone before a new one starts (`order: stop-first`, all at once)."""
    alive = {each.id for each in own if each.state in RUNS}
    for step in steps:
        if isinstance(step, (Start, ScaleUp)) and name in step.services:
            return not alive
        if isinstance(step, (Remove, Drain)) and step.service == name:
            alive -= set(step.containers)
    return False


def _left_alone(name: str, followed: Collection[str], steps: Sequence[Step]) -> bool:
    """Whether something of what it follows goes while it still has the requests."""
    gone = False
    for step in steps:
        if gone and isinstance(step, (Start, ScaleUp, ShiftTraffic)) and name in _services(step):
            return True
        gone = gone or (isinstance(step, (Remove, Drain)) and step.service in followed)
    return False


# What an action makes of a service's containers, those before and those after it.
_HOLDS: dict[str, Callable[[set[str], set[str]], bool]] = {
    **dict.fromkeys(("", REROUTED), lambda old, new: old == new),
    **dict.fromkeys((STARTED, CREATED, TAKEN_OVER), lambda old, new: bool(new)),  # noqa: ARG005
    **dict.fromkeys((RECREATED, RESTARTED), lambda old, new: bool(new) and not old & new),
    ROLLED: lambda old, new: bool(new) and old != new,
    SCALED: lambda old, new: bool(new) and (old < new or new < old),
    CLEARED: lambda old, new: new < old,
    **dict.fromkeys((REMOVED, STOPPED), lambda old, new: bool(old) and not new),
    ONE_OFF: lambda old, new: True,  # noqa: ARG005  # it may be gone by now
}


def unlike_plan(
    planned: Sequence[Change], before: Mapping[str, Collection[str]], after: Mapping[str, Collection[str]]
) -> list[str]:
    """Where what happened is not what was planned: `before` and `after` are each service's containers."""
    actions = {each.service: each.action for each in planned if each.action not in (MIGRATION, *EDGES, *MOVES)}
    found = []
    for name in sorted({*before, *after}):
        old, new, action = set(before.get(name, ())), set(after.get(name, ())), actions.get(name, "")
        if not _HOLDS[action](old, new):
            found.append(f"{name} was to be {action or 'left alone'}, and {len(new - old)} of its containers are new "
                         f"and {len(old - new)} gone")  # fmt: skip
    return found


def _services(step: Step) -> tuple[str, ...]:
    return getattr(step, "services", ()) or (getattr(step, "service", ""),)


def _action(name: str, steps: Sequence[Step], service: Service | None, own: Sequence[Container]) -> str:
    if service is None:
        return REMOVED
    mine = [step for step in steps if name in _services(step)]
    starts = [step for step in mine if isinstance(step, (Start, ScaleUp))]
    gone = {each for step in mine if isinstance(step, (Remove, Drain, KeepOld)) for each in step.containers}
    if starts:
        return _started(service, starts, own, gone)
    if not gone:
        return REROUTED
    if service.replicas == 0:
        return STOPPED
    if any(each.id in gone and each.config == service.config for each in own):
        return SCALED
    return ROLLED if any(isinstance(step, ShiftTraffic) for step in mine) else CLEARED


def _started(service: Service, starts: Sequence[Step], own: Sequence[Container], gone: Collection[str]) -> str:
    alive = [each for each in own if each.state in RUNS]
    as_wanted = [each for each in alive if each.config == service.config]
    if service.completes or service.runs_once or (own and all(each.ended_well for each in own)):
        return ONE_OFF
    if any(isinstance(step, Start) and step.recreate for step in starts) and own:
        return RESTARTED if all(each.config == service.config for each in own) else RECREATED
    if len(as_wanted) < len(alive) or any(each.id in gone for each in alive):
        return ROLLED
    if any(each.config == service.config for each in own if each not in alive):
        return STARTED
    return SCALED if alive else CREATED if not own else RECREATED


def _because(name: str, action: str, after: Sequence[str], known: Known) -> tuple[str, ...]:
    if action == REMOVED:
        entry = ((known.old or {}).get("services") or {}).get(name) or {}
        left = left_behind(known.old, known.new, name).values() if known.old else ()
        return ("no longer in the Compose file", *left, *requests({"routes": entry.get("routes")}, {}))
    if action in (CREATED, ONE_OFF) and known.old is None:
        return ("first deployment",)
    found = differences(known.old, known.new, name, known.rotated, known.absent)
    found += [f"drift: {what}" for what in known.drift.get(name, ())]
    found += after
    return tuple(found or ("the edge's settings" if action == REROUTED else "its containers are not as proven",))
