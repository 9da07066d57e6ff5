"""One service as this host should run it: plain values that plans are made from and gates look at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.contract.strategies import CANARY

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["GENERATION_LENGTH", "Service", "Traffic", "Update", "generation_of", "traffic_of"]

GENERATION_LENGTH = 12


def generation_of(config: str) -> str:
    """The name of a generation: the containers of one service that were made from one configuration."""
    return config[:GENERATION_LENGTH]


class Update(NamedTuple):
    """Compose's `deploy.update_config`; times in seconds."""

    order: str = "stop-first"
    parallelism: int = 0
    delay: float = 0.0
    monitor: float = 0.0
    failure_action: str = "rollback"
    max_failure_ratio: float = 0.0


class Traffic(NamedTuple):
    """How requests come to a service and move to a new generation of it; times in seconds."""

    routed: bool = False
    drain: float = 0.0
    keep: float = 0.0
    preview: bool = False
    canary: tuple[int, ...] = ()
    """percent of the traffic, step by step; empty without canary"""
    update: Update = Update()


class Service(NamedTuple):
    """One service as this host should run it."""

    name: str
    image: str
    config: str
    replicas: int
    strategy: str
    depends_on: dict[str, str]
    """service → condition, services of this host only"""
    replaced_with: frozenset[str]
    """services whose replacement makes these containers useless (a shared network namespace) or asks for a new start"""
    completes: bool
    """another service waits for its successful end"""
    verdict_after: tuple[float, float] | None
    """seconds after which `starting` counts as unhealthy where the start period is ours: with a check that answers, and
    with one that times out; None: Docker's own verdict"""
    traffic: Traffic = Traffic()

    @property
    def generation(self) -> str:
        """Its wanted generation."""
        return generation_of(self.config)


def traffic_of(entry: Mapping[str, Any]) -> Traffic:
    """From a service's entry in the release document."""
    update = entry["update"]
    return Traffic(
        routed=bool(entry["routes"]),
        drain=float(entry["drain"]),
        keep=float(entry["keep"]),
        preview=bool(entry["preview"]),
        canary=tuple(entry["canary"]["steps"]) if entry["strategy"] == CANARY and entry["canary"] else (),
        update=Update(**{name: update[name] for name in Update._fields}),
    )
