"""What containers that start get and find: each its previous address, and the new generation of what it follows.

Docker gives the lowest free address to whoever starts, and takes no wish on a network whose subnet it chose itself. A
proxy that asked for a name once would send one service's requests to another.
"""

from __future__ import annotations

import ipaddress
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from slipway.agent.docker.facts import EDGE_NETWORK, fixed_address

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from slipway.agent.docker.docker_api import DockerApi

__all__ = ["Former", "former_addresses", "links", "starting_order"]


class Former(NamedTuple):
    """An address that a container had; a fixed one is asked for by name, and the lowest free one stays free."""

    address: str
    fixed: bool = False


def former_addresses(api: DockerApi, identifier: str) -> dict[str, Former]:
    """Network → address of a container that runs; without the edge's network, which is joined after the start."""
    networks = ((api.container(identifier) or {}).get("NetworkSettings") or {}).get("Networks") or {}
    return {
        name: Former(str(each["IPAddress"]), bool(fixed_address(each)))
        for name, each in networks.items()
        if name != EDGE_NETWORK and (each or {}).get("IPAddress")
    }


def links(
    api: DockerApi, running: Collection[str], alias: str, names: Collection[str], leaving: Collection[str]
) -> list[str]:
    """What lets a container that starts now find by these names those with an `alias` alone, beside some that leave.

    `running` are the containers that have the names. Without a link it would find all of them.
    """
    networks = {
        each: ((api.container(each) or {}).get("NetworkSettings") or {}).get("Networks") or {} for each in running
    }
    named = {each for each, own in networks.items() if any(alias in (n.get("Aliases") or ()) for n in own.values())}
    others = set(running) - named
    return [f"{alias}:{name}" for name in names] if named and others and others.issubset(leaving) else []


def starting_order(api: DockerApi, names: Collection[str], former: Mapping[str, Mapping[str, Former]]) -> list[str]:
    """`names` of containers in the order in which to start them; `former` is container → network → address.

    Fixed addresses come first, before somebody else gets them. Then whoever had the lowest free address is next. Where
    nobody had it, the one with the highest goes there: its own address stays free until all others have theirs.
    """
    former = {name: former[name] for name in names if former.get(name)}
    # Nobody comes to an address behind as many as there are containers, half of them perhaps with fixed ones.
    free = {name: list(islice(_free(api, name), 2 * len(former))) for each in former.values() for name in each}

    def first(name: str) -> str:
        return next(iter(free[name]), "")

    waiting = sorted(
        former,
        key=lambda each: [(not one.fixed, int(ipaddress.ip_address(one.address))) for one in former[each].values()],
    )
    order = []
    while waiting:
        fits = [
            each for each in waiting if all(one.fixed or one.address == first(n) for n, one in former[each].items())
        ]
        chosen = fits[0] if fits else waiting[-1]
        waiting.remove(chosen)
        order.append(chosen)
        for name, had in former[chosen].items():
            taken = had.address if had.fixed else first(name)
            free[name] = [each for each in free[name] if each != taken]
    return [*order, *(name for name in names if name not in former)]


def _free(api: DockerApi, name: str) -> Iterator[str]:
    """The addresses of a network that nobody has, from the lowest on."""
    network = api.network(name) or {}
    pools = [
        each for each in (network.get("IPAM") or {}).get("Config") or () if ":" not in str(each.get("Subnet", ":"))
    ]
    used = {str(each.get("IPv4Address", "")).partition("/")[0] for each in (network.get("Containers") or {}).values()}
    for pool in pools:
        hosts = ipaddress.IPv4Network(pool.get("IPRange") or pool["Subnet"], strict=False).hosts()
        yield from _without(hosts, used | {str(pool.get("Gateway") or ipaddress.IPv4Network(pool["Subnet"])[1])})


def _without(hosts: Iterator[ipaddress.IPv4Address], used: Collection[str]) -> Iterator[str]:
    return (str(each) for each in hosts if str(each) not in used)
