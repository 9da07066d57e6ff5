"""One service as this host should run it: plain values that plans are made from and gates look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slipway.contract.deployment import Update

if TYPE_CHECKING:
    from slipway.contract.deployment import ServiceEntry

__all__ = ["GENERATION_LENGTH", "Service", "Traffic", "generation_of", "traffic_of"]

GENERATION_LENGTH = 12


def generation_of(config: str) -> str:
    """The name of a generation: the containers of one service that were made from one configuration."""
    return config[:GENERATION_LENGTH]


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
    verdict_after: tuple[float, float] | None
    """seconds after which `starting` counts as unhealthy where the start period is ours: with a check that answers, and
    with one that times out; None: Docker's own verdict"""
    traffic: Traffic = Traffic()

    @property
    def generation(self) -> str:
        return generation_of(self.config)


def traffic_of(entry: ServiceEntry) -> Traffic:
    routed, preview = bool(entry.routes), bool(entry.preview)
    return Traffic(routed, entry.drain, entry.keep, preview, entry.canary_steps, entry.update)
