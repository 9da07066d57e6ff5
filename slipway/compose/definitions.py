"""Top-level volumes and configs of a Compose file, as another machine can have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.compose.compose_config import missing_variable
from slipway.compose.shipped_files import kept_on_host
from slipway.contract.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.settings.model import Settings

__all__ = ["HostConfig", "config_for_hosts", "volume_for_hosts"]


class HostConfig(NamedTuple):
    """A top-level config for the hosts."""

    entry: dict[str, Any]
    secret: str | None = None
    """The secret that is its content, if one is."""
    problem: Problem | None = None


def config_for_hosts(name: str, entry: Mapping[str, Any], settings: Settings) -> HostConfig:
    """A config that is no file; one that is a variable's value becomes content."""
    variable = str(entry.get("environment") or "")
    rest = {key: value for key, value in entry.items() if key != "environment"}
    if variable in settings.secrets:
        return HostConfig({**rest, "content": f"${{{variable}}}"}, secret=variable)
    if variable in settings.variables:
        return HostConfig({**rest, "content": settings.variables[variable].replace("$", "$$")})
    if variable:
        return HostConfig(rest, problem=missing_variable(variable, settings, f"configs.{name} is its value"))
    if "content" in entry:
        return HostConfig(rest)
    return HostConfig(
        rest,
        problem=Problem(
            f"configs.{name} is kept outside of the Compose file (external)",
            "only Docker Swarm has such configs",
            f"write `file:` or `content:` in configs.{name}",
        ),
    )


def volume_for_hosts(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A volume; one that binds a relative folder binds a folder of the stack's own on the host."""
    options = entry.get("driver_opts") or {}
    device = str(options.get("device") or "")
    if "bind" in str(options.get("o") or "").split(",") and device and not device.startswith("/"):
        return {**entry, "driver_opts": {**options, "device": kept_on_host(device)}}
    return dict(entry)
