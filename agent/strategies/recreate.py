"""Replace a service's containers in place: the old one stops, the new one starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.facts import CAN_START, RUNS
from agent.steps import Await, Remove, Start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.facts import Container
    from agent.ledger import Proof
    from agent.rendering import Service
    from agent.steps import Step

__all__ = ["plan"]


def plan(service: Service, containers: Sequence[Container], proof: Proof | None) -> tuple[Step, ...]:
    """Nothing when every container is as wanted; else the fewest replacements that make it so."""
    if ended_as_proven(service, proof):
        stale = [each for each in containers if each.config != service.config or each.state in RUNS]
        return _remove(service, stale)
    if service.replicas == 0:
        return _remove(service, containers)
    good = [each for each in containers if each.config == service.config and not each.halfway]
    usable = [each for each in good if each.state in RUNS + CAN_START]
    # Running before stopped, old numbers before new ones: the rest is surplus.
    usable.sort(key=lambda each: (each.state not in RUNS, each.number))
    kept = usable[: service.replicas]
    unwanted = [each for each in containers if each not in kept]
    if not kept and unwanted:
        return (*_remove(service, [each for each in unwanted if each.halfway]), *_start(service, recreate=True))
    if len(kept) == service.replicas and all(each.state in RUNS for each in kept):
        return _remove(service, unwanted)
    return (*_remove(service, unwanted), *_start(service, recreate=False))


def ended_as_proven(service: Service, proof: Proof | None) -> bool:
    """Whether this is a one-off that ended well in this very configuration: it stays ended."""
    return proof is not None and proof.completed and proof.config == service.config


def _start(service: Service, *, recreate: bool) -> tuple[Step, ...]:
    return Start((service.name,), recreate), Await((service.name,))


def _remove(service: Service, containers: Sequence[Container]) -> tuple[Step, ...]:
    return (Remove(service.name, tuple(each.id for each in containers)),) if containers else ()
