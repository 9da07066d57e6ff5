"""The logs of all hosts as one stream, merged exactly at first and then as far as lines are not late; its printing."""

from __future__ import annotations

import asyncio
import heapq
import os
import re
import sys
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.cli.printing import json_text
from slipway.contract.commands import of_stack
from slipway.contract.problems import Problem, SlipwayError
from slipway.contract.redaction import printable
from slipway.hosts.agent_channel import channel
from slipway.hosts.connection import reached

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from slipway.releases.engine import Stack
    from slipway.settings.model import HostSettings

__all__ = ["LogLine", "LogQuery", "LogView", "RawLogs", "TextLogs", "in_colour", "merged", "show_logs", "sorted_live"]

_CONTRACT = 1  # version of schemas/logs.schema.json; a change that a reader cannot ignore raises it
_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)  # of ECMA-48; red is left to what is wrong
_RED, _RESET = "\x1b[31m", "\x1b[0m"
_COLOUR = re.compile(r"(\x1b\[[\d;:]*m)")  # ECMA-48, Select Graphic Rendition
_MILLISECONDS = 23  # characters of a moment up to them
_HOLD_SECONDS = 0.2  # a line waits so long for an earlier one of another container or host
_TICK_SECONDS = 0.05
_WAITING = 2_000  # lines of one host that may wait for those of a slower one
_AGAIN_SECONDS = 5.0
_TRIES = 12  # to reach a host again that was followed; a machine restarts within a minute


class LogLine(NamedTuple):
    """One line of one container."""

    at: str  # RFC 3339 with nine digits of fraction, of the host's clock: sorts as text
    host: str
    service: str
    container: str  # its name
    stream: str  # stdout or stderr
    text: str


def in_colour() -> bool:
    """Whether standard output is a terminal that may be coloured."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class LogView:
    """Prints lines on standard output as they come, as JSON, and problems on standard error."""

    def __init__(self) -> None:
        self.complete = True
        self.any = False  # whether there is any container

    def containers(self, host: str, names: Sequence[str]) -> None:  # noqa: ARG002  # for who shows names
        """These containers are read from now on."""
        self.any = self.any or bool(names)

    def line(self, line: LogLine) -> None:
        """Print the next line in the order of time."""
        # not through the text layer: what an application writes need not be in the terminal's own encoding
        sys.stdout.buffer.write(f"{self._shown(line)}\n".encode("utf-8", "replace"))

    def problem(self, problem: Problem) -> None:
        """Lines are missing, and why."""
        self.complete = False
        self.flush()
        sys.stderr.write(f"slipway: error: {problem}\n")
        sys.stderr.flush()

    def flush(self) -> None:
        """Let everything be seen: nothing more is there at the moment."""
        sys.stdout.buffer.flush()

    def _shown(self, line: LogLine) -> str:
        return json_text({"contract": _CONTRACT, **line._asdict()})


class RawLogs(LogView):
    """The lines alone, as they were written."""

    def __init__(self, *, timestamps: bool) -> None:
        super().__init__()
        self._timestamps = timestamps

    def _shown(self, line: LogLine) -> str:
        return _timed(line, line.text) if self._timestamps else line.text


class TextLogs(LogView):
    """`web-1 api-2 | text`; on a terminal a colour for each container, and a red bar before what it wrote to stderr.

    Of what an application does to a terminal its colours are kept there; anything else is shown, and not done.
    """

    def __init__(self, project: str, *, timestamps: bool, colour: bool) -> None:
        super().__init__()
        self._project, self._timestamps, self._colour = project, timestamps, colour
        self._names: dict[tuple[str, str], str] = {}
        self._colours: dict[tuple[str, str], str] = {}

    def containers(self, host: str, names: Sequence[str]) -> None:
        """Make room for their names."""
        super().containers(host, names)
        for name in names:
            self._names.setdefault((host, name), f"{host} {name.removeprefix(f'{self._project}-')}")

    def _shown(self, line: LogLine) -> str:
        key = (line.host, line.container)
        name = printable(self._names[key]).ljust(max(map(len, self._names.values())))
        parts = enumerate(_COLOUR.split(line.text))
        text = "".join((part if self._colour else "") if number % 2 else _visible(part) for number, part in parts)
        text = _timed(line, text) if self._timestamps else text
        if not self._colour:
            return f"{name} | {text}"
        colour = self._colour_of(key)
        # the end keeps an application's own colours from running on into the next line
        end = _RESET if "\x1b" in line.text else ""
        return f"{colour}{name} {_RED if line.stream == 'stderr' else colour}|{_RESET} {text}{end}"

    def _colour_of(self, key: tuple[str, str]) -> str:
        """The same one each time that the same containers are looked at, whichever host answers first."""
        if key not in self._colours:
            for each in sorted(self._names.keys() - self._colours.keys()):
                self._colours[each] = f"\x1b[{_COLOURS[len(self._colours) % len(_COLOURS)]}m"
        return self._colours[key]


def _timed(line: LogLine, text: str) -> str:
    return f"{line.at[:_MILLISECONDS]}Z {text}"


def _visible(text: str) -> str:
    return "\t".join(map(printable, text.split("\t")))


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


async def show_logs(stack: Stack, hosts: Sequence[HostSettings], query: LogQuery, view: LogView) -> None:
    """Show what the stack's containers wrote and, when they are followed, write: until every host is lost.

    A host that does not answer is a problem in the view; the others go on.
    """
    sources = [_HostLogs(stack, host, query, view) for host in hosts]
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

    stack: Stack
    host: HostSettings
    query: LogQuery
    view: LogView
    lines: LineQueue = field(default_factory=lambda: asyncio.Queue(_WAITING))  # None: all earlier ones came; the end
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
                    reached(self.host, self.stack.settings.private_key()) as connection,
                    channel(connection, self.host.name, self.stack.project, command=query.command()) as opened,
                ):
                    async for event in opened.events():
                        tries, shown = _TRIES, None
                        try:
                            await self._take(event)
                        except (LookupError, TypeError, AttributeError):  # of another version, or no agent's at all
                            raise SlipwayError(await opened.complaint()) from None
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
        fix = of_stack(f"slipway ps --host {name}", self.stack.settings.stack)
        return Problem(f"host {name}: the connection to its logs broke", meaning, fix)


def _after(at: str) -> str:
    """Seconds since the epoch of the moment after a line's."""
    second = int(datetime.fromisoformat(f"{at[:19]}+00:00").timestamp())
    nanoseconds = int(at[20:29]) + 1
    return f"{second + nanoseconds // 10**9}.{nanoseconds % 10**9:09d}"
