"""The old containers of what others follow stay until those have followed: who kept their address still reaches them.

Those that start meanwhile find the new ones alone, by a name of their generation (`Service.alias`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.agent.docker.facts import RUNS
from slipway.agent.strategies.graph import ancestors
from slipway.agent.strategies.service import ServicePlan
from slipway.agent.strategies.steps import Drain, Remove, ScaleUp, Start, Step
from slipway.contract.strategies import RECREATE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from slipway.agent.docker.facts import Container
    from slipway.agent.strategies.service import Service

__all__ = ["Held"]


class Held:
    """Steps of services that others follow, put off until they have done so."""

    def __init__(self, services: Mapping[str, Service]) -> None:
        self._services = services
        self._followed = {other for each in services.values() if each.replicas for other in each.replaced_with}
        self._steps: dict[str, tuple[Step, ...]] = {}
        self._apart: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._steps

    def part(self, name: str, plan: ServicePlan, own: Sequence[Container]) -> ServicePlan:
        """A service's plan without what waits for its followers; `own` are its containers as they are."""
        service = self._services[name]
        old = [each for each in own if each.config != service.config and each.state in RUNS]
        # Old and new of one configuration have one name, unless they follow what changed.
        if old or not service.replaced_with.isdisjoint(self._apart):
            self._apart.add(name)
        if name not in self._followed:
            return plan
        begin = max((n for n, step in enumerate(plan.steps, 1) if isinstance(step, (Start, ScaleUp))), default=0)
        after = plan.steps[begin:]
        going = tuple(step for step in (*after, *plan.late) if isinstance(step, (Remove, Drain)))
        if name in self._apart and service.replicas and service.strategy != RECREATE and going:
            self._steps[name] = going
            return ServicePlan((*plan.steps[:begin], *(step for step in after if step not in going)), plan.first)
        return ServicePlan((*plan.steps, *plan.late), plan.first) if begin else plan

    def due(self, starting: Collection[str]) -> list[Step]:
        """What goes before these start: they need it and do not follow, so that they must not find the old ones."""
        found = [
            name
            for name in self._steps
            if any(name in self._services[each].depends_on and name not in self._services[each].replaced_with
                   for each in starting)
        ]  # fmt: skip
        return [step for name in found for step in self._steps.pop(name)]

    def rest(self, touched: Collection[str]) -> tuple[list[Step], list[Step]]:
        """What goes before the routes of those that did not follow are asked for, and what once all is proven."""
        edges = {name: list(each.depends_on) for name, each in self._services.items()}
        routed = [name for name, each in self._services.items() if each.traffic.routed and each.replicas]
        stay = {name for each in routed for name in (each, *ancestors(each, edges))}.difference(touched)
        early, late = list[Step](), list[Step]()
        for name in reversed(self._steps):  # a follower's before those of what it may still be asking
            (early if any(name in edges[each] for each in stay if each in edges) else late).extend(self._steps[name])
        return early, late
