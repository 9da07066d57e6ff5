"""Which connections tell that a proxy asks old containers alone: those that requests of our own leave behind."""

from __future__ import annotations

import itertools
import socket
from typing import TYPE_CHECKING, Any, cast

import pytest
from case_values import container

from slipway.agent import runtime
from slipway.agent.traffic import proxy_check
from slipway.agent.traffic.proxy_check import ProxyPath, check_targets, explaining
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from slipway.agent.docker.docker_api import DockerApi

ADDRESSES = {"front": "172.18.0.5", "old": "172.18.0.3", "new": "172.18.0.4", "other": "172.18.0.9"}
PIDS = {name: number for number, name in enumerate(ADDRESSES, 100)}
MAPPED = "0000000000000000FFFF0000"


def raw(name: str, port: int, *, mapped: bool = False) -> str:
    return f"{MAPPED if mapped else ''}{socket.inet_aton(ADDRESSES[name])[::-1].hex().upper()}:{port:04X}"


class Network:
    """Connections as the kernel has them in each container; each of our requests adds what `passes_on` says."""

    def __init__(self, passes_on: Callable[[int], str], *, remembers: str = "server", mapped: bool = False) -> None:
        self.passes_on = passes_on
        self.remembers = remembers
        self.mapped = mapped
        self.sockets: dict[int, list[tuple[str, str, str]]] = {pid: [] for pid in PIDS.values()}
        self.count = itertools.count()

    def request(self, *_: Any, **__: Any) -> None:
        number = next(self.count)
        server = self.passes_on(number)
        if server:
            front = raw("front", 40000 + number, mapped=self.mapped)
            there = raw(server, 8000, mapped=self.mapped)
            if self.remembers == "server":
                self.sockets[PIDS[server]].append((there, front, "06"))
            else:
                self.sockets[PIDS["front"]].append((front, there, "06"))

    def tcp_sockets(self, pid: int | None = None) -> Iterator[tuple[str, str, str]]:
        assert pid is not None
        yield from self.sockets[pid]

    def container(self, identifier: str) -> dict[str, Any]:
        return {"State": {"Pid": PIDS[identifier[:-1]]}}


PATHS: dict[str, tuple[Callable[[int], str], bool]] = {
    "keeps the address": (lambda _: "old", True),
    "asks for the name each time": (lambda number: ("old", "new")[number % 2], False),
    "has asked for it again": (lambda _: "new", False),
    "asks for it again at last": (lambda number: "new" if number == 7 else "old", False),
    "keeps its connection": (lambda number: "" if number else "old", False),
    "answers by itself": (lambda _: "", False),
    "asks somebody else": (lambda _: "other", False),
}


@pytest.mark.parametrize("mapped", [False, True], ids=["IPv4", "IPv4 in IPv6"])
@pytest.mark.parametrize("remembers", ["server", "client"])
@pytest.mark.parametrize("path", PATHS)
def test_only_who_makes_a_new_connection_to_an_old_one_each_time_asks_it_alone(
    monkeypatch: pytest.MonkeyPatch, path: str, remembers: str, *, mapped: bool
) -> None:
    passes_on, alone = PATHS[path]
    network = Network(passes_on, remembers=remembers, mapped=mapped)
    network.sockets[PIDS["old"]].append((raw("old", 8000), raw("front", 39999), "01"))  # a visitor's, from before
    network.sockets[PIDS["front"]].append((raw("front", 8000), "00000000:0000", "0A"))
    monkeypatch.setattr(runtime, "tcp_sockets", network.tcp_sockets)
    monkeypatch.setattr(proxy_check, "get", network.request)
    front, old, new = (container(service=name, addresses=(ADDRESSES[name],)) for name in ("front", "old", "new"))
    checks = [{"kind": "http", "port": 80, "path": "/api", "host": "a.test"}, {"kind": "tcp", "port": 9}]
    targets = check_targets(checks, [front])
    assert [(each.address, each.path, each.headers) for each in targets] == [
        ((ADDRESSES["front"], 80), "/api", {"Host": "a.test"})
    ]
    found = ProxyPath(targets, [front], [old], [new])
    assert found.asks_old_alone(cast("DockerApi", network)) == alone


def test_without_a_check_or_the_kernels_files_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    network = Network(lambda _: "old")
    monkeypatch.setattr(proxy_check, "get", network.request)
    front, old = (container(service=name, addresses=(ADDRESSES[name],)) for name in ("front", "old"))
    monkeypatch.setattr(runtime, "tcp_sockets", network.tcp_sockets)
    assert not ProxyPath([], [front], [old], []).asks_old_alone(cast("DockerApi", network))
    monkeypatch.setattr(runtime, "tcp_sockets", lambda _: iter(()))
    targets = check_targets([{"kind": "http", "port": 80}], [front])
    assert not ProxyPath(targets, [front], [old], []).asks_old_alone(cast("DockerApi", network))


def test_a_failure_names_the_address_that_may_have_been_kept_only_where_one_may() -> None:
    for changed, also in (((), ""), (("api",), "restart: true}}` in front")):
        with pytest.raises(SlipwayError) as caught, explaining("front", changed):
            raise SlipwayError("what", "meaning", "the fix", ["evidence"])
        [problem] = caught.value.problems
        assert problem.fix.startswith("the fix")
        assert also in problem.fix
        assert bool(changed) == (problem.fix != "the fix")
        assert problem.evidence == ("evidence",)
