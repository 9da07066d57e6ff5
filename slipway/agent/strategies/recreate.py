"""Replace a service's containers in place: the old one stops, the new one starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.agent.docker.facts import CAN_START, RUNS
from slipway.agent.strategies.service import ServicePlan
from slipway.agent.strategies.steps import Drain, Remove, ShiftTraffic, Start, Unroute, WaitHealthy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.agent.docker.facts import Container
    from slipway.agent.state.ledger import Proof
    from slipway.agent.strategies.service import Service, ServiceState
    from slipway.agent.strategies.steps import Step

__all__ = ["ended_as_proven", "ids", "plan", "remove", "retire"]


def plan(service: Service, state: ServiceState) -> ServicePlan:
    """Nothing when every container is as wanted; else the fewest replacements that make it so."""
    containers = state.containers
    if ended_as_proven(service, state.proof):
        stale = [each for each in containers if each.config != service.config or each.state in RUNS]
        return ServicePlan(remove(service, stale))
    if service.replicas == 0:
        unrouted: tuple[Step, ...] = (Unroute((service.name,)),) if state.weights else ()
        return ServicePlan((*unrouted, *remove(service, containers)))
    good = [each for each in containers if each.config == service.config and not each.halfway]
    usable = [each for each in good if each.state in RUNS + CAN_START]
    # Running before stopped, old numbers before new ones: the rest is surplus.
    usable.sort(key=lambda each: (each.state not in RUNS, each.number))
    kept = usable[: service.replicas]
    unwanted = [each for each in containers if each not in kept]
    if len(kept) == service.replicas and all(each.state in RUNS or each.ended_well for each in kept):
        return _complete(service, state, unwanted)
    renew = bool(unwanted) and not kept
    # Compose replaces as many as are wanted; a stop of what is too much would be noted nowhere. Their volumes without
    # a name go on: those of what serves.
    serving = state.proof.config if state.proof else ""
    whole = sorted((each for each in unwanted if not each.halfway), key=lambda each: each.config != serving)
    replaced = whole[: service.replicas] if renew else []
    away = [each for each in unwanted if each not in replaced]
    steps = [*remove(service, away), Start((service.name,), renew), WaitHealthy((service.name,))]
    steps += [ShiftTraffic(service.name, 100)] if service.traffic.routed else []
    return ServicePlan(tuple(steps))


def ended_as_proven(service: Service, proof: Proof | None) -> bool:
    """Whether this is a one-off that ended well in this very configuration: it stays ended."""
    return proof is not None and proof.completed and proof.config == service.config


def _complete(service: Service, state: ServiceState, unwanted: Sequence[Container]) -> ServicePlan:
    """All that is wanted runs: the route follows, and what is too much goes once no request reaches it."""
    if not (service.traffic.routed and state.stale):
        return ServicePlan(remove(service, unwanted))
    shift = (ShiftTraffic(service.name, 100, without=ids(unwanted)),)
    if state.proof is not None and state.proof.config == service.config:
        return ServicePlan(retire(service, unwanted), first=shift)
    return ServicePlan((WaitHealthy((service.name,)), *shift, *retire(service, unwanted)))


def remove(service: Service, containers: Sequence[Container]) -> tuple[Step, ...]:
    return (Remove(service.name, ids(containers)),) if containers else ()


def retire(service: Service, containers: Sequence[Container], batch: int = 1) -> tuple[Step, ...]:
    return (Drain(service.name, ids(containers), batch),) if containers else ()


def ids(containers: Sequence[Container]) -> tuple[str, ...]:
    return tuple(each.id for each in containers)
