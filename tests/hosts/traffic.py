"""Traffic for tests and the benchmark: a bounded, constant load from before a change until after it, counted exactly.

Owns: starting and ending the client's process, marks, the result. Does not own: sending (see `traffic_client`).

A request is lost when its answer is anything but a whole 200. The one thing that is not counted as lost but apart, as
`retried`: a reused connection that closed before any byte of the answer, which HTTP lets a client send again (RFC 9110,
9.2.2) and every browser and Go's client do; it is sent once more, on a new connection.
"""

from __future__ import annotations

import dataclasses
import json
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType
    from typing import Self

__all__ = ["Load", "Result", "Tally", "Version", "Window"]

_CLIENT = Path(__file__).with_name("traffic_client.py")
_READY_SECONDS = 30


@dataclasses.dataclass(frozen=True, kw_only=True)
class Tally:
    """One sort of traffic. `sent` is the sum of `ok` and all of `failed`."""

    sent: int
    ok: int
    failed: dict[str, int]
    """Kind → count: status_NNN, refused, reset, closed (no byte of an answer), cut (part of one), time-out,
    unreachable, garbled (not HTTP), wrong (whole, but not what was asked for); of WebSockets also closed_CODE."""
    retried: int = 0
    moved: int = 0
    """WebSockets that the server closed with 1000 or 1001 and that were opened again at once."""
    echoes: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Window:
    """The requests that were due between two marks; percentiles of those answered well, from their due time."""

    ok: int
    failed: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Version:
    """When a version (the header X-Version) answered; seconds of the epoch."""

    first: float
    last: float
    count: int
    last_due: float
    """When the last request that it answered was due."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What became of a load."""

    requests: Tally
    long: Tally
    websockets: Tally
    windows: dict[str, Window]
    """`before`, then one for each mark."""
    versions: dict[str, Version]
    started: float
    ended: float
    longest_gap: dict[str, float]
    """`seconds` without a good answer, and when they `began`."""
    late_p99_ms: float
    """How late the client itself was: figures of a few times this are the machine's, not the server's."""
    cpu_seconds: float
    first_failures: list[dict[str, Any]]
    """what, kind, detail, due and failed (seconds of the epoch) of the first 50."""

    @property
    def sent(self) -> int:
        return self.requests.sent + self.long.sent + self.websockets.sent

    @property
    def failed(self) -> int:
        """Everything that was lost: requests, long requests and WebSockets."""
        return sum(sum(each.failed.values()) for each in (self.requests, self.long, self.websockets))

    @property
    def retried(self) -> int:
        return self.requests.retried + self.long.retried

    def describe(self) -> str:
        """For an assertion's message: counts, windows, versions and the first failures."""
        lines = [f"{name}: {getattr(self, name)}" for name in ("requests", "long", "websockets")]
        lines += [f"window {name}: {window}" for name, window in self.windows.items()]
        lines += [f"version {name or '(none)'}: {version}" for name, version in self.versions.items()]
        lines += [f"longest gap: {self.longest_gap}, client late by {self.late_p99_ms} ms (p99)"]
        return "\n".join([*lines, *map(str, self.first_failures)])


