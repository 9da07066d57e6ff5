"""What the containers of one stack write, as they write it, in the order of the engine's own timestamps.

A line of JSON each: `containers` (who is read), `text`, `problem` (who cannot be read), `caught_up` (the past is over).
"""

from __future__ import annotations

import calendar
import contextlib
import heapq
import http.client
import json
import os
import queue
import signal
import threading
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent import runtime
from slipway.agent.docker import facts
from slipway.agent.docker.docker_api import PROJECT_LABEL, DockerApi, DockerError, find_socket, frames
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from slipway.agent.docker.facts import Container
    from slipway.agent.state.stack_dir import StackFolder

__all__ = ["LogRequest", "entries", "read_logs"]

_MOMENT = 30  # characters: the engine writes all nine digits of a second's fraction
_STREAMS = {1: "stdout", 2: "stderr"}
_LONGEST = 65_536  # bytes of a line; a longer one comes in pieces
_WAITING = 5_000  # lines that may wait for a slow reader before the engine's streams are held up
_NEIGHBOURS = 100  # lines among which the engine may have written a container's two streams in another order


class LogRequest(NamedTuple):
    """Which lines are asked for."""

    services: Collection[str] = ()  # all of them when empty
    tail: str = "all"  # lines of each container, from before
    since: str = ""  # seconds since the epoch, or how many seconds ago (-600); from the beginning when empty
    follow: bool = False


class Entry(NamedTuple):
    """One line of one container."""

    at: str  # RFC 3339 with nine digits of fraction: sorts as text
    container: str
    stream: str
    text: str


def read_logs(folder: StackFolder, wanted: LogRequest) -> None:
    """Print the lines of the stack's containers; until standard input ends when they are to be followed."""
    _Reading(folder.stack, wanted).run()


def entries(response: http.client.HTTPResponse, identifier: str, *, terminal: bool) -> Iterator[Entry]:
    """The lines of a container's log stream, those that the engine cut made whole again, up to 64 KiB.

    The engine does not frame what a container with a `terminal` writes.
    """
    pending: dict[str, tuple[str, bytes]] = {}
    for stream, piece in _pieces(response, terminal=terminal):
        at, _, text = piece.partition(b" ")
        moment = at.decode("ascii", "replace")
        if stream in pending:
            begun, before = pending.pop(stream)
            moment, text = begun, before + text
        if not text.endswith(b"\n") and len(text) < _LONGEST:
            pending[stream] = (moment, text)
            continue
        yield Entry(moment, identifier, stream, text.rstrip(b"\r\n").decode("utf-8", "replace"))
    for stream, (moment, text) in pending.items():
        yield Entry(moment, identifier, stream, text.rstrip(b"\r\n").decode("utf-8", "replace"))


def _pieces(response: http.client.HTTPResponse, *, terminal: bool) -> Iterator[tuple[str, bytes]]:
    """Stream and content of each piece that the engine wrote at once: a line with its moment, or a part of one."""
    buffer = b""
    while more := response.read1(_LONGEST):
        buffer += more
        if terminal:
            *lines, buffer = buffer.split(b"\n")
            yield from (("stdout", line + b"\n") for line in lines)
        else:
            found, buffer = frames(buffer)
            yield from ((_STREAMS.get(stream, "stdout"), piece) for stream, piece in found)
    if terminal and buffer:
        yield "stdout", buffer + b"\n"


