"""In which order stopped containers start, so that each gets its address back and none gets another's.

Docker gives the lowest free address to whoever starts, and takes no wish on a network whose subnet it chose itself. A
proxy that asked for a name once would send one service's requests to another.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from slipway.agent.docker.docker_api import DockerApi

__all__ = ["former_addresses", "starting_order"]


def former_addresses(api: DockerApi, identifier: str) -> dict[str, str]:
    """Network → address of a container that runs."""
    networks = ((api.container(identifier) or {}).get("NetworkSettings") or {}).get("Networks") or {}
    return {name: str(each["IPAddress"]) for name, each in networks.items() if (each or {}).get("IPAddress")}


def starting_order(api: DockerApi, former: Mapping[str, Mapping[str, str]]) -> list[str]:
    """The names of `former` (container → network → address), in the order in which to start them.

    Whoever had the lowest free address is next. Where nobody had it, the one with the highest goes there: its own
    address stays free until all others have theirs.
    """
    free = {name: _free(api, name) for networks in former.values() for name in networks}
    lowest = {name: next(addresses, "") for name, addresses in free.items()}
    waiting = sorted(former, key=lambda each: [int(ipaddress.ip_address(one)) for one in former[each].values()])
    order = []
    while waiting:
        fits = [each for each in waiting if all(lowest[name] == had for name, had in former[each].items())]
        chosen = fits[0] if fits else waiting[-1]
        waiting.remove(chosen)
        order.append(chosen)
        for name in former[chosen]:
            lowest[name] = next(free[name], "")
    return order


def _free(api: DockerApi, name: str) -> Iterator[str]:
    """The addresses of a network that nobody has, from the lowest on."""
    network = api.network(name) or {}
    pools = [
        each for each in (network.get("IPAM") or {}).get("Config") or () if ":" not in str(each.get("Subnet", ":"))
    ]
    used = {str(each.get("IPv4Address", "")).partition("/")[0] for each in (network.get("Containers") or {}).values()}
    for pool in pools:
        hosts = ipaddress.IPv4Network(pool.get("IPRange") or pool["Subnet"]).hosts()
        yield from _without(hosts, used | {str(pool.get("Gateway") or ipaddress.IPv4Network(pool["Subnet"])[1])})


def _without(hosts: Iterator[ipaddress.IPv4Address], used: Collection[str]) -> Iterator[str]:
    return (str(each) for each in hosts if str(each) not in used)
