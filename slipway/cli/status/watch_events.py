"""What the watches of all hosts see, as it happens, until each of them is over."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.contract.problems import Problem, SlipwayError
from slipway.hosts.agent_channel import channel
from slipway.hosts.connection import reached

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from slipway.settings.model import HostSettings, Settings

__all__ = ["HostWatch", "follow"]

_CONTRACT = 1  # version of schemas/watch.schema.json; a change that a reader cannot ignore raises it
_WORKS = ("watching", "returning")
_BAD = ("returned", "failed")
_GONE_SECONDS = 4.0  # without a process before it counts as gone: another deployment's watch takes over within one
_LAST_SECONDS = 2  # left to a watch when silence means that it is over
_AGAIN_SECONDS = 5.0
_TRIES = 12  # to reach a host again that was seen before; a machine restarts within a minute


@dataclass(frozen=True, kw_only=True)
class HostWatch:
    """What is known of one host's watch now."""

    host: str
    watch: Mapping[str, Any] | None = None  # of probe.schema.json; None when nothing is or was watched
    problems: tuple[Problem, ...] = ()  # why the host cannot be seen now
    ended: bool = False  # whether nothing more will come from it

    @property
    def well(self) -> bool:
        """Whether nothing went wrong so far."""
        if self.problems or (self.watch and self.watch["state"] in _BAD):
            return False
        return not (self.ended and self.lost)

    @property
    def lost(self) -> bool:
        """Whether the watch ought to run and its process does not."""
        return bool(self.watch and self.watch["state"] in _WORKS and not self.watch["alive"])

    @property
    def document(self) -> dict[str, Any]:
        """The same as plain values (slipway/cli/schemas/watch.schema.json)."""
        errors = [problem.to_json() for problem in self.problems]
        states = {"ended": self.ended, "well": self.well, "errors": errors, "watch": self.watch}
        return {"contract": _CONTRACT, "host": self.host, **states}


def follow(settings: Settings, project: str, report: Callable[[HostWatch], None]) -> bool:
    """Report what the watch of every host sees whenever it changes, until all are over; whether all went well.

    A host that cannot be reached is reported as such beside the others. One whose connection breaks is tried again.
    """

    async def follow_all() -> list[bool]:
        key = settings.private_key()
        return await asyncio.gather(*(_follow(host, key, project, report) for host in settings.hosts))

    return all(asyncio.run(follow_all()))


async def _follow(host: HostSettings, private_key: str, project: str, report: Callable[[HostWatch], None]) -> bool:
    tries = 0
    watch: Mapping[str, Any] | None = None
    problems: tuple[Problem, ...]
    while True:
        try:
            async with (
                reached(host, private_key) as connection,
                channel(connection, host.name, project, command=("observe",)) as opened,
            ):
                async for watch, ended in _states(opened.events()):
                    tries = _TRIES
                    seen = HostWatch(host=host.name, watch=watch, ended=ended)
                    report(seen)
                    if ended:
                        return seen.well
                problems = (await opened.complaint(),)
        except SlipwayError as error:
            problems = error.problems
        tries -= 1
        ended = tries <= 0
        report(HostWatch(host=host.name, watch=watch, problems=problems, ended=ended))
        if ended:
            return False
        await asyncio.sleep(_AGAIN_SECONDS)


async def _states(events: AsyncIterator[dict[str, Any]]) -> AsyncIterator[tuple[Mapping[str, Any] | None, bool]]:
    """Every state of a watch, and whether it is the last one."""
    watch: Mapping[str, Any] | None = None
    while True:
        gone = bool(watch and watch["state"] in _WORKS and not watch["alive"])
        # It stays for the old generations that are kept, but judges no more and reports nothing new.
        over = bool(watch and watch["state"] == "watching" and watch["left"] <= _LAST_SECONDS)
        try:
            message = await asyncio.wait_for(anext(events), _GONE_SECONDS if gone or over else None)
        except TimeoutError:
            yield watch, True
            return
        except StopAsyncIteration:
            return
        watch = message["watch"]
        yield watch, watch is None or watch["state"] not in _WORKS