class Load:
    """Sends from its start to its end, as a context manager; afterwards `result()`.

    Args:
        url: Where to: scheme, address, port and path.
        host: Host header and TLS server name; the address without one.
        rate: Requests per second, each due at its own time.
        connections: Kept-alive ones; a request that finds none free waits, and its latency grows.
        fresh: Share of the requests that open a connection of their own.
        long: Requests to `long_path` (`long_seconds` each) under way at any time.
        websockets: Connections to `websocket_path`, an echo every 0.2 s on each.
        timeout: Seconds from its due time after which a request is lost.
        limit_seconds, limit_requests: The end of the load whatever happens; `result` raises when one was reached.
        retry: Whether the one retry of this module's docstring is made.
        authority: PEM that an https server's certificate must be signed by; unchecked without.
    """

    def __init__(
        self,
        url: str,
        *,
        host: str = "",
        rate: float = 300,
        connections: int = 20,
        fresh: float = 0,
        long: int = 0,
        long_seconds: float = 3,
        long_path: str = "/slow",
        websockets: int = 0,
        websocket_path: str = "/ws",
        timeout: float = 10,
        limit_seconds: float = 300,
        limit_requests: int = 60_000,
        retry: bool = True,
        headers: Mapping[str, str] | None = None,
        authority: str = "",
    ) -> None:
        self._plan = {
            "url": url,
            "host": host,
            "rate": rate,
            "connections": connections,
            "fresh": fresh,
            "long": long,
            "long_seconds": long_seconds,
            "long_path": long_path,
            "websockets": websockets,
            "websocket_path": websocket_path,
            "timeout": timeout,
            "limit_seconds": limit_seconds,
            "limit_requests": limit_requests,
            "retry": retry,
            "headers": dict(headers or {}),
            "authority": authority,
        }
        self._end_seconds = timeout * 2 + long_seconds + 15
        self._lines: queue.Queue[dict[str, Any]] = queue.Queue()
        self._process: subprocess.Popen[str] | None = None
        self._report: dict[str, Any] | None = None

    def __enter__(self) -> Self:
        """Start it; returns when the first request is due."""
        self._process = subprocess.Popen(
            [sys.executable, str(_CLIENT), json.dumps(self._plan)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C at a test is no loss of requests
        )
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()
        try:
            self._next("ready", _READY_SECONDS)
        except BaseException:
            self._process.kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it, wait for what is under way, and keep the report."""
        process = self._process
        assert process is not None
        try:
            self._tell("stop")
            while self._report is None:
                document = self._lines.get(timeout=self._end_seconds)
                if "requests" in document:
                    self._report = document
                assert "ended" in document or "sent" in document, f"the client ended: {document}"
            process.wait(timeout=10)
        except queue.Empty:
            raise AssertionError("the client did not end in time") from error
        finally:
            process.kill()

    def mark(self, name: str) -> None:
        """From now on requests belong to the window `name`."""
        assert " " not in name, "a mark is one word"
        self._tell(f"mark {name} {time.time()}")

    def sent(self) -> int:
        """Requests sent so far."""
        self._tell("sent")
        return int(self._next("sent", 10)["sent"])

    def until(self, sent: int, seconds: float = 120) -> None:
        """Wait until so many requests were sent."""
        deadline = time.monotonic() + seconds
        while (so_far := self.sent()) < sent:
            assert time.monotonic() < deadline, f"{so_far} of {sent} requests were sent in {seconds} s"
            time.sleep(min(1.0, 0.01 + (sent - so_far) / float(str(self._plan["rate"]))))

    def until_only(self, version: str, seconds: float = 60, *, steady: float = 2) -> None:
        """Wait until `version` alone has given the answers of the last `steady` seconds."""
        deadline = time.monotonic() + seconds
        while True:
            self._tell("sent")
            seen = self._next("sent", 10)
            if seen["version"] == version and seen["last"] - seen["since"] >= steady:
                return
            assert time.monotonic() < deadline, f"{version} alone did not answer within {seconds} s: {seen}"
            time.sleep(0.1)

    def result(self) -> Result:
        """What became of it, after its end."""
        document = dict(self._report or {})
        assert document, "the load is still under way"
        limited = document.pop("limited")
        assert not limited, (
            f"the load reached its limit of {limited} before the test's end, which it says nothing about"
        )
        windows = {name: Window(**window) for name, window in document.pop("windows").items()}
        versions = {name: Version(**version) for name, version in document.pop("versions").items()}
        requests, long, sockets = (Tally(**document.pop(name)) for name in ("requests", "long", "websockets"))
        return Result(requests=requests, long=long, websockets=sockets, windows=windows, versions=versions, **document)

    def _listen(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put({"over": process.wait()})

    def _next(self, name: str, seconds: float) -> dict[str, Any]:
        try:
            document = self._lines.get(timeout=seconds)
        except queue.Empty:
            raise AssertionError(f"the client did not say `{name}` within {seconds} s") from None
        if "requests" in document:
            self._lines.put(document)
        assert name in document, f"the client was asked for `{name}` and said {document}"
        return document

    def _tell(self, line: str) -> None:
        process = self._process
        assert process is not None
        assert process.stdin is not None
        try:
            process.stdin.write(line + "\n")
            process.stdin.flush()
        except BrokenPipeError:  # it reached a limit: its report is on its way
            pass
