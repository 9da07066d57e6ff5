"""`deploy.update_config` of a service: Compose's own words for how containers are replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from slipway.contract.strategies import RECREATE
from slipway.settings.quantities import Duration, plain
from slipway.x_slipway.block_errors import problems_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.contract.problems import Problem

__all__ = ["ALL_AT_ONCE", "UpdateConfig", "read_update"]


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
