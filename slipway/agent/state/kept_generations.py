"""The record of old generations that run on for a while after a deployment, so that the way back is one shift."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from slipway.agent import runtime
from slipway.agent.state.atomic_files import remove_files, write_atomically

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.agent.state.stack_dir import StackFolder

__all__ = ["Keeping", "Kept"]


class Kept(NamedTuple):
    """Containers of one service; `until` is seconds since the epoch, `drain` seconds."""

    service: str
    containers: tuple[str, ...]
    until: float
    drain: float
    port: int


class Keeping:
    """What is kept of one stack; read anew each time, because the watch and a deployment both write it."""

    def __init__(self, folder: StackFolder) -> None:
        self._path = folder.kept

    @property
    def kept(self) -> list[Kept]:
        try:
            with open(self._path, "rb") as handle:
                entries = json.loads(handle.read())
            return [Kept(**{**each, "containers": tuple(each["containers"])}) for each in entries]
        except (OSError, ValueError, TypeError, KeyError):
            return []

    @property
    def containers(self) -> frozenset[str]:
        return frozenset(each for kept in self.kept for each in kept.containers)

    @property
    def overdue(self) -> tuple[str, ...]:
        """Ids of containers whose time is over: who was to retire them may be at it, or have died at it."""
        return tuple(each for kept in self.kept if kept.until <= runtime.time() for each in kept.containers)

    def keep(self, service: str, containers: Sequence[str], *, seconds: float, drain: float, port: int | None) -> None:
        """Note that these containers may run on for so long."""
        entry = Kept(service, tuple(containers), runtime.time() + seconds, drain, port or 0)
        self._write([*(each for each in self.kept if each.service != service), entry])

    def forget(self, *services: str) -> None:
        """They are gone, or live again; without names: all of them."""
        self._write([each for each in self.kept if services and each.service not in services])

    def _write(self, entries: Sequence[Kept]) -> None:
        if entries:
            write_atomically(self._path, json.dumps([each._asdict() for each in entries]).encode())
        else:
            remove_files(self._path)
