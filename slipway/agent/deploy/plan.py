"""Facts and a wanted release in, steps out: pure, so that every case of it is a line of data in a test."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slipway.agent import strategies
from slipway.agent.docker.facts import RUNS, in_lost_namespaces
from slipway.agent.strategies.graph import ancestors, levels
from slipway.agent.strategies.held import Held, leaving
from slipway.agent.strategies.recreate import ended_as_proven
from slipway.agent.strategies.service import Routed, ServiceState
from slipway.agent.strategies.steps import (
    Barrier,
    CheckRoutes,
    Drain,
    EdgeUp,
    Fetch,
    Migrate,
    Prune,
    Record,
    Remove,
    ScaleUp,
    ShiftTraffic,
    Smoke,
    Start,
    Step,
    Unroute,
    WaitHealthy,
    Write,
)
from slipway.contract.barriers import BARRIERS, MIGRATED, PREPARED, PROVEN

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from slipway.agent.docker.facts import Container
    from slipway.agent.state.ledger import Live, Proof
    from slipway.agent.strategies.service import Service

__all__ = ["Plan", "ServicePlans", "WantedRelease", "converge", "deployment"]

_GATED = ("service_healthy", "service_completed_successfully")
_RANKS: dict[type, int] = {Remove: 0, Start: 1, ScaleUp: 1, WaitHealthy: 3}  # which of several steps is done first


class WantedRelease(NamedTuple):
    """A release as this host should run it, without its secrets."""

    release: str
    convergence: str
    services: Mapping[str, Service]
    migrations: tuple[str, ...] = ()
    """services with a migration of this release that is not done yet and is this host's to run"""
    smoke: tuple[str, ...] = ()
    retention: int = 3
    fleet: bool = False
    resumed: bool = False  # the previous deployment was cut off
    doubted: bool = False  # what is live went through a failure since it was proven


class Plan(NamedTuple):
    """What to do, in order."""

    steps: tuple[Step, ...]
    touched: tuple[str, ...] = ()  # services whose containers change
    unproven: tuple[str, ...] = ()  # services that were proven last in another configuration, or never


class ServicePlans(NamedTuple):
    """Steps that make the containers those of a release, by when they may be done (see `ServicePlan`)."""

    first: list[Step]
    steps: list[Step]
    late: list[Step]
    touched: list[str]  # services whose containers change
    left: list[Step]  # after `steps`, once those that stay and need what changed have left its old containers


def deployment(
    wanted: WantedRelease,
    containers: Sequence[Container],
    live: Live | None,
    missing_images: Collection[str] = (),
    routed: Routed = Routed(),  # noqa: B008 - an immutable value
) -> Plan:
    """The whole deployment. No steps at all when the release is live, proven and complete already."""
    proofs = live.services if live else {}
    migration, started = _migration(wanted, containers, proofs)
    plans = converge(
        wanted.services,
        containers,
        proofs,
        routed=routed,
        smoke=wanted.smoke,
        started=started,
        resumed=wanted.resumed,
    )
    changing = bool(plans.touched or plans.first or plans.steps or started or wanted.migrations or routed.edge)
    proven = {name: proof.config for name, proof in proofs.items()}
    unproven = tuple(name for name, service in wanted.services.items() if proven.get(name) != service.config)
    recorded = live is not None and (live.release, live.convergence) == (wanted.release, wanted.convergence)
    obsolete = set(proofs) - set(wanted.services)
    if not (changing or plans.late or unproven or missing_images or obsolete or wanted.doubted or not recorded):
        return Plan(tuple(map(Barrier, BARRIERS)) if wanted.fleet else ())
    steps = [*migration, *plans.first, *plans.steps]
    awaited = {name for step in steps if isinstance(step, WaitHealthy) for name in step.services}
    late = tuple(name for name in unproven if name not in awaited and wanted.services[name].replicas)
    images = tuple(sorted({service.image for service in wanted.services.values()}))
    whole: list[Step] = [Fetch(images)] if changing or missing_images else []
    whole += [*_barrier(wanted, PREPARED), Write(wanted.release)]
    whole += [EdgeUp(routed.edge)] if routed.edge else []
    whole += [*plans.first, *migration, *_barrier(wanted, MIGRATED), *plans.steps]
    whole += [WaitHealthy(late)] if late else []
    changed = tuple(sorted({*plans.touched, *started}))
    shifted = {step.service for step in (*plans.first, *plans.steps) if isinstance(step, ShiftTraffic)}
    routes = _routes_to_check(wanted.services, changed, unproven, shifted)
    doubted = _routes_to_check(wanted.services, (), wanted.services if wanted.doubted else (), {*shifted, *routes})
    whole += [CheckRoutes(doubted, doubted=True)] if doubted else []
    going = (*plans.left, *plans.late)
    whole += [*leaving(wanted.services, plans.steps, going, touched=plans.touched, smoke=wanted.smoke), *plans.left]
    checked = {name for step in plans.steps if isinstance(step, Smoke) for name in step.services}
    smoke = tuple(name for name in wanted.smoke if name not in {*checked, *doubted})
    if smoke and (changing or unproven or wanted.doubted or live is None or live.release != wanted.release):
        whole.append(Smoke(smoke, changed=changed))
    whole += [CheckRoutes(routes, changed)] if routes else []
    whole += [*_barrier(wanted, PROVEN), Record(wanted.release), *plans.late, Prune(wanted.retention)]
    return Plan(tuple(whole), changed, unproven)


