"""Whether a proxy goes on asking old containers, seen before those go: requests through it leave connections behind.

Only a proxy that keeps an address makes a new connection for every request, and never one to a new container. Who
asks for the name again, or keeps its connections and opens others once they end, does not look like that.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent.edge.metrics import peers
from slipway.agent.traffic.http_get import get
from slipway.contract.compose_tree import following
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.docker.facts import Container

__all__ = ["PATIENCE_SECONDS", "ProxyPath", "check_targets", "explaining", "kept_address", "still_asked"]

PATIENCE_SECONDS = 30.0
"""Until then programs have asked again that keep a name server's answer for a while, as a Java virtual machine does."""
_REQUESTS = 8  # Docker's name server mixes its answers: less than one in 200 proves the wrong thing by chance
_SECONDS = 2.0


class Target(NamedTuple):
    """A page that is asked for."""

    address: tuple[str, int]
    path: str
    headers: Mapping[str, str]


class ProxyPath(NamedTuple):
    """Requests to `targets`, and whom `proxies` may pass them on to."""

    targets: Sequence[Target]
    proxies: Sequence[Container]
    old: Sequence[Container]
    new: Sequence[Container]

    def asks_old_alone(self, api: DockerApi) -> bool:
        """Whether every request leads to an old container."""
        before = self._seen(self.old, api), self._seen(self.new, api)
        for target in self.targets:
            for _ in range(_REQUESTS):
                get(target.address, target.path, target.headers, seconds=_SECONDS)
        to_old, to_new = self._seen(self.old, api) - before[0], self._seen(self.new, api) - before[1]
        return len(to_old) >= _REQUESTS and not to_new

    def _seen(self, servers: Sequence[Container], api: DockerApi) -> set[str]:
        """The proxies' ends of connections to them: who closed one first remembers it for a while."""
        here = [pair for each in self.proxies for pair in peers(api.container(each.id) or {}, _addresses(servers))]
        there = [pair for each in servers for pair in peers(api.container(each.id) or {}, _addresses(self.proxies))]
        return {local for local, _ in here} | {remote for _, remote in there}


def check_targets(checks: Sequence[Mapping[str, Any]], containers: Sequence[Container]) -> list[Target]:
    """What smoke checks ask of each container; a route's own path is often answered by the proxy itself."""
    return [
        Target((address, check["port"]), check.get("path", "/"), {"Host": check["host"]} if check.get("host") else {})
        for each in containers
        for check in checks
        if check["kind"] == "http"
        for address in each.addresses[:1]
    ]


def _addresses(containers: Sequence[Container]) -> set[str]:
    return {address for each in containers for address in each.addresses}


def still_asked(proxy: str, changed: Sequence[str]) -> SlipwayError:
    return SlipwayError(
        f"{proxy} goes on asking the old containers of {' and '.join(changed)}",
        "requests through it would be lost once those are gone, so they have stayed, and none was lost",
        kept_address(proxy, changed),
    )


def kept_address(proxy: str, changed: Sequence[str]) -> str:
    """What to do about a service that goes on asking the containers that are gone."""
    return (
        f"a proxy keeps the addresses that {' and '.join(changed)} had when the proxy started: "
        f"write `{following(changed)}` in {proxy}, so that it follows, then deploy again"
    )


@contextlib.contextmanager
def explaining(proxy: str, changed: Sequence[str]) -> Iterator[None]:
    """Say of a check that fails that a proxy may have kept an address, where that can be."""
    try:
        yield
    except SlipwayError as error:
        if not changed:
            raise
        also = f"; or {kept_address(proxy, changed)}"
        raise SlipwayError(each._replace(fix=each.fix + also) for each in error.problems) from None
