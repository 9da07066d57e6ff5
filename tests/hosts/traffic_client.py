"""The process that sends the traffic of a `traffic.Load`; started by it, never by hand.

Owns: when requests are due, long requests, WebSockets, the samples and counts. Does not own: connections and what
counts as lost (see `traffic_connections`), what the figures mean for a test (see `traffic`).

A process of its own, scheduled before all others as if it were on another machine: neither pytest's interpreter lock
nor the server's work on the same cores may look like a slow answer.

Open loop: request number n is due at start + n / rate, whether or not earlier ones were answered, and its latency is
counted from that moment. One JSON plan as the argument; lines `mark NAME EPOCH`, `sent` and `stop` on standard input;
one JSON document per line on standard output: `{"ready": …}`, `{"sent": …}` and, last, the report. The end of standard
input is a stop, so that a killed test leaves no traffic behind.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import gc
import json
import os
import resource
import ssl
import sys
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from traffic_connections import Connection, Job, Pool, kind_of
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_PRIORITY = -10
_SWEEP_SECONDS = 0.05
_ECHO_SECONDS = 0.2
_FIRST_FAILURES = 50
_GOING_AWAY = (1000, 1001)


def percentile(ordered: list[float], share: float) -> float:
    """Nearest rank of sorted samples; 0 without any."""
    return ordered[max(0, -int(-len(ordered) * share // 1) - 1)] if ordered else 0.0


class Tally:
    """Counts of one sort of traffic: requests, long requests or WebSockets."""

    def __init__(self, name: str, first_failures: list[dict[str, Any]]) -> None:
        self._name, self._first = name, first_failures
        self.sent = self.ok = 0
        self.failed: collections.Counter[str] = collections.Counter()

    def fail(self, kind: str, detail: str, begun: float, now: float) -> None:
        """Count a failure; times are seconds of the epoch."""
        self.failed[kind] += 1
        if len(self._first) < _FIRST_FAILURES:
            self._first.append(
                {
                    "what": self._name,
                    "kind": kind,
                    "detail": detail,
                    "due": round(begun, 3),
                    "failed": round(now, 3),
                }
            )

    def document(self, **more: Any) -> dict[str, Any]:
        return {"sent": self.sent, "ok": self.ok, "failed": dict(self.failed), **more}


class Client:
    """Everything that one plan sends."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        self._epoch = time.time() - self._loop.time()
        self._stop = asyncio.Event()
        self._limited = ""
        self._first_failures: list[dict[str, Any]] = []
        self.tally = Tally("request", self._first_failures)
        self._long = Tally("long request", self._first_failures)
        self._sockets = Tally("WebSocket", self._first_failures)
        self._moved = self._echoes = 0
        self._due: list[float] = []  # of answered requests, with their latency beside
        self._latency: list[float] = []
        self._failed_due: list[float] = []
        self._late: list[float] = []
        self._versions: dict[str, list[float]] = {}
        self._last_answer = self._gap = 0.0
        self._gap_began = 0.0
        self._serving, self._serving_since = "", 0.0
        self._marks: list[tuple[float, str]] = []
        url = urlsplit(plan["url"])
        self._secure = url.scheme == "https"
        self._address, self._port = url.hostname or "", url.port or (443 if self._secure else 80)
        self._host = plan["host"] or f"{self._address}:{self._port}"
        path = url.path or "/"
        self._request = self._head(path, close=False)
        self._fresh_request = self._head(path, close=True)
        self._long_request = self._head(f"{plan['long_path']}?seconds={plan['long_seconds']}", close=False)
        self._context: ssl.SSLContext | None = None
        if self._secure:
            self._context = ssl.create_default_context(cadata=plan["authority"] or None)
            if not plan["authority"]:
                self._context.check_hostname = False
                self._context.verify_mode = ssl.CERT_NONE
        self._pool = Pool(plan["connections"], self._open, self._answered, self._lost, may_retry=plan["retry"])
        self._long_pool = Pool(plan["long"], self._open, self._long_answered, self._long_lost, may_retry=plan["retry"])

    def _head(self, path: str, *, close: bool) -> bytes:
        lines = [f"GET {path} HTTP/1.1", f"Host: {self._host}", "User-Agent: slipway-traffic", "Accept: */*"]
        lines += [f"{name}: {value}" for name, value in self._plan["headers"].items()]
        return "\r\n".join([*lines, *(["Connection: close"] if close else []), "", ""]).encode()

    async def _open(self, protocol: Callable[[], Connection]) -> tuple[asyncio.BaseTransport, Connection]:
        name = self._host.partition(":")[0] if self._context else None
        return await self._loop.create_connection(
            protocol, self._address, self._port, ssl=self._context, server_hostname=name
        )

    # --- what became of requests

    def _answered(self, job: Job, version: str) -> None:
        now = self._loop.time()
        self.tally.ok += 1
        self._due.append(job.due)
        self._latency.append(now - job.due)
        if now - self._last_answer > self._gap:
            self._gap, self._gap_began = now - self._last_answer, self._last_answer
        self._last_answer = now
        if version != self._serving or self.tally.ok == 1:
            self._serving, self._serving_since = version, now
        seen = self._versions.get(version)
        if seen is None:
            self._versions[version] = [now, now, 1, job.due]
        else:
            seen[1], seen[3] = now, max(seen[3], job.due)
            seen[2] += 1

    def _lost(self, job: Job, kind: str, detail: str) -> None:
        self._failed_due.append(job.due)
        self.tally.fail(kind, detail, job.due + self._epoch, self._loop.time() + self._epoch)

    def _long_answered(self, job: Job, _version: str) -> None:
        self._long.ok += 1
        self._next_long(job)

    def _long_lost(self, job: Job, kind: str, detail: str) -> None:
        now = self._loop.time()
        self._long.fail(kind, detail, job.due + self._epoch, now + self._epoch)
        self._loop.call_later(max(0.0, job.due + 0.2 - now), self._next_long, job)  # no storm where nobody listens

    def _next_long(self, _job: Job | None = None) -> None:
        if not self._stop.is_set():
            now = self._loop.time()
            deadline = now + self._plan["long_seconds"] + self._plan["timeout"]
            self._long.sent += 1
            self._long_pool.submit(Job(now, deadline, self._long_request, ending=b"done\n"))

    # --- the traffic

    async def run(self) -> dict[str, Any]:
        """Send everything until told to stop or a limit is reached; the report."""
        await self._pool.warm()
        sweeping = asyncio.ensure_future(self._sweep())
        sockets = [asyncio.ensure_future(self._websocket()) for _ in range(self._plan["websockets"])]
        started = self._last_answer = self._loop.time()
        for _ in range(self._plan["long"]):
            self._next_long()
        say({"ready": started + self._epoch})
        await self._requests(started)
        ended = self._loop.time()
        self._stop.set()
        patience = ended + self._plan["timeout"] + self._plan["long_seconds"] + 1
        while self._loop.time() < patience and self._under_way():  # noqa: ASYNC110  # an end, not an event
            await asyncio.sleep(0.01)
        if sockets:
            _, late = await asyncio.wait(sockets, timeout=self._plan["timeout"])
            for task in late:
                task.cancel()
        sweeping.cancel()
        self._pool.close()
        self._long_pool.close()
        return self._report(started, ended)

    def _under_way(self) -> int:
        return self._pool.under_way + self._long_pool.under_way

    async def _requests(self, started: float) -> None:
        rate, fresh, timeout = self._plan["rate"], self._plan["fresh"], self._plan["timeout"]
        tally, loop = self.tally, self._loop
        until = started + self._plan["limit_seconds"]
        while not self._stop.is_set():
            now = loop.time()
            while (due := started + tally.sent / rate) <= now:
                if tally.sent >= self._plan["limit_requests"] or now >= until:
                    self._limited = "requests" if now < until else "seconds"
                    return
                own = int((tally.sent + 1) * fresh) > int(tally.sent * fresh)
                tally.sent += 1
                self._late.append(now - due)
                request = self._fresh_request if own else self._request
                self._pool.submit(Job(due, due + timeout, request, fresh=own))
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = self._loop.time()
            self._pool.sweep(now)
            self._long_pool.sweep(now)

    async def _websocket(self) -> None:
        while not self._stop.is_set():
            begun = self._loop.time()
            self._sockets.sent += 1
            try:
                await self._echo()
                self._sockets.ok += 1
                continue
            except ConnectionClosed as closed:
                if closed.rcvd is not None and closed.rcvd.code in _GOING_AWAY:
                    self._moved += 1
                    self._sockets.ok += 1
                    continue
                kind = f"closed_{closed.rcvd.code}" if closed.rcvd else "reset"
                detail = str(closed)
            except InvalidStatus as refused:
                kind, detail = f"status_{refused.response.status_code}", "answer to the handshake"
            except InvalidHandshake as error:
                kind, detail = "closed", f"handshake: {error}"
            except (OSError, ValueError) as error:
                kind, detail = ("wrong" if isinstance(error, ValueError) else kind_of(error)), str(error)
            self._sockets.fail(kind, detail, begun + self._epoch, self._loop.time() + self._epoch)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _ECHO_SECONDS)

    async def _echo(self) -> None:
        """One WebSocket from its handshake to our own stop."""
        uri = f"{'wss' if self._secure else 'ws'}://{self._host}{self._plan['websocket_path']}"
        opening = connect(
            uri,
            host=self._address,
            port=self._port,
            ssl=self._context,
            proxy=None,
            compression=None,
            ping_interval=None,
            open_timeout=self._plan["timeout"],
            close_timeout=2,
            additional_headers=self._plan["headers"],
        )
        async with opening as socket:
            closed, stopped = asyncio.ensure_future(socket.wait_closed()), asyncio.ensure_future(self._stop.wait())
            try:
                while not self._stop.is_set():
                    self._echoes += 1
                    message = f"echo {self._echoes}"
                    await socket.send(message)
                    if (answer := await asyncio.wait_for(socket.recv(), self._plan["timeout"])) != message:
                        raise ValueError(f"sent {message!r}, got {answer!r}")
                    await asyncio.wait({closed, stopped}, timeout=_ECHO_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            finally:
                closed.cancel()
                stopped.cancel()

    # --- what the test says, and gets

    def told(self, line: str) -> None:
        """One line of standard input."""
        command, *rest = line.split()
        if command == "mark":
            self._marks.append((float(rest[1]) - self._epoch, rest[0]))
        elif command == "sent":
            say(
                {
                    "sent": self.tally.sent,
                    "version": self._serving if self.tally.ok else None,
                    "since": self._serving_since + self._epoch,
                    "last": self._last_answer + self._epoch,
                }
            )
        else:
            self.stop()

    def stop(self) -> None:
        self._stop.set()

    def _report(self, started: float, ended: float) -> dict[str, Any]:
        edges = [(started, "before"), *sorted(self._marks)]
        windows = {}
        for (begin, name), (end, _) in zip(edges, [*edges[1:], (float("inf"), "")], strict=True):
            taken = sorted(latency for due, latency in zip(self._due, self._latency, strict=True) if begin <= due < end)
            windows[name] = {
                "ok": len(taken),
                "failed": sum(begin <= due < end for due in self._failed_due),
                **{f"p{share}_ms": round(percentile(taken, share / 100) * 1000, 3) for share in (50, 95, 99)},
                "max_ms": round(taken[-1] * 1000, 3) if taken else 0.0,
            }
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return {
            "started": started + self._epoch,
            "ended": ended + self._epoch,
            "limited": self._limited,
            "requests": self.tally.document(retried=self._pool.retried),
            "long": self._long.document(retried=self._long_pool.retried),
            "websockets": self._sockets.document(moved=self._moved, echoes=self._echoes),
            "windows": windows,
            "versions": {
                name: {
                    "first": first + self._epoch,
                    "last": last + self._epoch,
                    "count": int(count),
                    "last_due": due + self._epoch,
                }
                for name, (first, last, count, due) in self._versions.items()
            },
            "longest_gap": {"seconds": round(self._gap, 3), "began": self._gap_began + self._epoch},
            "late_p99_ms": round(percentile(sorted(self._late), 0.99) * 1000, 3),
            "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 3),
            "first_failures": self._first_failures,
        }


def say(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


class _Orders(asyncio.Protocol):
    """Standard input, line by line."""

    def __init__(self, client: Client) -> None:
        self._client, self._rest = client, b""

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._client.told(line.decode())

    def connection_lost(self, _exc: Exception | None) -> None:
        self._client.stop()


async def _run(plan: dict[str, Any]) -> None:
    client = Client(plan)
    await asyncio.get_running_loop().connect_read_pipe(lambda: _Orders(client), sys.stdin)
    say(await client.run())


def main(arguments: Iterable[str]) -> None:
    (plan,) = arguments
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))  # a tenth of a core; as if on a machine of its own
    except OSError:
        with contextlib.suppress(PermissionError):
            os.setpriority(os.PRIO_PROCESS, 0, _PRIORITY)
    gc.disable()  # nothing here lives in circles for long; a collection would look like a slow server
    asyncio.run(_run(json.loads(plan)))


if __name__ == "__main__":
    main(sys.argv[1:])
