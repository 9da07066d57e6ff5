"""Kept-alive HTTP/1.1 connections with at most one request on each, and what became of every request.

Owns: connections, the queue before them, kinds of failure, the one retry that HTTP permits. Does not own: when requests
are due (see `traffic_client`).
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import ssl
from typing import TYPE_CHECKING, Any

import httptools

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Connection", "Job", "Pool", "kind_of"]

_OK = 200


def kind_of(error: BaseException | None) -> str:
    """The kind of failure that an error of the network is."""
    if isinstance(error, TimeoutError):
        return "time-out"
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)):
        return "reset"
    return "unreachable" if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else "garbled"


class Job:
    """One request: when it is due (loop time), when it counts as timed out, how its answer must end."""

    __slots__ = ("deadline", "due", "ending", "fresh", "request", "retried")

    def __init__(
        self, due: float, deadline: float, request: bytes, *, ending: bytes = b"", fresh: bool = False
    ) -> None:
        self.due, self.deadline, self.request, self.ending, self.fresh = due, deadline, request, ending, fresh
        self.retried = False


class Connection(asyncio.Protocol):
    """One HTTP/1.1 connection with at most one request on it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._parser = httptools.HttpResponseParser(self)
        self._tail, self._version = b"", ""
        self._begun = False
        self.answers = 0
        self.lost = ""
        """How it ended, once it has."""
        self.job: Job | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a TCP connection has nothing else

    def send(self, job: Job) -> None:
        self.job, self._begun, self._tail, self._version = job, False, b"", ""
        self.transport.write(job.request)

    def data_received(self, data: bytes) -> None:
        self._begun = True
        if self.job is None:  # an answer that nobody asked for
            self.transport.abort()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.fail("garbled")

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"x-version":
            self._version = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._tail = (self._tail + body)[-16:]

    def on_message_complete(self) -> None:
        job, self.job = self.job, None
        if job is None:
            return
        status, tail, version = self._parser.get_status_code(), self._tail, self._version
        keep = self._parser.should_keep_alive() and not job.fresh
        self.answers += 1
        if not keep:
            self.transport.close()
        self._pool.free(self, keep=keep)  # the next request may be on this connection already when it returns
        if status != _OK:
            self._pool.failed(job, f"status_{status}", tail.decode("latin-1"))
        elif not tail.endswith(job.ending):
            self._pool.failed(job, "wrong", repr(tail))
        else:
            self._pool.answered(job, version)

    def fail(self, kind: str) -> None:
        """Give the request up, and the connection with it."""
        job, self.job = self.job, None
        self.transport.abort()
        if job is not None:
            self._pool.free(self, keep=False)
            self._pool.failed(job, kind)

    def connection_lost(self, exc: Exception | None) -> None:
        job, self.job = self.job, None
        self.lost = "closed" if exc is None else kind_of(exc)
        self._pool.free(self, keep=False)
        if job is None:
            return
        if self._begun:
            self._pool.failed(job, "cut")
        elif self.answers and not job.retried and self._pool.may_retry:
            self._pool.again(job)
        else:
            which = f"connection that had answered {self.answers}, {'sent again' if job.retried else 'sent once'}"
            self._pool.failed(job, self.lost, which)


class Pool:
    """At most `size` kept-alive connections and the requests that wait for one of them."""

    def __init__(
        self,
        size: int,
        opener: Callable[[Callable[[], Connection]], Any],
        answered: Callable[[Job, str], None],
        failed: Callable[[Job, str, str], None],
        *,
        may_retry: bool,
    ) -> None:
        self._size, self._opener, self._answered, self._failed = size, opener, answered, failed
        self.may_retry = may_retry
        self.retried = 0
        self.under_way = 0
        self._idle: collections.deque[Connection] = collections.deque()
        self._queue: collections.deque[Job] = collections.deque()
        self._open: set[Connection] = set()  # kept-alive ones; a fresh request's own is not among them
        self._busy: set[Connection] = set()
        self._opening = 0
        self._tasks: set[asyncio.Task[None]] = set()

    def submit(self, job: Job) -> None:
        """Send a request as soon as a connection is free."""
        self.under_way += 1
        if job.fresh:
            self._start(job)
        else:
            self._queue.append(job)
            self._pump()

    async def warm(self) -> None:
        """Open every connection before the first request is due, as far as somebody listens."""
        for _ in range(self._size):
            with contextlib.suppress(OSError):
                _, connection = await asyncio.wait_for(self._opener(lambda: Connection(self)), 5)
                self._open.add(connection)
                self._idle.append(connection)

    def free(self, connection: Connection, *, keep: bool) -> None:
        """Told by a connection whose request is over, or that is no more."""
        self._busy.discard(connection)
        if keep:
            self._idle.append(connection)
        else:
            self._open.discard(connection)
            with contextlib.suppress(ValueError):
                self._idle.remove(connection)
        self._pump()

    def answered(self, job: Job, version: str) -> None:
        self.under_way -= 1
        self._answered(job, version)

    def failed(self, job: Job, kind: str, detail: str = "") -> None:
        self.under_way -= 1
        self._failed(job, kind, detail)

    def again(self, job: Job) -> None:
        """RFC 9110, 9.2.2: a GET on a reused connection that closed before any byte of an answer may be sent again."""
        job.retried = True
        self.retried += 1
        self._start(job)

    def sweep(self, now: float) -> None:
        """Give up what is past its deadline."""
        for connection in [each for each in self._busy if each.job is not None and each.job.deadline < now]:
            connection.fail("time-out")
        while self._queue and self._queue[0].deadline < now:
            self.failed(self._queue.popleft(), "time-out", "waited for a connection")

    def close(self) -> None:
        for connection in [*self._open, *self._busy]:
            connection.transport.abort()
        for task in self._tasks:
            task.cancel()

    def _pump(self) -> None:
        while self._queue:
            if self._idle:
                connection = self._idle.popleft()
                if connection.transport.is_closing():
                    self._open.discard(connection)
                    continue
                self._busy.add(connection)
                connection.send(self._queue.popleft())
            elif len(self._open) + self._opening < self._size:
                self._start(self._queue.popleft())
            else:
                return

    def _start(self, job: Job) -> None:
        """Send a request on a connection that is opened for it."""
        self._opening += not job.fresh
        task = asyncio.ensure_future(self._send_on_new(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _send_on_new(self, job: Job) -> None:
        left = job.deadline - asyncio.get_running_loop().time()
        try:
            _, connection = await asyncio.wait_for(self._opener(lambda: Connection(self)), max(left, 0.001))
        except (OSError, ssl.SSLError) as error:  # a time-out is an OSError too
            self._opening -= not job.fresh
            self.failed(job, kind_of(error), f"connecting: {error}")
            self._pump()
            return
        self._opening -= not job.fresh
        if connection.lost:  # accepted and ended at once
            self.failed(job, connection.lost)
            self._pump()
            return
        if not job.fresh:
            self._open.add(connection)
        self._busy.add(connection)
        connection.send(job)
