"""One pure planner per strategy: the steps for one service; `plan` orders services and joins their steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.agent.strategies import recreate, rolling
from slipway.contract.problems import DocumentError
from slipway.contract.strategies import BLUE_GREEN, CANARY, RECREATE, ROLLING

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.agent.strategies.service import Service, ServicePlan, ServiceState

    Planner = Callable[[Service, ServiceState], ServicePlan]

__all__ = ["find"]

_PLANNERS: dict[str, Planner] = {
    RECREATE: recreate.plan,
    ROLLING: rolling.plan,
    BLUE_GREEN: rolling.plan,
    CANARY: rolling.plan,
}


def find(name: str, service: str) -> Planner:
    """The planner of a strategy."""
    planner = _PLANNERS.get(name)
    if planner is None:
        raise DocumentError(
            f"service {service} asks for the strategy {name}, which does not exist",
            f"known: {', '.join(sorted(_PLANNERS))}; nothing was touched",
            f"set x-slipway.strategy of {service} to one of them",
        )
    return planner