def converge(
    services: Mapping[str, Service],
    containers: Sequence[Container],
    proofs: Mapping[str, Proof],
    *,
    routed: Routed = Routed(),  # noqa: B008 - an immutable value
    smoke: Collection[str] = (),
    started: Collection[str] = (),
    back: bool = False,
    resumed: bool = False,
) -> ServicePlans:
    """Steps that turn `containers` into those of `services`.

    `proofs` is what was proven last, `smoke` the services with smoke checks, `started` those that the migration has
    started already; `back` rolls back to the release that was live; after a deployment that was cut off (`resumed`),
    who was to be replaced along with another may be left.
    """
    unnamed = {each.service for each in containers if each.unnamed}  # data that a second generation would not find
    services = {name: each.in_place if name in unnamed else each for name, each in services.items()}
    first: list[Step] = []
    steps: list[Step] = _gone(services, containers, routed)
    late: list[Step] = []
    touched = {step.service for step in steps if isinstance(step, (Remove, Drain))}
    held = Held(services)
    needed = {
        other for service in services.values() for other, condition in service.depends_on.items() if condition in _GATED
    }
    followed = {other for service in services.values() if service.replicas for other in service.replaced_with}
    unawaited: list[str] = []
    renewed: set[str] = set(started)
    outdated: set[str] = set()
    for level in levels({name: list(service.depends_on) for name, service in services.items()}):
        sequences, starting = [], set()
        for name in level:
            if name in started:
                continue
            service = services[name]
            own = seen = [each for each in containers if each.service == name]
            if not ended_as_proven(service, proofs.get(name)):
                outdated |= _outdated(service, own, containers, services, renewed=renewed, resumed=resumed)
                outdated |= _ahead(service, own, containers, services, outdated) if back or resumed else set()
                service, own = _following(service, own, outdated, followed=name in followed)
            state = ServiceState(own, proofs.get(name), routed.weights.get(name, {}), name in routed.stale, back)
            plan = strategies.find(service.strategy, name)(service, state)
            if any(isinstance(step, (Start, ScaleUp)) for step in plan.steps):
                starting.add(name)
                renewed |= set() if _stays(service, own) else {name}
            if any(isinstance(step, (Start, ScaleUp, Remove, Drain)) for step in (*plan.steps, *plan.late)):
                touched.add(name)
            plan = held.part(name, plan, seen)
            sequence = tuple(step for step in plan.steps if not isinstance(step, Smoke) or name in smoke)
            first += plan.first
            late += plan.late
            if sequence and isinstance(sequence[-1], WaitHealthy) and name not in needed and name not in held:
                # Nobody waits for it: start the next level meanwhile.
                sequence = sequence[:-1]
                unawaited.append(name)
            sequences.append(sequence)
        steps += [*held.due(starting), *_join(sequences)]
    if unawaited:
        steps.append(WaitHealthy(tuple(unawaited)))
    early, last = held.rest(touched)
    late += last
    return ServicePlans(first, steps, late, sorted(touched), early)


def _stays(service: Service, own: Sequence[Container]) -> list[Container]:
    """Containers that run as they should."""
    return [each for each in own if each.config == service.config and each.state in RUNS and not each.halfway]


def _outdated(
    service: Service,
    own: Sequence[Container],
    containers: Sequence[Container],
    services: Mapping[str, Service],
    *,
    renewed: Collection[str],
    resumed: bool,
) -> set[str]:
    """Containers that are to be replaced because of what another service of theirs was replaced by."""
    if not service.replicas:
        return set()
    if not service.replaced_with.isdisjoint(renewed):
        return {each.id for each in own}
    behind = in_lost_namespaces(containers)
    apart = {each.id for each in own if each.id in behind or not service.replaced_with.issuperset(each.follows)}
    if apart:
        return apart  # these cannot reach what they joined, or would look for a generation that goes without them
    others = [services[name] for name in service.replaced_with if resumed and name in services]
    stay = [_stays(other, [each for each in containers if each.service == other.name]) for other in others]
    since = max((min(each.created for each in each_stay) for each_stay in stay if each_stay), default="")
    return {each.id for each in own if each.created < since}


