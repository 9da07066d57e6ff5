"""Which strategy a service gets, and what keeps it from running twice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.contract.compose_tree import joining
from slipway.contract.published_ports import published_ports
from slipway.contract.strategies import RECREATE, ROLLING, STRATEGIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.x_slipway.findings import Findings
    from slipway.x_slipway.service import ServiceExtension
    from slipway.x_slipway.source_lines import SourceLines
    from slipway.x_slipway.update_config import UpdateConfig

__all__ = ["choose"]

_NETWORK_MODES = ("bridge", "default", "none")
_SHARED = {"network_mode": "network", "pid": "processes", "ipc": "memory", "volumes_from": "folders"}


class _Obstacle(NamedTuple):
    """Something of which a host can have only one."""

    what: str
    """Continues a sentence that begins with the service."""
    path: tuple[str | int, ...]
    fix: str
    holding: str = ""


def choose(
    name: str,
    services: Mapping[str, Mapping[str, Any]],
    extension: ServiceExtension,
    update: UpdateConfig,
    *,
    lines: SourceLines,
    found: Findings,
) -> str:
    """The strategy of the service `name`: the one that it asks for, or the best that it can have."""
    asked = extension.strategy if extension.strategy in STRATEGIES else ""
    twice = bool(extension.route) or update.order == "start-first"
    wanted = asked or (ROLLING if twice else RECREATE)
    obstacles = list(_obstacles(name, services)) if wanted != RECREATE else []
    for obstacle in obstacles if asked else obstacles[:1]:
        place = lines.place(*obstacle.path, holding=obstacle.holding)
        quoted = f"`{place.text}` in {place.shown}" if place.text else place.shown
        what, fix = f"services.{name} {obstacle.what} ({place.shown})", obstacle.fix.format(place=quoted)
        if asked:
            found.refuse(
                f"{what}, which makes the strategy {asked} impossible",
                "only one container on a host can have it, and two generations run side by side",
                f"{fix}, or set `strategy: recreate`",
            )
        else:
            found.warn(
                f"{what}, so that two generations cannot run side by side",
                "it is recreated, and does not answer meanwhile",
                f"{fix}, or set `strategy: recreate` to say that this is meant",
            )
    return RECREATE if obstacles and not asked else wanted


def _obstacles(name: str, services: Mapping[str, Mapping[str, Any]]) -> Iterator[_Obstacle]:
    service, here = services[name], ("services", name)
    yield from _ports(service, here)
    yield from _fixed_addresses(service, here)
    for place, volume in enumerate(service.get("volumes") or ()):
        if volume.get("type") == "volume" and not volume.get("source"):
            what = f"has a volume without a name at {volume['target']}"
            fix = f"give it a name (`data:{volume['target']}`, and `data:` below `volumes`) in place of {{place}} "
            fix += "(it begins empty: copy first what has to stay)"
            yield _Obstacle(what, (*here, "volumes", place), fix, volume["target"])
    if "container_name" in service:
        yield _Obstacle("has a fixed container_name", (*here, "container_name"), "remove {place}")
    mode = str(service.get("network_mode") or "")
    if mode and mode not in _NETWORK_MODES:
        yield _Obstacle(f"has network_mode {mode}", (*here, "network_mode"), "remove {place}")
    if str((service.get("deploy") or {}).get("mode") or "").startswith("global"):
        fix = "set `mode: replicated` instead of {place}"
        yield _Obstacle("has deploy.mode global, one container a host", (*here, "deploy", "mode"), fix)
    for other, key in joining(name, services):
        yield _Obstacle(f"shares its {_SHARED[key]} with {other}", ("services", other, key), "remove {place}")


def _ports(service: Mapping[str, Any], here: tuple[str, ...]) -> Iterator[_Obstacle]:
    """Host ports that are too few for two generations."""
    replicas = int((service.get("deploy") or {}).get("replicas") or service.get("scale") or 1)
    for port in published_ports(service):
        if port.width < 2 * replicas:
            yield _Obstacle(
                f"publishes the host port {port}",
                (*here, "ports", port.entry),
                "remove {place} (the edge reaches the container without it)",
                str(port),
            )


def _fixed_addresses(service: Mapping[str, Any], here: tuple[str, ...]) -> Iterator[_Obstacle]:
    for network, entry in (service.get("networks") or {}).items():
        for key in ("ipv4_address", "ipv6_address", "mac_address"):
            if (entry or {}).get(key):
                yield _Obstacle(f"has a fixed {key}", (*here, "networks", network, key), "remove {place}")
