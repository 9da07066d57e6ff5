"""Visitors of a simulated host: requests through its edge in virtual time, and what became of each."""

from __future__ import annotations

import collections
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fake_docker import Container
    from fake_machine import FakeHost

_EVERY = 0.1


class Visitors:
    """`rate` short requests for `path` a second, and always one that takes `long` seconds; until `leave`."""

    def __init__(self, host: FakeHost, rate: int = 100, long: float = 0.0, path: str = "/") -> None:
        self.host = host
        self.path = path
        self.rate = rate
        self.long = long
        self.answers: collections.Counter[int] = collections.Counter()
        """status → how many; 0: no answer at all"""
        self.cut = 0
        """long requests that were not answered to their end"""
        self.whole = 0
        self._here = True
        self._come()
        if long:
            self._begin_long()

    def leave(self) -> None:
        self._here = False

    def _come(self) -> None:
        if not self._here:
            return
        for _ in range(round(self.rate * _EVERY)):
            edge = next((each for each in reversed(self.host.edges) if each.serves), None)
            self.answers[edge.request("shop.test", self.path, {})[0] if edge else 0] += 1
        self.host.world.time.at(self.host.world.time.now + _EVERY, self._come)

    def _begin_long(self) -> None:
        if not self._here:
            return
        time = self.host.world.time
        edge = next((each for each in reversed(self.host.edges) if each.serves), None)
        servers = edge.servers("shop.test", "/", {}) if edge else []
        reached = [(each, self.host.engine.at(each.address)) for each in servers]
        living = [(server, each) for server, each in reached if each is not None and self.host.engine.answering(each)]
        if not living:
            self.cut += 1
            time.at(time.now + _EVERY, self._begin_long)
            return
        server, container = living[0]
        connection = (server.address, server.port)
        self.host.in_flight.append(connection)
        time.at(time.now + self.long, lambda: self._end_long(container, container.run, connection))

    def _end_long(self, container: Container, run: int, connection: tuple[str, int]) -> None:
        self.host.in_flight.remove(connection)
        if container.run == run and container.state == "running":
            self.whole += 1
        else:
            self.cut += 1
        self._begin_long()
