"""How a service is updated: Compose's own `deploy.update_config`, and `x-slipway.canary`."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from slipway.contract.deployment import (
    ERROR_FLOOR,
    ERROR_RELATIVE,
    LATENCY_FLOOR_SECONDS,
    LATENCY_RELATIVE,
    MINIMUM_REQUESTS,
)
from slipway.contract.strategies import RECREATE
from slipway.settings.quantities import Duration, Share, plain
from slipway.x_slipway.block_errors import Block, problems_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.contract.problems import Problem

__all__ = ["ALL_AT_ONCE", "Canary", "UpdateConfig", "read_update"]

_ALL = 100  # per cent


class UpdateConfig(BaseModel):
    """Compose's keys; the defaults are Swarm's but for three.

    Without a block all containers change at once (Swarm: one by one), because the old generation serves meanwhile.
    What fails goes back (Swarm: pauses), and nobody waits to monitor what nobody asked to be monitored (Swarm: 5 s).
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    order: Literal["", "start-first", "stop-first"] = ""
    parallelism: int = Field(1, ge=0, le=10_000)
    delay: Duration = 0.0
    monitor: Duration = 0.0
    failure_action: Literal["rollback", "pause", "continue"] = "rollback"
    max_failure_ratio: float = Field(0.0, ge=0, le=1)

    def document(self, strategy: str) -> dict[str, Any]:
        """Its part of the service's entry in the release document."""
        order = self.order or ("stop-first" if strategy == RECREATE else "start-first")
        values = {name: plain(value) if isinstance(value, float) else value for name, value in self}
        return {**values, "order": order}


ALL_AT_ONCE = UpdateConfig.model_validate({"parallelism": 0})
"""Of a service without the block."""


def read_update(service: str, description: Mapping[str, Any]) -> tuple[UpdateConfig, list[Problem]]:
    """The `deploy.update_config` of a service; on problems the defaults are returned beside them."""
    block = (description.get("deploy") or {}).get("update_config")
    if block is None:
        return ALL_AT_ONCE, []
    try:
        return UpdateConfig.model_validate(block), []
    except ValidationError as error:
        where = f"services.{service}.deploy.update_config"
        return ALL_AT_ONCE, problems_of(where, block, error, {"": UpdateConfig})


def _percent(value: object) -> object:
    return value.strip().removesuffix("%") if isinstance(value, str) else value


def _rising(steps: list[int]) -> list[int]:
    rises = all(low < high for low, high in pairwise([0, *steps]))
    if not rises or not steps or steps[-1] != _ALL:
        shown = ", ".join(map(str, steps[:10])) or "there are none"
        raise ValueError(f"the steps do not rise to 100 ({shown})")
    return steps


class Canary(Block):
    """Steps of traffic, and what a step must show before the next one."""

    steps: Annotated[list[Annotated[int, BeforeValidator(_percent)]], AfterValidator(_rising)] = Field(
        [5, 25, 50, 100], description="percent of the traffic at each step, rising to 100"
    )
    pause: Duration = Field("1m", validate_default=True, description="how long a step is observed, at least")
    minimum_requests: int = Field(
        MINIMUM_REQUESTS, ge=1, le=1_000_000, description="requests to the new generation that a step needs"
    )
    patience: Duration = Field(
        "10m", validate_default=True, description="how long a step waits for them beyond that pause"
    )
    too_little: Literal["promote", "fail", "probe"] = Field(
        "fail", description="when they do not come: go on, give up, or send requests of its own"
    )
    error_rate: Share = Field(
        f"{ERROR_RELATIVE:.0%}",
        validate_default=True,
        description="tolerated increase of errors over the old generation, relative",
    )
    error_floor: Share = Field(
        f"{ERROR_FLOOR:.0%}",
        validate_default=True,
        description="share of all requests below which an increase of errors is ignored",
    )
    latency: Share = Field(
        f"{LATENCY_RELATIVE:.0%}",
        validate_default=True,
        description="tolerated increase of time (p50, p95) over the old generation, relative",
    )
    latency_floor: Duration = Field(
        f"{1000 * LATENCY_FLOOR_SECONDS:.0f}ms",
        validate_default=True,
        description="time below which an increase is ignored",
    )

    def document(self) -> dict[str, Any]:
        """Its part of the service's entry in the release document."""
        return {
            "steps": self.steps,
            "pause": plain(self.pause),
            "minimum": self.minimum_requests,
            "patience": plain(self.patience),
            "too_little": self.too_little,
            "error_relative": self.error_rate,
            "error_floor": self.error_floor,
            "latency_relative": self.latency,
            "latency_floor": plain(self.latency_floor),
        }