def _ahead(
    service: Service,
    own: Sequence[Container],
    containers: Sequence[Container],
    services: Mapping[str, Service],
    outdated: Collection[str],
) -> set[str]:
    """After a failure: containers that followed a generation which goes."""
    found = set()
    for name in service.replaced_with & services.keys():
        others = [each for each in containers if each.service == name and each.state in RUNS]
        for each in own:
            last = max((o for o in others if o.created < each.created), key=lambda o: o.created, default=None)
            if last and (last.config != services[name].config or last.id in outdated):
                found.add(each.id)
    return found


def _following(
    service: Service, own: list[Container], outdated: Collection[str], *, followed: bool
) -> tuple[Service, list[Container]]:
    """Both as the planner should see them: what is outdated is of another configuration, with the same requests."""
    traffic = service.traffic
    if outdated:
        own = [each._replace(config=f"{each.config}~") if each.id in outdated else each for each in own]
        traffic = traffic._replace(canary=(), preview=False, keep=0.0)
    if followed:  # who resolves its name anew must not find an address that is about to go
        traffic = traffic._replace(keep=0.0)
    return service._replace(traffic=traffic), own


def _routes_to_check(
    services: Mapping[str, Service], changed: Collection[str], unproven: Collection[str], shifted: Collection[str]
) -> tuple[str, ...]:
    """Services with a route that need one that changed, or to which requests moved in a deployment that was cut off.

    A proxy among them may keep the address of what is gone. What is `shifted` now was asked then.
    """
    edges = {name: list(service.depends_on) for name, service in services.items()}
    return tuple(
        name
        for name, service in sorted(services.items())
        if service.traffic.routed
        and service.replicas
        and name not in shifted
        and (name in unproven or not ancestors(name, edges).isdisjoint(changed))
    )


def _gone(services: Mapping[str, Service], containers: Sequence[Container], routed: Routed) -> list[Step]:
    """What is not wanted any more goes first: its successor under another name may need its port or its volume."""
    unrouted = tuple(sorted(n for n in routed.weights if n not in services or not services[n].traffic.routed))
    steps: list[Step] = [Unroute(unrouted)] if unrouted else []
    for name in sorted({each.service for each in containers} - set(services)):
        away = tuple(each.id for each in containers if each.service == name)
        steps.append(Drain(name, away) if name in unrouted else Remove(name, away))
    return steps


def _migration(
    wanted: WantedRelease, containers: Sequence[Container], proofs: Mapping[str, Proof]
) -> tuple[list[Step], list[str]]:
    """Migrations in dependency order, each after what it depends on runs at all (in whichever release)."""
    edges = {name: list(service.depends_on) for name, service in wanted.services.items()}
    alive = {each.service for each in containers if each.state in RUNS}
    steps: list[Step] = []
    started: list[str] = []
    order = [name for level in levels(edges) for name in level]
    for service in (name for name in order if name in wanted.migrations):
        before = ancestors(service, edges)
        missing = [
            name
            for name in order
            if name in before
            and name not in alive
            and wanted.services[name].replicas
            and not ended_as_proven(wanted.services[name], proofs.get(name))
        ]
        for level in levels({name: edges[name] for name in missing}):
            stopped = [name for name in level if any(each.service == name for each in containers)]
            steps += [Start((name,), recreate=True) for name in stopped]
            new = tuple(name for name in level if name not in stopped)
            steps += [Start(new, recreate=False)] if new else []
            steps.append(WaitHealthy(tuple(level)))
        alive.update(missing)
        started += missing
        steps.append(Migrate(service))
    return steps, started


def _join(sequences: Sequence[tuple[Step, ...]]) -> list[Step]:
    """Interleave the services of one level: what Compose or a gate can do for several at once becomes one step."""
    waiting = [list(sequence) for sequence in sequences]
    joined: list[Step] = []
    while any(waiting):
        waiting = [sequence for sequence in waiting if sequence]
        first = min((sequence[0] for sequence in waiting), key=lambda step: _RANKS.get(type(step), 2))
        same = [s for s in waiting if s[0] is first or _joins(first, s[0])]
        joined.append(_joined([s[0] for s in same]) if len(same) > 1 else first)
        for sequence in same:
            del sequence[0]
    return joined


def _joins(first: Step, other: Step) -> bool:
    if isinstance(first, Start) and isinstance(other, Start):
        return first.recreate == other.recreate
    if isinstance(first, (WaitHealthy, ScaleUp)) and type(first) is type(other):
        return first.batch == other.batch and bool(first.counts) == bool(other.counts)
    return False


def _joined(steps: Sequence[Step]) -> Step:
    first = steps[0]
    services = tuple(name for step in steps for name in getattr(step, "services", ()))
    if isinstance(first, Start):
        return first._replace(services=services)
    assert isinstance(first, (WaitHealthy, ScaleUp))  # noqa: S101 - nothing else joins
    return first._replace(services=services, counts=tuple(n for step in steps for n in getattr(step, "counts", ())))


def _barrier(wanted: WantedRelease, reached: str) -> list[Step]:
    return [Barrier(reached)] if wanted.fleet else []
