"""The host ports that a service of a resolved Compose file publishes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["PublishedPort", "published_ports"]


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
