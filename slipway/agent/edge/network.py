"""The edge's network, where a container keeps its address as long as it exists, and reaches no other container."""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import struct
from typing import TYPE_CHECKING, Any

from slipway.agent.docker.docker_api import DockerError
from slipway.agent.docker.facts import EDGE_NETWORK as NETWORK
from slipway.agent.docker.facts import fixed_address
from slipway.contract.problems import FREE_NETWORKS, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from slipway.agent.docker.docker_api import DockerApi

__all__ = ["EDGE_LABEL", "NETWORK", "attach", "ensure_network", "taken"]

EDGE_LABEL = "dev.slipway.edge"
_PREFIX = 20  # 4,093 containers
# Rarely used corners of the private ranges; the first that neither this host's routes nor Docker's networks use.
_CANDIDATES = tuple(
    ipaddress.IPv4Network(text)
    for text in (
        *(f"10.{second}.240.0/{_PREFIX}" for second in range(213, 223)),
        *(f"172.{second}.240.0/{_PREFIX}" for second in range(31, 20, -1)),
        f"192.168.240.0/{_PREFIX}",
    )
)


def ensure_network(api: DockerApi) -> dict[str, Any]:
    """The network, created when it is not there.

    Raises:
        SlipwayError: no private range is free.
    """
    found = api.network(NETWORK)
    if found is not None:
        return found
    used = list(_routed())
    for subnet in _CANDIDATES:
        if any(subnet.overlaps(each) for each in used):
            continue
        try:
            api.create_network(_body(subnet))
            break
        except DockerError as error:
            if error.status == http.client.CONFLICT and api.network(NETWORK):
                break  # somebody was quicker
            if "overlap" not in error.message.lower():
                raise
    made = api.network(NETWORK)
    if made is None:
        raise SlipwayError(
            f"no private address range is free for the network {NETWORK}",
            f"the edge reaches containers by fixed addresses on a network of its own; free one of {_CANDIDATES[0]} to "
            f"{_CANDIDATES[-1]}",
            FREE_NETWORKS,
        )
    return made


def attach(api: DockerApi, network: dict[str, Any], container: str, last: str) -> str:
    """Connect a container with an address that stays its own; the address it has when it is connected already.

    The addresses go round, beginning after `last`, so that one that became free is not given to another at once.

    Raises:
        SlipwayError: the container is gone, or no address is left.
    """
    details = api.container(container)
    if details is None:
        raise SlipwayError(
            f"container {container[:12]} is gone",
            "the edge cannot send requests to it",
            "run the deployment again",
        )
    endpoint = details["NetworkSettings"]["Networks"].get(NETWORK)
    if endpoint is not None:
        given = fixed_address(endpoint)
        if given and endpoint.get("NetworkID") in {network["Id"], ""}:
            return given
        api.disconnect_network(NETWORK, container)  # left from a network of that name that was removed since
    in_use = taken(api)
    for candidate in _after(network, last):
        if candidate in in_use:
            continue
        wanted = {"IPAMConfig": {"IPv4Address": candidate}}
        try:
            api.connect_network(network["Id"], {"Container": details["Id"], "EndpointConfig": wanted})
        except DockerError as error:
            if "already in use" in error.message.lower():
                continue
            raise
        return candidate
    raise SlipwayError(
        f"no address is left on the network {NETWORK}",
        "every container that gets requests needs one, and stopped ones keep theirs",
        f"docker ps -aqf network={NETWORK} -f status=exited | xargs -r docker rm",
    )


def taken(api: DockerApi) -> set[str]:
    """The addresses that containers have here, running or not."""
    networks = [each.get("NetworkSettings", {}).get("Networks", {}) for each in api.containers()]
    return {fixed_address(each.get(NETWORK)) for each in networks} - {""}


def _after(network: dict[str, Any], last: str) -> Iterator[str]:
    """All addresses of the network, once round from the one after `last`; not the gateway's, which is the first."""
    subnet = ipaddress.IPv4Network(network["IPAM"]["Config"][0]["Subnet"])
    first, count = int(subnet.network_address) + 2, subnet.num_addresses - 3
    start = 0
    with contextlib.suppress(ValueError):
        start = max(0, int(ipaddress.IPv4Address(last)) + 1 - first)
    for step in range(count):
        yield str(ipaddress.IPv4Address(first + (start + step) % count))


def _body(subnet: ipaddress.IPv4Network) -> dict[str, Any]:
    return {
        "Name": NETWORK,
        "Driver": "bridge",
        "Internal": True,  # no way out through it: containers have their own networks for that
        "IPAM": {"Config": [{"Subnet": str(subnet), "Gateway": str(subnet[1])}]},
        "Options": {"com.docker.network.bridge.enable_icc": "false"},
        "Labels": {EDGE_LABEL: "true"},
    }


def _routed() -> Iterable[ipaddress.IPv4Network]:
    """Networks that this host has a route to, the default route excepted."""
    with open("/proc/net/route", encoding="ascii") as file:
        lines = file.read().splitlines()[1:]
    for line in lines:
        fields = line.split()
        target, mask = (socket.inet_ntoa(struct.pack("=L", int(fields[at], 16))) for at in (1, 7))
        network = ipaddress.IPv4Network(f"{target}/{mask}", strict=False)
        if network.prefixlen:
            yield network
