"""The new generation starts beside the old one, which goes only when the new one serves.

Rolling goes batch by batch (`deploy.update_config`); blue-green and canary start the whole generation first, then
blue-green shifts at once, canary step by step, each judged by its traffic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slipway.agent.docker.facts import CAN_START, RUNS
from slipway.agent.strategies import recreate
from slipway.agent.strategies.planner_types import ServicePlan
from slipway.agent.strategies.service import generation_of
from slipway.agent.strategies.steps import (
    Drain,
    Judge,
    KeepOld,
    Observe,
    ScaleUp,
    ShiftTraffic,
    Smoke,
    Unroute,
    WaitHealthy,
)
from slipway.contract.strategies import ROLLING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.agent.docker.facts import Container
    from slipway.agent.strategies.planner_types import ServiceState
    from slipway.agent.strategies.service import Service
    from slipway.agent.strategies.steps import Step

__all__ = ["plan"]

WHOLE = 100


class _Sorted(NamedTuple):
    """A service's containers by what they are good for."""

    new: tuple[Container, ...]  # of the wanted generation, running, as many as wanted at most
    surplus: tuple[Container, ...]
    serving: tuple[Container, ...]  # of older generations, getting requests
    spare: tuple[Container, ...]
    """of the generation that was proven last, without requests: for a rollback, until the new one is recorded"""
    useless: tuple[Container, ...]
    startable: bool  # nothing else runs, and what is wanted only has to be started


def plan(service: Service, state: ServiceState) -> ServicePlan:
    """Nothing when the wanted generation runs, gets all requests, and nothing else is left."""
    if recreate.ended_as_proven(service, state.proof):
        return recreate.plan(service, state)
    if service.replicas == 0:
        return _nothing_wanted(service, state)
    sorted_out = _sort_out(service, state)
    if sorted_out.startable or (_one_at_a_time(service) and service.replicas == 1 and sorted_out.serving):
        return recreate.plan(service, state)
    missing = service.replicas - len(sorted_out.new)
    proven = state.proof is not None and state.proof.config == service.config
    shares = {generation: share for generation, share in state.weights.items() if share}
    settled = shares == {service.generation: WHOLE} and not state.stale
    first: tuple[Step, ...] = ()
    steps = list(recreate.remove(service, sorted_out.useless))
    surplus = _ids(sorted_out.surplus)
    if missing:
        steps += _grow(service, sorted_out, missing)
    elif not service.traffic.routed:
        steps += [WaitHealthy((service.name,)), *_smoke(service, 1)] if sorted_out.serving and not proven else []
        steps += recreate.remove(service, [*sorted_out.surplus, *sorted_out.serving])
    elif settled:
        steps += recreate.remove(service, sorted_out.surplus)
    elif proven:
        first = (ShiftTraffic(service.name, WHOLE, without=surplus),)
        steps += _retire(service, surplus)
    else:
        steps += [WaitHealthy((service.name,)), *_smoke(service, 1), *_shifts(service, sorted_out.serving, surplus)]
        steps += _retire(service, surplus)
    old = () if not service.traffic.routed else (*_left(service, sorted_out, missing), *sorted_out.spare)
    return ServicePlan(tuple(steps), first, _late(service, _ids(old), back=state.back))


def _sort_out(service: Service, state: ServiceState) -> _Sorted:
    wanted = [each for each in state.containers if each.config == service.config and not each.halfway]
    running = sorted((each for each in wanted if each.state in RUNS), key=lambda each: each.number)
    others = [each for each in state.containers if each not in running]
    alive = [each for each in others if each.state in RUNS and not each.halfway]
    proven = state.proof.config if state.proof else ""
    if service.traffic.routed and state.weights:
        serving = [each for each in alive if state.weights.get(generation_of(each.config), 0)]
    else:
        serving = alive
    spare = [each for each in alive if each not in serving and each.config == proven]
    stopped = [each for each in wanted if each.state in CAN_START]
    startable = not running and not alive and bool(stopped)
    return _Sorted(
        tuple(running[: service.replicas]),
        tuple(running[service.replicas :]),
        tuple(sorted(serving, key=lambda each: each.number)),
        tuple(spare),
        tuple(each for each in others if each not in serving and each not in spare),
        startable,
    )


