"""The new generation starts beside the old one, which goes only when the new one serves.

Rolling goes batch by batch (`deploy.update_config`); blue-green and canary start the whole generation first, then
blue-green shifts at once, canary step by step, each judged by its traffic.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slipway.agent.docker.facts import CAN_START, RUNS
from slipway.agent.strategies import recreate
from slipway.agent.strategies.recreate import ids, remove, retire
from slipway.agent.strategies.service import ServicePlan, generation_of
from slipway.agent.strategies.steps import (
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
    from slipway.agent.strategies.service import Service, ServiceState
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
        if not state.weights:
            return ServicePlan(remove(service, state.containers))
        return ServicePlan((Unroute((service.name,)), *retire(service, state.containers)))
    present = _sort_out(service, state)
    if present.startable or (_one_at_a_time(service) and service.replicas == 1 and present.serving):
        return recreate.plan(service, state)
    missing = service.replicas - len(present.new)
    proven = state.proof is not None and state.proof.config == service.config
    shares = {generation: share for generation, share in state.weights.items() if share}
    # A restart along with another service: old and new are of one generation.
    renewing = any(generation_of(each.config) == service.generation for each in present.serving)
    proven = proven and (state.back or not renewing)
    settled = shares == {service.generation: WHOLE} and not state.stale and not renewing
    gates = (WaitHealthy((service.name,)), Smoke((service.name,), 1))
    first: tuple[Step, ...] = ()
    steps = list(remove(service, present.useless))
    old = present.serving
    if missing:
        grown, old = _grow(service, present, missing)
        steps += grown
    elif not service.traffic.routed:
        steps += gates if present.serving and not proven else ()
        steps += remove(service, [*present.surplus, *present.serving])
    elif settled:
        steps += remove(service, present.surplus)
    elif proven:
        first = (ShiftTraffic(service.name, WHOLE, without=ids(present.surplus)),)
        steps += retire(service, present.surplus)
    else:
        steps += [*gates, *_shifts(service, present.serving, present.surplus), *retire(service, present.surplus)]
    stays = (*old, *present.spare) if service.traffic.routed else ()
    keeps = stays and service.traffic.keep and not state.back
    late = (KeepOld(service.name, ids(stays)),) if keeps else retire(service, stays, batch=0)
    return ServicePlan(tuple(steps), first, late)


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


def _grow(service: Service, present: _Sorted, missing: int) -> tuple[list[Step], tuple[Container, ...]]:
    """Batches of new containers, each proven before it gets requests and its share of old ones goes.

    Also the old ones of the last batch: where they have requests to lose, they go after the release is recorded.
    """
    have, name, update = len(present.new), service.name, service.traffic.update
    size = missing if service.strategy != ROLLING else min(update.parallelism or missing, missing)
    batches = -(-missing // size)
    steps: list[Step] = []
    going: tuple[Container, ...] = ()
    for batch in range(1, batches + 1):
        count = min(size, service.replicas - have)
        have += count
        last = batch == batches
        begin, end = (len(present.serving) * number // batches for number in (batch - 1, batch))
        going, staying = present.serving[begin:end], present.serving[end:]
        new: list[Step] = [ScaleUp((name,), (count,), batch), WaitHealthy((name,), (have,), batch)]
        new.append(Smoke((name,), batch))
        if _one_at_a_time(service):
            steps += [*_away(service, have - count, going, staying, batch), *retire(service, going, batch), *new]
            steps += _moved(service, have, staying, batch)
        elif last:
            steps += [*new, *_shifts(service, going, ())]
            steps += () if service.traffic.routed else retire(service, going, batch)
        else:
            steps += [*new, *_moved(service, have, staying, batch), *retire(service, going, batch)]
        pause = max(update.monitor, 0.0 if last else update.delay)
        steps += [Observe(name, pause, batch)] if pause else []
    return steps, () if _one_at_a_time(service) else going


def _shifts(service: Service, old: Sequence[Container], surplus: Sequence[Container]) -> list[Step]:
    """All requests to the new generation: at once, or step by step where the old one is there to compare with."""
    if not service.traffic.routed:
        return []
    steps: list[Step] = []
    before, useless = ids(old), ids(surplus)
    if service.traffic.preview and before:
        steps += [ShiftTraffic(service.name, 0, before, useless), Smoke((service.name,), preview=True)]
    for share in service.traffic.canary if before else ():
        if share < WHOLE:
            steps += [ShiftTraffic(service.name, share, before, useless), Judge(service.name, share)]
    return [*steps, ShiftTraffic(service.name, WHOLE, without=(*before, *useless))]


def _moved(service: Service, have: int, staying: Sequence[Container], batch: int) -> list[Step]:
    """Requests in proportion to the containers of both generations."""
    if not service.traffic.routed:
        return []
    share = WHOLE if not staying else max(1, min(WHOLE - 1, round(WHOLE * have / (have + len(staying)))))
    return [ShiftTraffic(service.name, share, ids(staying), batch=batch)]


def _away(
    service: Service, have: int, going: Sequence[Container], staying: Sequence[Container], batch: int
) -> list[Step]:
    """Take requests off old containers that stop before their successors start."""
    if not (service.traffic.routed and going and (staying or have)):
        return []
    share = round(WHOLE * have / (have + len(staying)))
    return [ShiftTraffic(service.name, share, ids(staying), ids(going), batch, ahead=True)]


def _one_at_a_time(service: Service) -> bool:
    return service.strategy == ROLLING and service.traffic.update.order == "stop-first"
