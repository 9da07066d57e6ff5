"""The old containers of what others need stay until those have followed or left: who kept their address reaches them.

Those that start meanwhile find the new ones alone, by a name of their generation (`Service.alias`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.agent.docker.facts import RUNS
from slipway.agent.strategies.graph import ancestors, unchanged_proxy
from slipway.agent.strategies.service import ServicePlan
from slipway.agent.strategies.steps import Drain, KeepOld, LeaveOld, Remove, ScaleUp, Start, Step
from slipway.contract.strategies import RECREATE

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from slipway.agent.docker.facts import Container
    from slipway.agent.strategies.service import Service

__all__ = ["Held", "leaving"]


class Held:
    """Steps of services that others need, put off until those have followed or are seen to ask the new."""

    def __init__(self, services: Mapping[str, Service]) -> None:
        self._services = services
        self._followed = {other for each in services.values() if each.replicas for other in each.replaced_with}
        self._needed = {other for each in services.values() if each.replicas for other in each.depends_on}
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
        begin = max((n for n, step in enumerate(plan.steps, 1) if isinstance(step, (Start, ScaleUp))), default=0)
        after = plan.steps[begin:]
        going = tuple(step for step in (*after, *plan.late) if isinstance(step, (Remove, Drain)))
        waits = name in self._followed or (old and begin and name in self._needed and not service.traffic.routed)
        if waits and name in self._apart and service.replicas and service.strategy != RECREATE and going:
            self._steps[name] = going
            return ServicePlan((*plan.steps[:begin], *(step for step in after if step not in going)), plan.first)
        return ServicePlan((*plan.steps, *plan.late), plan.first) if begin and name in self._followed else plan

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
            asked = name not in self._followed or any(name in edges[each] for each in stay)
            (early if asked else late).extend(self._steps[name])
        return early, late


def leaving(
    services: Mapping[str, Service],
    steps: Sequence[Step],
    going: Sequence[Step],
    *,
    touched: Collection[str],
    smoke: Collection[str],
) -> list[Step]:
    """What comes before old containers are `going` beside which new ones run: a proxy may know only those.

    Its `smoke` checks tell, or those of a service that stands before it.
    """
    grown = {name for step in steps if isinstance(step, ScaleUp) for name in step.services}
    changed = grown & {step.service for step in going if isinstance(step, (Drain, KeepOld, Remove))}
    edges = {name: list(service.depends_on) for name, service in services.items()}
    asked = tuple(name for name in sorted(smoke) if changed.intersection(unchanged_proxy(name, edges, touched)[1]))
    return [LeaveOld(asked, tuple(sorted(changed)))] if asked else []
