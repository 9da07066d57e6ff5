"""The logs of all hosts as one stream: merged exactly at first, then sorted as far as lines are not too late."""

from __future__ import annotations

import asyncio
import heapq
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from slipway.cli.containers.log_view import LogLine
from slipway.contract.problems import Problem, SlipwayError
from slipway.hosts.agent_channel import channel
from slipway.hosts.connection import reached

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from slipway.cli.containers.log_view import LogView
    from slipway.settings.model import HostSettings

__all__ = ["LogQuery", "merged", "show_logs", "sorted_live"]

_HOLD_SECONDS = 0.2  # a line waits so long for an earlier one of another container or host
_TICK_SECONDS = 0.05
_WAITING = 2_000  # lines of one host that may wait for those of a slower one
_AGAIN_SECONDS = 5.0
_TRIES = 12  # to reach a host again that was followed; a machine restarts within a minute

LineQueue = asyncio.Queue[LogLine | None]


@dataclass(frozen=True, kw_only=True)
class LogQuery:
    """Which lines are asked for: of all services when none are named, `since` as the agent takes it."""

    services: Sequence[str] = ()
    tail: str = "all"
    since: str = ""
    follow: bool = False

    def command(self) -> tuple[str, ...]:
        """The agent's command."""
        services = ("--services", ",".join(self.services)) if self.services else ()
        since = ("--since", self.since) if self.since else ()
        return ("logs", *services, "--tail", self.tail, *since, *(("--follow",) if self.follow else ()))


async def show_logs(
    hosts: Sequence[HostSettings], private_key: str, project: str, query: LogQuery, view: LogView
) -> None:
    """Show what the stack's containers wrote and, when they are followed, write: until every host is lost.

    A host that does not answer is a problem in the view; the others go on.
    """
    sources = [_HostLogs(host, private_key, project, query, view) for host in hosts]
    queues = [each.lines for each in sources]
    tasks = [asyncio.create_task(each.read()) for each in sources]
    try:
        async for line in merged(queues):
            view.line(line)
        view.flush()
        if query.follow:
            async for lines in sorted_live(queues):
                for line in lines:
                    view.line(line)
                view.flush()
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def merged(queues: Sequence[LineQueue]) -> AsyncIterator[LogLine]:
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


async def sorted_live(queues: Sequence[LineQueue], hold: float = _HOLD_SECONDS) -> AsyncIterator[list[LogLine]]:
    """What comes from several streams, sorted as far as lines are at most `hold` seconds late; ends when all end.

    A line goes out `hold` seconds after it came, with every one that is older: a host whose clock is wrong is out of
    order, and delays nobody.
    """
    loop = asyncio.get_running_loop()
    waiting: list[tuple[float, LogLine]] = []

    async def collect(queue: LineQueue) -> None:
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
            if ready := sorted(line for _, line in waiting if line.at <= newest):
                waiting = [each for each in waiting if each[1].at > newest]
                yield ready
    finally:
        for task in tasks:
            task.cancel()


@dataclass
class _HostLogs:
    """The lines of one host."""

    host: HostSettings
    private_key: str
    project: str
    query: LogQuery
    view: LogView
    lines: LineQueue = field(default_factory=lambda: asyncio.Queue(_WAITING))
    """None after everything that was there at the beginning, and at the end."""
    caught_up: bool = False
    last: str = ""
    containers: dict[str, dict[str, Any]] = field(default_factory=dict)

    async def read(self) -> None:
        """Fill the queue until nothing more will come, and say so whatever failed: others wait for that."""
        failure = None
        try:
            await self._follow()
        except Exception as error:  # noqa: BLE001  # raised again below
            failure = error
        for _ in range((not self.caught_up) + self.query.follow):
            await self.lines.put(None)
        if failure:
            raise failure

    async def _follow(self) -> None:
        """Take what the host sends; tried again when the connection to one breaks that is followed."""
        tries, shown = 0, None
        while True:
            query = replace(self.query, tail="all", since=_after(self.last)) if self.last else self.query
            try:
                async with (
                    reached(self.host, self.private_key) as connection,
                    channel(connection, self.host.name, self.project, command=query.command()) as opened,
                ):
                    async for event in opened.events():
                        tries, shown = _TRIES, None
                        await self._take(event)
                    if self.caught_up and not self.query.follow:
                        return
                    problems: Sequence[Problem] = (await opened.complaint(self._lost() if tries else None),)
            except SlipwayError as error:
                problems = error.problems
            for problem in problems if problems != shown else ():
                self.view.problem(problem)
            tries, shown = tries - 1, problems
            if not self.query.follow or tries <= 0:
                return
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _take(self, event: dict[str, Any]) -> None:
        if "containers" in event:
            self.containers |= {each["id"]: each for each in event["containers"]}
            self.view.containers(self.host.name, [each["name"] for each in event["containers"]])
        elif "caught_up" in event:
            if not self.caught_up:
                self.caught_up = True
                await self.lines.put(None)
        elif "problem" in event:
            self.view.problem(Problem.from_json(event["problem"]).on(self.host.name))
        else:
            container = self.containers[event["container"]]
            at, stream, text = event["at"], event["stream"], event["text"]
            self.last = max(self.last, at)
            await self.lines.put(LogLine(at, self.host.name, container["service"], container["name"], stream, text))

    def _lost(self) -> Problem:
        name, meaning = self.host.name, "its lines are missing until it answers again; a follower retries for a minute"
        return Problem(f"host {name}: the connection to its logs broke", meaning, f"slipway ps --host {name}")


def _after(at: str) -> str:
    """Seconds since the epoch of the moment after a line's."""
    second = int(datetime.fromisoformat(f"{at[:19]}+00:00").timestamp())
    nanoseconds = int(at[20:29]) + 1
    return f"{second + nanoseconds // 10**9}.{nanoseconds % 10**9:09d}"