class _Reading:
    """One reading of a stack's logs."""

    def __init__(self, stack: str, wanted: LogRequest) -> None:
        self._stack, self._wanted = stack, wanted
        self._api = DockerApi(find_socket(), timeout=20.0)
        self._began = f"{runtime.time():.9f}"
        since = wanted.since
        self._since = f"{runtime.time() + float(since):.9f}" if since.startswith("-") else since
        self._printed: dict[str, tuple[str, int]] = {}  # container → a moment, and how many of its lines
        self._followed: dict[str, bool] = {}  # container → whether it started again meanwhile
        self._lock = threading.Lock()
        self._queue: queue.Queue[dict[str, Any] | SlipwayError] = queue.Queue(_WAITING)

    def run(self) -> None:
        starts = self._api.again(None).starts({PROJECT_LABEL: self._stack}) if self._wanted.follow else None
        if starts is not None:
            signal.signal(signal.SIGTERM, _leave)
            threading.Thread(target=_end_with_input, daemon=True).start()
        found = facts.containers(self._api, self._stack, self._wanted.services or None)
        _say({"containers": [_named(each) for each in found]})
        self._history(found)
        _say({"caught_up": True})
        if starts is not None:
            for each in found:
                if each.state in facts.RUNS:
                    self._follow(each)
            threading.Thread(target=self._await_starts, args=(starts,), daemon=True).start()
            while not isinstance(said := self._queue.get(), SlipwayError):
                _say(said)
            raise said

    def _history(self, found: list[Container]) -> None:
        waiting: list[str] = []
        size = 0
        for entry in heapq.merge(*map(self._past, found)):
            waiting.append(_line(self._noted(entry)))
            size += len(waiting[-1])
            if size > _LONGEST:
                _write("".join(waiting))
                waiting, size = [], 0
        _write("".join(waiting))

    def _noted(self, entry: Entry) -> dict[str, Any]:
        """The entry, which counts as printed."""
        at, lines = self._printed.get(entry.container, ("", 0))
        if entry.at >= at:
            self._printed[entry.container] = (entry.at, lines + 1 if at == entry.at else 1)
        return entry._asdict()

    def _past(self, each: Container) -> Iterator[Entry]:
        query = {"tail": self._wanted.tail, **({"since": self._since} if self._since else {})}
        try:
            response = self._api.again().log_stream(each.id, **query)
        except DockerError as error:
            if error.status != 404:  # noqa: PLR2004 - gone meanwhile
                _say(_problem(each, error))
            return
        try:
            yield from _in_order(entries(response, each.id, terminal=each.terminal))
        except (OSError, http.client.HTTPException):
            raise _ended() from None

    # --- what comes

    def _follow(self, each: Container) -> None:
        """Print what a container writes from now on, in a thread of its own; one that is followed is so once more."""
        with self._lock:
            if each.id in self._followed:
                self._followed[each.id] = True
                return
            self._followed[each.id] = False
        threading.Thread(target=self._present, args=(each,), daemon=True).start()

    def _present(self, each: Container) -> None:
        while True:
            # it is gone, or the engine is, which `_await_starts` reports
            with contextlib.suppress(SlipwayError, OSError, ValueError, http.client.HTTPException):
                self._listen(each)
            with self._lock:
                if not self._followed[each.id]:
                    del self._followed[each.id]
                    return
                self._followed[each.id] = False

    def _listen(self, each: Container) -> None:
        at, repeated = self._printed.get(each.id, ("", 0))  # the engine repeats the lines of that very moment
        since = _seconds(at) if at else self._began if self._wanted.tail == "0" else self._since
        query = {"follow": "true", **({"since": since} if since else {})}
        for entry in entries(self._api.again(None).log_stream(each.id, **query), each.id, terminal=each.terminal):
            if repeated and entry.at == at:
                repeated -= 1
            else:
                self._queue.put(self._noted(entry))

    def _await_starts(self, starts: http.client.HTTPResponse) -> None:
        api = self._api.again()
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            for line in starts:
                event = json.loads(line)
                try:
                    self._started(api.container(event["Actor"]["ID"]))
                except SlipwayError:
                    break
        self._queue.put(_ended())

    def _started(self, details: dict[str, Any] | None) -> None:
        each = facts.container(details) if details else None
        if each and not each.one_off and (not self._wanted.services or each.service in self._wanted.services):
            self._queue.put({"containers": [_named(each)]})
            self._follow(each)


def _in_order(lines: Iterator[Entry]) -> Iterator[Entry]:
    """By moment: the engine takes it for stdout and stderr each by itself, and only then writes to one log."""
    waiting: list[tuple[str, int, Entry]] = []
    for number, entry in enumerate(lines):
        heapq.heappush(waiting, (entry.at, number, entry))
        if len(waiting) > _NEIGHBOURS:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


def _ended() -> SlipwayError:
    return SlipwayError(
        "Docker stopped while its logs were being read",
        "what containers have written since appears once it answers again",
        "systemctl status docker",
    )


def _named(each: Container) -> dict[str, Any]:
    return {"id": each.id, "name": each.name, "service": each.service, "number": each.number}


def _problem(each: Container, error: DockerError) -> dict[str, Any]:
    problem = Problem(
        f"the log of {each.name} cannot be read ({error.message})",
        "its lines are missing here",
        f"docker inspect --format '{{{{.HostConfig.LogConfig}}}}' {each.name}",
    )
    return {"problem": problem.to_json()}


def _seconds(at: str) -> str:
    return f"{calendar.timegm(time.strptime(at[:19], '%Y-%m-%dT%H:%M:%S'))}.{at[20 : _MOMENT - 1]}"


def _end_with_input() -> None:
    """End this process, whatever it is at, when nobody reads on: then the other end closes standard input.

    By a signal, because its main thread may wait for a line or for the reader; and not at once, because an agent that
    was not installed has a folder to remove.
    """
    while os.read(0, 4096):
        pass
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


def _leave(*_: object) -> None:
    raise SystemExit(0)


def _line(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")) + "\n"


def _say(document: dict[str, Any]) -> None:
    _write(_line(document))


def _write(text: str) -> None:
    """Write to standard output as it is: no redaction, and the end of the reader is the end of this."""
    data = memoryview(text.encode("utf-8", "replace"))
    try:
        while data:
            data = data[os.write(1, data) :]
    except OSError:
        raise SystemExit(0) from None
