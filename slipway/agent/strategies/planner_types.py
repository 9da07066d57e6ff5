"""What a planner is given, and what it answers with."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.agent.docker.facts import Container
    from slipway.agent.state.ledger import Proof
    from slipway.agent.strategies.steps import Step

__all__ = ["Routed", "ServicePlan", "ServiceState"]


class Routed(NamedTuple):
    """What the edge does for this stack now."""

    weights: Mapping[str, Mapping[str, int]] = {}  # service → generation → share of its requests
    stale: frozenset[str] = frozenset()  # services whose route is not the one that their containers and settings give
    edge: str = ""  # version of the edge that has to be there first; empty: it is, or none is needed


class ServiceState(NamedTuple):
    """What is so of one service."""

    containers: Sequence[Container]
    proof: Proof | None = None  # what was proven of it last
    weights: Mapping[str, int] = {}
    """generation → share of the requests that the edge sends there; empty: no route is written"""
    stale: bool = False  # the route that is written is not the one that the wanted containers and settings give
    back: bool = False  # this is a rollback: nothing of the other one is worth keeping


class ServicePlan(NamedTuple):
    """The steps for one service, by when they may be done."""

    steps: tuple[Step, ...] = ()
    first: tuple[Step, ...] = ()
    """before anything else is done for any service: requests go back to where they are served well"""
    late: tuple[Step, ...] = ()  # after the release is recorded as live

    def __bool__(self) -> bool:
        return bool(self.steps or self.first or self.late)
