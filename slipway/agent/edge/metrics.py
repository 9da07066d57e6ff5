"""What the edge counts and what the kernel knows: requests, their durations, open connections."""

from __future__ import annotations

import re
import socket
from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent import runtime
from slipway.agent.edge.rendering import service_target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = ["Counters", "Target", "connections", "listeners", "listening", "peers", "traffic"]

_COUNTERS = re.compile(
    r"^traefik_service_(requests_total|request_duration_seconds_bucket)\{(.*)\} ([0-9.e+]+)$", re.MULTILINE
)
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_UPGRADED = "101"  # a WebSocket: how long it lasted says nothing about how quick the application is
_ESTABLISHED, _LISTEN = "01", "0A"
_DOCKER_DNS = "0B00007F"  # 127.0.0.11, where Docker itself listens in every container
_LOOPBACKS = {"0100007F": "127.0.0.1", "00000000000000000000000001000000": "[::1]"}
_MAPPED = "0000000000000000FFFF0000"  # an IPv4 address in a socket that speaks both, as the kernel prints it


class Target(NamedTuple):
    """One generation of one service, as the edge counts requests."""

    stack: str
    service: str
    generation: str


class Counters(NamedTuple):
    """Counters since the edge started: all requests, those answered 5xx, and (seconds at most, requests so far)."""

    requests: int
    errors: int
    buckets: tuple[tuple[float, int], ...]


def traffic(texts: Iterable[str]) -> dict[Target, Counters]:
    """The sums over several edges' metrics; WebSockets are left out.

    An attempt that failed before the backend saw it, and was made again, counts as a request and an error of its own.
    """
    requests: dict[Target, int] = defaultdict(int)
    errors: dict[Target, int] = defaultdict(int)
    buckets: dict[Target, dict[float, int]] = defaultdict(lambda: defaultdict(int))
    for text in texts:
        for kind, raw, value in _COUNTERS.findall(text):
            labels = dict(_LABEL.findall(raw))
            parts = service_target(labels.get("service", ""))
            if parts is None or labels.get("code") == _UPGRADED:
                continue
            target, count = Target(*parts), int(float(value))
            if kind == "requests_total":
                requests[target] += count
                errors[target] += count if labels["code"].startswith("5") else 0
            else:
                buckets[target][float(labels["le"])] += count
    return {
        target: Counters(requests[target], errors[target], tuple(sorted(buckets[target].items())))
        for target in requests
    }


def connections(servers: Iterable[str]) -> int:
    """Established TCP connections from this host to these `address:port`."""
    wanted = set()
    for server in servers:
        address, _, port = server.rpartition(":")
        raw = socket.inet_aton(address)[::-1].hex().upper()
        wanted |= {f"{raw}:{int(port):04X}", f"{_MAPPED}{raw}:{int(port):04X}"}
    return sum(state == _ESTABLISHED and remote in wanted for _, remote, state in runtime.tcp_sockets())


def listeners(details: Mapping[str, Any]) -> list[str]:
    """Where a container (as Docker inspects it) listens: `PORT`, or `ADDRESS:PORT` where nobody else reaches it."""
    found, pid = set(), int((details.get("State") or {}).get("Pid") or 0)
    for local, _, state in runtime.tcp_sockets(pid) if pid else ():
        address, _, port = local.rpartition(":")
        if state == _LISTEN and address != _DOCKER_DNS:
            found.add((int(port, 16), _LOOPBACKS.get(address.replace(_MAPPED, ""), "")))
    return [f"{address}:{port}" if address else str(port) for port, address in sorted(found)]


def peers(details: Mapping[str, Any], addresses: Iterable[str]) -> Iterator[tuple[str, str]]:
    """(local, remote) of a container's connections with any of these, also of those that ended just now."""
    wanted = {socket.inet_aton(each)[::-1].hex().upper() for each in addresses if ":" not in each}
    pid = int((details.get("State") or {}).get("Pid") or 0)
    for local, remote, state in runtime.tcp_sockets(pid) if pid else ():
        if state != _LISTEN and remote.replace(_MAPPED, "").partition(":")[0] in wanted:
            yield local.replace(_MAPPED, ""), remote.replace(_MAPPED, "")


def listening(port: int) -> bool:
    """Whether anything on this host listens on a TCP port, at whatever address: one is enough to be in the way."""
    return any(state == _LISTEN and local.endswith(f":{port:04X}") for local, _, state in runtime.tcp_sockets())
