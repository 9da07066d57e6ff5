"""The ports of a host that a service of a resolved Compose file publishes, and that a container has."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["PublishedPort", "addresses_meet", "chosen_ports", "held_ports", "listed_ports", "published_ports"]


class PublishedPort(NamedTuple):
    """One port, or a range of which each container takes one."""

    first: int
    last: int
    protocol: str
    address: str
    """Of the host; empty for all of them."""
    entry: int
    """Its place in the service's `ports`."""

    @property
    def width(self) -> int:
        """How many ports it is."""
        return self.last - self.first + 1

    def __str__(self) -> str:
        """As Compose writes it."""
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def published_ports(service: Mapping[str, Any]) -> Iterator[PublishedPort]:
    """The ports that the service itself chooses; where it leaves the choice to Docker there is none."""
    for place, entry in enumerate(service.get("ports") or ()):
        first, _, last = str(entry.get("published") or "").partition("-")
        if first.isdigit() and int(first) and (not last or last.isdigit()):
            protocol, address = str(entry.get("protocol") or "tcp"), str(entry.get("host_ip") or "")
            yield PublishedPort(int(first), int(last or first), protocol, address, place)


def chosen_ports(service: Mapping[str, Any]) -> Iterator[int]:
    """Each port of the host that it may have by them."""
    return (port for each in published_ports(service) for port in range(each.first, each.last + 1))


def held_ports(details: Mapping[str, Any]) -> set[int]:
    """The ports of the host that a container has, from the engine's answer to inspecting it."""
    host = details.get("HostConfig") or {}
    if host.get("NetworkMode") == "host":  # it publishes none: what it listens on its image says, if anything
        return {int(each.partition("/")[0]) for each in details["Config"].get("ExposedPorts") or ()}
    published = (details.get("NetworkSettings") or {}).get("Ports") or {}
    return {int(each["HostPort"]) for bound in published.values() for each in bound or ()}


def listed_ports(containers: Iterable[Mapping[str, Any]]) -> Iterator[tuple[int, str, str, str]]:
    """Port, protocol, address and container of all that they publish now, from the engine's list of them."""
    for entry in containers:
        for held in entry.get("Ports") or ():
            if held.get("PublicPort"):
                protocol, address = str(held.get("Type", "tcp")), str(held.get("IP", ""))
                yield int(held["PublicPort"]), protocol, address, str(entry["Names"][0]).lstrip("/")


def addresses_meet(one: str, other: str) -> bool:
    """Whether a port at one address of the host is taken where another has it."""
    everywhere = ("", "0.0.0.0", "::")  # noqa: S104 - compared, not bound
    return one == other or one in everywhere or other in everywhere