def _grow(service: Service, present: _Sorted, missing: int) -> list[Step]:
    """Batches of new containers; each is proven before it gets requests, and its share of old ones goes."""
    have, name, update = len(present.new), service.name, service.traffic.update
    size = missing if service.strategy != ROLLING else min(update.parallelism or missing, missing)
    batches = -(-missing // size)
    steps: list[Step] = []
    for batch in range(1, batches + 1):
        count = min(size, service.replicas - have)
        have += count
        last = batch == batches
        going = present.serving[_cut(present, batch - 1, batches) : _cut(present, batch, batches)]
        staying = present.serving[_cut(present, batch, batches) :]
        new: list[Step] = [ScaleUp((name,), (count,), batch), WaitHealthy((name,), (have,), batch)]
        new += _smoke(service, batch)
        if _one_at_a_time(service):
            steps += [*_away(service, have - count, going, staying, batch), *_retire(service, _ids(going), batch), *new]
            steps += _moved(service, have, staying, batch)
        elif last:
            steps += [*new, *_shifts(service, present.serving if batches == 1 else going, ())]
            steps += [] if service.traffic.routed else _retire(service, _ids(going), batch)
        else:
            steps += [*new, *_moved(service, have, staying, batch), *_retire(service, _ids(going), batch)]
        pause = max(update.monitor, 0.0 if last else update.delay)
        steps += [Observe(name, pause, batch)] if pause else []
    return steps


def _cut(present: _Sorted, batch: int, batches: int) -> int:
    """How many of the old containers are gone after a batch."""
    return len(present.serving) * batch // batches


def _shifts(service: Service, old: Sequence[Container], surplus: tuple[str, ...]) -> list[Step]:
    """All requests to the new generation: at once, or step by step where the old one is there to compare with."""
    if not service.traffic.routed:
        return []
    steps: list[Step] = []
    before = _ids(old)
    if service.traffic.preview and before:
        steps += [ShiftTraffic(service.name, 0, before, surplus), Smoke((service.name,), preview=True)]
    for share in service.traffic.canary if before else ():
        if share < WHOLE:
            steps += [ShiftTraffic(service.name, share, before, surplus), Judge(service.name, share)]
    return [*steps, ShiftTraffic(service.name, WHOLE, without=(*before, *surplus))]


def _moved(service: Service, have: int, staying: Sequence[Container], batch: int) -> list[Step]:
    """Requests in proportion to the containers of both generations."""
    if not service.traffic.routed:
        return []
    share = WHOLE if not staying else max(1, min(WHOLE - 1, round(WHOLE * have / (have + len(staying)))))
    return [ShiftTraffic(service.name, share, _ids(staying), batch=batch)]


def _away(
    service: Service, have: int, going: Sequence[Container], staying: Sequence[Container], batch: int
) -> list[Step]:
    """Take requests off old containers that stop before their successors start."""
    if not (service.traffic.routed and going and (staying or have)):
        return []
    share = round(WHOLE * have / (have + len(staying)))
    return [ShiftTraffic(service.name, share, _ids(staying), _ids(going), batch, ahead=True)]


def _left(service: Service, present: _Sorted, missing: int) -> Sequence[Container]:
    """The old containers that no batch retired."""
    if not missing:
        return present.serving
    if _one_at_a_time(service):
        return ()
    size = missing if service.strategy != ROLLING else min(service.traffic.update.parallelism or missing, missing)
    batches = -(-missing // size)
    return present.serving[_cut(present, batches - 1, batches) :]


def _late(service: Service, old: tuple[str, ...], *, back: bool) -> tuple[Step, ...]:
    if not old:
        return ()
    if service.traffic.keep and not back:
        return (KeepOld(service.name, old),)
    return (Drain(service.name, old, batch=0),)


def _nothing_wanted(service: Service, state: ServiceState) -> ServicePlan:
    away = _ids(state.containers)
    if not state.weights:
        return ServicePlan(recreate.remove(service, state.containers))
    return ServicePlan((Unroute((service.name,)), *_retire(service, away)))


def _one_at_a_time(service: Service) -> bool:
    return service.strategy == ROLLING and service.traffic.update.order == "stop-first"


def _smoke(service: Service, batch: int) -> tuple[Step, ...]:
    return (Smoke((service.name,), batch),)


def _retire(service: Service, containers: tuple[str, ...], batch: int = 1) -> tuple[Step, ...]:
    return (Drain(service.name, containers, batch),) if containers else ()


def _ids(containers: Sequence[Container]) -> tuple[str, ...]:
    return tuple(each.id for each in containers)
