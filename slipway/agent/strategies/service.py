"""One service as this host should run it, and what its planner is given and answers with: plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slipway.contract.deployment import Update
from slipway.contract.strategies import RECREATE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.agent.docker.facts import Container
    from slipway.agent.state.ledger import Proof
    from slipway.agent.strategies.steps import Step

__all__ = ["Routed", "Service", "ServicePlan", "ServiceState", "Traffic", "generation_of"]

_GENERATION_LENGTH = 12


def generation_of(config: str) -> str:
    """The name of a generation: the containers of one service that were made from one configuration."""
    return config[:_GENERATION_LENGTH]


class Traffic(NamedTuple):
    """How requests come to a service and move to a new generation of it; times in seconds."""

    routed: bool = False
    drain: float = 0.0
    keep: float = 0.0
    preview: bool = False
    canary: tuple[int, ...] = ()  # percent of the traffic, step by step; empty without canary
    update: Update = Update()


class Service(NamedTuple):
    """One service as this host should run it."""

    name: str
    image: str
    config: str
    replicas: int
    strategy: str
    depends_on: dict[str, str]  # service → condition, services of this host only
    replaced_with: frozenset[str]
    """services whose replacement makes these containers useless (a shared network namespace) or asks for a new start"""
    completes: bool  # another service waits for its successful end
    traffic: Traffic = Traffic()
    names: tuple[str, ...] = ()  # that others reach it by, and nothing else
    alias: str = ""  # by which its network knows the containers of this generation alone; empty: nobody follows them
    runs_once: bool = False  # never restarted, without a health check, and nothing can reach it: it works and ends

    @property
    def generation(self) -> str:
        return generation_of(self.config)

    @property
    def in_place(self) -> Service:
        """The same, but replaced in place."""
        return self._replace(strategy=RECREATE, traffic=self.traffic._replace(canary=(), preview=False, keep=0.0))


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
