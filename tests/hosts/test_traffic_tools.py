"""The instruments of the traffic tests tell the truth: tried on servers that misbehave a known number of times."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from local_servers import free_port
from traffic import Load
from websockets.sync.client import connect
from workload import SERVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

SEVEN = {
    41: "status_503",
    43: "status_404",
    47: "closed",
    53: "cut",
    59: "reset",
    61: "garbled",
    97: "time-out",
}


class Misbehaving:
    """An HTTP/1.1 server; `plan(number, answers)` says what is done to a request, "" for a good answer.

    `number` counts requests from 1, `answers` those that the connection has had already.
    """

    def __init__(self, plan: Callable[[int, int], str]) -> None:
        self._plan = plan
        self.done: collections.Counter[str] = collections.Counter()
        self.requests = 0
        self.port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        listening = asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self._server = asyncio.run_coroutine_threadsafe(listening, self._loop).result(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._server.close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def stall(self, seconds: float) -> None:
        """Answer nobody for a while."""
        self._loop.call_soon_threadsafe(time.sleep, seconds)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers = 0
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                what = self._plan(self.requests, answers)
                self.done[what] += 1
                answers += 1
                if what == "time-out":
                    await reader.read()  # until the client gives up
                    break
                if what == "reset":
                    linger = struct.pack("ii", 1, 0)
                    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                if what in ("closed", "reset"):
                    break
                status = what.removeprefix("status_") if what.startswith("status") else "200"
                length = 100 if what == "cut" else 2
                good = f"HTTP/1.1 {status} Such\r\nX-Version: 1\r\nContent-Length: {length}\r\n\r\nok"
                writer.write(b"HELLO?\r\n\r\n" if what == "garbled" else good.encode())
                if what in ("cut", "garbled"):
                    await writer.drain()
                    break
        writer.close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


def seven(number: int, _answers: int) -> str:
    return next((kind for every, kind in SEVEN.items() if number % every == 0), "")


def test_every_kind_of_failure_is_counted_exactly() -> None:
    with Misbehaving(seven) as server, Load(server.url, rate=500, timeout=1, retry=False) as load:
        load.until(sent=1500)
    result = load.result()
    expected = {kind: count for kind, count in server.done.items() if kind}
    assert set(expected) == set(SEVEN.values())
    assert result.requests.failed == expected, result.describe()
    assert result.requests.ok == server.done[""]
    assert result.sent == server.requests == result.requests.ok + result.failed
    assert result.retried == 0
    assert len(result.first_failures) == 50
    assert result.started <= result.first_failures[0]["due"] <= result.first_failures[0]["failed"] <= result.ended + 2
    assert result.windows["before"].failed == result.failed


def test_closing_a_reused_connection_is_retried_once_and_said() -> None:
    def plan(number: int, answers: int) -> str:
        return ("closed", "reset")[number % 2] if answers and number % 25 < 2 else ""

    with Misbehaving(plan) as server, Load(server.url, rate=500) as load:
        load.until(sent=1000)
    result = load.result()
    assert result.failed == 0, result.describe()
    assert result.retried == server.done["closed"] + server.done["reset"] > 30
    assert server.done["closed"] > 0
    assert server.done["reset"] > 0
    assert result.requests.ok == result.requests.sent == server.done[""]


def test_closing_a_new_connection_is_a_failure_and_not_retried() -> None:
    with Misbehaving(lambda number, _: "" if number % 10 else "closed") as server:
        with Load(server.url, rate=300, fresh=1) as load:
            load.until(sent=600)
        result = load.result()
    assert result.requests.failed == {"closed": server.done["closed"]}, result.describe()
    assert result.retried == 0
    assert result.requests.ok == server.done[""]


def test_a_retry_that_fails_is_a_failure() -> None:
    with Misbehaving(lambda number, _: "" if number <= 100 else "closed") as server:
        with Load(server.url, rate=300) as load:
            load.until(sent=300)
        result = load.result()
    assert result.requests.ok == 100
    assert result.requests.failed == {"closed": result.requests.sent - 100}, result.describe()
    assert server.requests == result.requests.sent + result.retried


def test_a_stall_counts_for_every_request_that_was_due_in_it() -> None:
    with Misbehaving(lambda *_: "") as server, Load(server.url, rate=500, connections=5) as load:
        time.sleep(1)
        load.mark("during")
        server.stall(1)
        time.sleep(2)
        load.mark("after")
        time.sleep(1)
    result = load.result()
    before, during, after = (result.windows[name] for name in ("before", "during", "after"))
    # half of the 1000 requests due meanwhile waited, evenly from 1 s down to 0
    assert 850 < during.p99_ms < 3000, result.describe()
    assert during.p95_ms > 300
    assert before.p50_ms < 200
    assert after.p50_ms < 200
    assert 0.9 < result.longest_gap["seconds"] < 3
    assert result.failed == 0
    seconds = result.ended - result.started
    assert result.sent > 0.95 * 500 * seconds, "a stalled server must not slow the load down"


def test_where_nobody_listens_every_request_is_refused() -> None:
    with Load(f"http://127.0.0.1:{free_port()}/", rate=200, websockets=1, long=1, long_seconds=1) as load:
        load.until(sent=200)
    result = load.result()
    for tally in (result.requests, result.long, result.websockets):
        assert tally.failed == {"refused": tally.sent}, result.describe()
        assert tally.sent > 0
    assert result.longest_gap["seconds"] == 0  # there was no good answer to measure from


def test_load_that_reached_its_limit_says_so() -> None:
    with Misbehaving(lambda *_: "") as server:
        with Load(server.url, rate=500, limit_requests=100) as load:
            time.sleep(0.5)
            load.mark("during")
        assert server.requests == 100
        with pytest.raises(AssertionError, match="limit of requests"):
            load.result()


def test_client_ends_with_the_test_that_started_it() -> None:
    with Misbehaving(lambda *_: "") as server:
        with Load(server.url) as load:
            process = load._process
            assert process is not None
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(10) == 0
            process.stdin = open(os.devnull, "w")  # noqa: PTH123, SIM115  # nobody listens any more
        assert load.result().sent > 0


# --- the server that tests deploy


@contextlib.contextmanager
def workload(port: int, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """The server of `workload`, listening."""
    environment = {"PATH": os.environ["PATH"], "LISTEN": str(port), "VERSION": "1", **variables}
    with subprocess.Popen([sys.executable, "-IS", str(SERVER)], env=environment) as process:
        try:
            deadline = time.monotonic() + 10
            while True:
                assert time.monotonic() < deadline
                assert process.poll() is None
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.01)
            yield process
        finally:
            process.kill()


def get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_worse_release_passes_its_gates_and_fails_exactly_its_share() -> None:
    port = free_port()
    with workload(port, FAIL_RATE="0.05", SLOW_MS="80"):
        assert (get(port, "/health")[0], get(port, "/smoke")[0]) == (200, 200)
        with Load(f"http://127.0.0.1:{port}/", rate=200) as load:
            load.until(sent=400)
        result = load.result()
    assert result.requests.failed == {"status_500": int(result.requests.sent * 0.05)}, result.describe()
    assert result.windows["before"].p50_ms > 80
    assert result.versions["1"].count == result.requests.ok


def test_release_can_be_sick_fail_its_smoke_check_be_late_or_crash() -> None:
    port = free_port()
    begun = time.monotonic()
    with workload(port, SICK="1", SMOKE_FAILS="1", START="0.7", CRASH_AFTER="1") as process:
        assert time.monotonic() - begun > 0.7
        assert (get(port, "/health")[0], get(port, "/smoke")[0], get(port, "/")[0]) == (503, 500, 200)
        assert json.loads(get(port, "/")[1])["version"] == "1"
        probe = subprocess.run(
            [sys.executable, "-IS", str(SERVER), "probe"],
            env={"LISTEN": str(port)},
            capture_output=True,
            check=False,
            timeout=10,
        )
        assert probe.returncode == 1
        assert b"503" in probe.stdout
        assert process.wait(10) == 1


def test_stopped_server_finishes_what_is_under_way() -> None:
    port = free_port()
    with workload(port) as process:
        with Load(f"http://127.0.0.1:{port}/", rate=100, long=3, long_seconds=1.5, websockets=2) as load:
            time.sleep(1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
        result = load.result()
    assert result.websockets.moved == 2
    assert result.long.ok >= 3
    kinds = {kind for each in (result.requests, result.long, result.websockets) for kind in each.failed}
    assert kinds == {"refused"}, result.describe()


def test_killed_server_is_seen_by_long_requests_and_websockets() -> None:
    port = free_port()
    with workload(port) as process:
        with Load(f"http://127.0.0.1:{port}/", rate=100, long=3, long_seconds=5, websockets=2) as load:
            time.sleep(1)
            process.kill()
            time.sleep(0.1)
        result = load.result()
    assert result.long.failed["cut"] == 3, result.describe()
    assert result.websockets.failed["reset"] == 2
    assert result.websockets.moved == 0


def test_take_over_is_seen_and_dated() -> None:
    port = free_port()
    with workload(port) as process, contextlib.ExitStack() as second:
        with Load(f"http://127.0.0.1:{port}/", rate=200) as load:
            load.until_only("1", 10, steady=0.5)
            process.kill()
            process.wait(10)
            stopped = time.time()
            with pytest.raises(AssertionError, match="2 alone did not answer"):
                load.until_only("2", 0.5)
            second.enter_context(workload(port, VERSION="2", START="0.5"))
            listening = time.time()
            load.until_only("2", 10, steady=0.5)
            load.mark("after")
            time.sleep(0.5)
        result = load.result()
    old, new = result.versions["1"], result.versions["2"]
    assert old.first < old.last <= stopped < new.first < listening + 0.5
    assert result.longest_gap["seconds"] == pytest.approx(new.first - old.last, abs=0.01)
    assert old.count + new.count == result.requests.ok
    assert result.requests.failed.keys() <= {"refused", "reset", "cut", "closed"}, result.describe()
    assert result.windows["after"].failed == 0


def test_long_requests_and_websockets_of_a_good_server_count_as_good() -> None:
    port = free_port()
    with workload(port):
        with Load(f"http://127.0.0.1:{port}/", rate=500, long=3, long_seconds=1, websockets=2, fresh=0.1) as load:
            load.until(sent=1000)
        result = load.result()
    assert result.failed == 0, result.describe()
    assert result.long.ok == result.long.sent >= 6
    assert result.websockets.ok == result.websockets.sent == 2
    assert result.websockets.echoes >= 2 * 8
    assert result.cpu_seconds < 0.5 * (result.ended - result.started), "too dear for a machine shared with the server"


def test_websocket_of_the_server_speaks_the_protocol() -> None:
    port = free_port()
    with workload(port), connect(f"ws://127.0.0.1:{port}/ws", compression=None, proxy=None) as peer:
        for message in ("", "short", "x" * 200, "y" * 70_000, b"\x00\xff" * 300):
            peer.send(message)
            assert peer.recv(5) == message
        assert peer.ping().wait(5)
        peer.send(["in ", "several ", "pieces"])
        assert peer.recv(5) == "in several pieces"
        peer.close()
        assert peer.close_code == 1000
