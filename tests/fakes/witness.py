"""Looks at every instant of virtual time where requests would go, and what would become of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fake_docker import Container
    from fake_machine import FakeHost


class Breach(NamedTuple):
    """Something that breaks the first promise, for as long as it did."""

    what: str
    since: float
    seconds: float


class Witness:
    """Notes each moment at which a visitor's request would be lost, or reach what passed no gate."""

    def __init__(self, host: FakeHost) -> None:
        self.host = host
        self.unfit: Callable[[Container], bool] = lambda container: not container.program.good
        """whether a container is one that no gate lets pass"""
        self._over: list[Breach] = []
        self._now: dict[str, float] = {}
        """what is wrong at this moment → since when"""
        self._changes: object = None
        host.world.time.before.append(self._look)

    @property
    def seen(self) -> list[Breach]:
        """All that was wrong until now."""
        now = self.host.world.time.now
        return [*self._over, *(Breach(what, since, now - since) for what, since in self._now.items())]

    def _look(self) -> None:
        state = (self.host.engine.changes, tuple(id(each) for each in self.host.edges if each.serves))
        if state == self._changes:
            return
        self._changes = state
        now, wrong = self.host.world.time.now, set(self._wrong())
        for what in [each for each in self._now if each not in wrong]:
            since = self._now.pop(what)
            if now > since:
                self._over.append(Breach(what, since, now - since))
        for what in sorted(wrong - self._now.keys()):
            self._now[what] = now

    def _wrong(self) -> Iterator[str]:
        engine = self.host.engine
        for edge in self.host.edges:
            if not edge.serves:
                continue
            for name, servers in edge.routed().items():
                for server in servers:
                    container = engine.at(server.address)
                    if (
                        container is None
                        or not engine.answering(container)
                        or not container.program.listens(server.port)
                    ):
                        yield f"{name}: nobody answers at {server.address}"
                    elif self.unfit(container):
                        yield f"{name}: {container.name} gets requests and passes no gate"
                if not servers:
                    yield f"{name}: requests go nowhere"
