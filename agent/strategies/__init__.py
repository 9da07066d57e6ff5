"""How a service gets from the containers it has to those it should have: one planner per strategy, found by name.

A planner is a pure function of the wanted service, its containers and its last proof. It returns the steps for that
service alone; `plan` puts services in order and joins steps that can be done together. This is the seam for rolling,
blue-green and canary.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.errors import DocumentError
from agent.strategies import recreate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from agent.facts import Container
    from agent.ledger import Proof
    from agent.rendering import Service
    from agent.steps import Step

    Planner = Callable[[Service, Sequence[Container], "Proof | None"], "tuple[Step, ...]"]

__all__ = ["find"]

_PLANNERS: dict[str, Planner] = {"recreate": recreate.plan}


def find(name: str, service: str) -> Planner:
    """The planner of a strategy.

    Raises:
        DocumentError: there is none of that name.
    """
    planner = _PLANNERS.get(name)
    if planner is None:
        raise DocumentError(
            f"service {service} asks for the strategy {name}, which does not exist",
            f"known: {', '.join(sorted(_PLANNERS))}; nothing was touched",
            f"set x-slipway.strategy of {service} to one of them",
        )
    return planner
