"""What the containers of all hosts write, as one stream in the order of time.

Owns: following the agents side by side, merging what was there exactly and what comes as it comes, and a connection
that breaks. Does not own: reading containers (agent/logs.py), or the printed form (see `lines_view`).
"""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from components.connection import reached
from components.probe import channel
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from components.settings import HostSettings

__all__ = ["Line", "Wanted", "merged", "read", "settled"]

_HOLD_SECONDS = 0.2  # a line waits so long for an earlier one of another container or host
_TICK_SECONDS = 0.05
_WAITING = 2_000  # lines of one host that may wait for those of a slower one
_AGAIN_SECONDS = 5.0
_TRIES = 12  # to reach a host again that was followed; a machine restarts within a minute


class Line(NamedTuple):
    """One line of one container."""

    at: str
    """RFC 3339 with nine digits of fraction, of the host's clock: sorts as text."""
    host: str
    service: str
    container: str
    """Its name."""
    stream: str
    """stdout or stderr"""
    text: str


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """Which lines are asked for."""

    services: Sequence[str] = ()
    """All when empty."""
    tail: str = "all"
    since: str = ""
    """As the agent takes it; from the beginning when empty."""
    follow: bool = False

    def words(self) -> tuple[str, ...]:
        """The agent's command."""
        services = ("--services", ",".join(self.services)) if self.services else ()
        since = ("--since", self.since) if self.since else ()
        return ("logs", *services, "--tail", self.tail, *since, *(("--follow",) if self.follow else ()))


class Listener:
    """Who is told what happens; every part may be left as it is."""

    def containers(self, host: str, names: Sequence[str]) -> None:
        """These containers are read from now on."""

    def line(self, line: Line) -> None:
        """The next line in the order of time."""

    def problem(self, problem: Problem) -> None:
        """Lines are missing, and why."""

    def pause(self) -> None:
        """Nothing more is there at the moment."""


@dataclass
class _Source:
    """One host."""

    host: HostSettings
    lines: asyncio.Queue[Line | None] = field(default_factory=lambda: asyncio.Queue(_WAITING))
    """None after everything that was there at the beginning, and at the end."""
    caught_up: bool = False
    last: str = ""
    containers: dict[str, dict[str, Any]] = field(default_factory=dict)


async def read(
    hosts: Sequence[HostSettings], private_key: str, project: str, wanted: Wanted, listener: Listener
) -> None:
    """Tell `listener` what the stack's containers wrote and, when they are followed, write: until every host is lost.

    A host that does not answer is told as a problem; the others go on.
    """
    sources = [_Source(host) for host in hosts]
    tasks = [asyncio.create_task(_pump(each, private_key, project, wanted, listener)) for each in sources]
    try:
        async for line in merged([each.lines for each in sources]):
            listener.line(line)
        listener.pause()
        if wanted.follow:
            async for lines in settled([each.lines for each in sources]):
                for line in lines:
                    listener.line(line)
                listener.pause()
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def merged(queues: Sequence[asyncio.Queue[Line | None]]) -> AsyncIterator[Line]:
    """Sorted streams as one sorted stream; each of them ends with None."""
    firsts = await asyncio.gather(*(queue.get() for queue in queues))
    heads = [(line, number) for number, line in enumerate(firsts) if line is not None]
    heapq.heapify(heads)
    while heads:
        line, number = heads[0]
        yield line
        following = await queues[number].get()
        if following is None:
            heapq.heappop(heads)
        else:
            heapq.heapreplace(heads, (following, number))


async def settled(
    queues: Sequence[asyncio.Queue[Line | None]], hold: float = _HOLD_SECONDS
) -> AsyncIterator[list[Line]]:
    """What comes from several streams, sorted as far as lines are at most `hold` seconds late; ends when all end.

    A line goes out `hold` seconds after it came, with every one that is older: a host whose clock is wrong is out of
    order, and holds up nobody.
    """
    loop = asyncio.get_running_loop()
    waiting: list[tuple[float, Line]] = []

    async def collect(queue: asyncio.Queue[Line | None]) -> None:
        while (line := await queue.get()) is not None:
            waiting.append((loop.time() + hold, line))

    tasks = [asyncio.create_task(collect(queue)) for queue in queues]
    try:
        over = False
        while not over:
            over = all(task.done() for task in tasks)
            if not over:
                await asyncio.sleep(min(hold, _TICK_SECONDS))
            now = loop.time()
            newest = max((line.at for due, line in waiting if due <= now or over), default="")
            ready = sorted(line for _, line in waiting if line.at <= newest)
            if ready:
                waiting = [each for each in waiting if each[1].at > newest]
                yield ready
    finally:
        for task in tasks:
            task.cancel()


async def _pump(source: _Source, private_key: str, project: str, wanted: Wanted, listener: Listener) -> None:
    """Fill a host's queue until nothing more will come, and say so whatever happened: others wait for that."""
    failure = None
    try:
        await _attend(source, private_key, project, wanted, listener)
    except Exception as error:  # noqa: BLE001  # raised again below
        failure = error
    if not source.caught_up:
        await source.lines.put(None)
    if wanted.follow:
        await source.lines.put(None)
    if failure:
        raise failure


async def _attend(source: _Source, private_key: str, project: str, wanted: Wanted, listener: Listener) -> None:
    """Take what a host tells; tried again when the connection to one breaks that is followed."""
    tries, told = 0, None
    while True:
        asked = replace(wanted, tail="all", since=_after(source.last)) if source.last else wanted
        try:
            async with (
                reached(source.host, private_key) as connection,
                channel(connection, source.host.name, project, command=asked.words()) as opened,
            ):
                async for event in opened.events():
                    tries, told = _TRIES, None
                    await _take(source, event, listener)
                if source.caught_up and not wanted.follow:
                    return
                problems: Sequence[Problem] = (await opened.complaint(_lost(source.host) if tries else None),)
        except SlipwayError as error:
            problems = error.problems
        for problem in problems if problems != told else ():
            listener.problem(problem)
        tries, told = tries - 1, problems
        if not wanted.follow or tries <= 0:
            return
        await asyncio.sleep(_AGAIN_SECONDS)


async def _take(source: _Source, event: dict[str, Any], listener: Listener) -> None:
    if "containers" in event:
        source.containers |= {each["id"]: each for each in event["containers"]}
        listener.containers(source.host.name, [each["name"] for each in event["containers"]])
    elif "caught_up" in event:
        if not source.caught_up:
            source.caught_up = True
            await source.lines.put(None)
    elif "problem" in event:
        listener.problem(Problem.from_json(event["problem"]).on(source.host.name))
    else:
        container = source.containers[event["container"]]
        source.last = max(source.last, event["at"])
        await source.lines.put(
            Line(
                at=event["at"],
                host=source.host.name,
                service=container["service"],
                container=container["name"],
                stream=event["stream"],
                text=event["text"],
            )
        )


def _lost(host: HostSettings) -> Problem:
    return Problem(
        f"host {host.name}: the connection to its logs broke",
        "its lines are missing until it answers again; when followed, it is tried for a minute",
        f"slipway ps --host {host.name}",
    )


def _after(at: str) -> str:
    """Seconds since the epoch of the moment after a line's."""
    second = int(datetime.fromisoformat(f"{at[:19]}+00:00").timestamp())
    nanoseconds = int(at[20:29]) + 1
    return f"{second + nanoseconds // 10**9}.{nanoseconds % 10**9:09d}"
