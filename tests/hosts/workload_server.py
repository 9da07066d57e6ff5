"""The server inside the images of `workload`: behaves as its environment says. Standard library only; boots fast.

`app.py probe` is its health check, `app.py migrate` its migration; anything else serves on port 8000 (LISTEN).

Paths: `/health`; `/smoke`; `/slow?seconds=N` (a body that takes N seconds, its length announced); `/ws` (a WebSocket
that echoes); `/append/TEXT` (a line in /data/log); anything else answers with its version and files, as JSON. Every
answer has the header X-Version.

Environment: VERSION. MODE: `sick` and `tells` (everything that it knows) are never healthy. SICK: never healthy
either. START: seconds before it listens; so does a file /data/hold, as long as it is there. A file /data/sick that
holds its version makes it sick: how one host of several gets another verdict. FAIL_RATE: share of the answers that are
a 500, evenly spread; SLOW_MS: how late they are; neither touches /health and /smoke, for a worse release that passes
its gates. SMOKE_FAILS: /smoke answers 500. CRASH_AFTER: seconds of listening after which it exits with 1.

SIGTERM: it stops listening, closes idle connections, finishes requests under way, closes WebSockets with 1001, exits.
"""

# ruff: noqa: T201, PTH123  # it prints for `docker logs`; pathlib would double the time that a probe takes

import os
import signal
import socket
import sys
import time

MODE, VERSION = os.environ.get("MODE", ""), os.environ.get("VERSION", "")
PORT = int(os.environ.get("LISTEN") or 8000)


def read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def number(name: str) -> float:
    return float(os.environ.get(name) or 0)


if sys.argv[1:] == ["probe"]:
    with socket.create_connection(("127.0.0.1", PORT), 2) as peer:
        peer.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        line = peer.makefile("rb").readline().decode().strip()
    print("health answered", line)
    sys.exit(" 200 " not in line)
if sys.argv[1:] == ["migrate"]:
    print("migrating to", VERSION, flush=True)
    with open("/data/migrations", "a") as log:
        log.write(VERSION + "\n")
    sys.exit()

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
print("starting version", VERSION, "mode", MODE or "good", flush=True)
if MODE == "tells":
    import base64

    for name, value in os.environ.items():
        print(name, value, base64.b64encode(value.encode()).decode(), flush=True)
STARTED = time.monotonic()

import asyncio  # noqa: E402  # late, like the rest: the probe does without
import hashlib  # noqa: E402
import json  # noqa: E402
from base64 import b64encode  # noqa: E402

FAIL_RATE, SLOW = number("FAIL_RATE"), number("SLOW_MS") / 1000
SICK = MODE in ("sick", "tells") or bool(os.environ.get("SICK"))
STATUS = {
    200: b"200 OK",
    426: b"426 Upgrade Required",
    500: b"500 Internal Server Error",
    503: b"503 Service Unavailable",
}
ACCEPT_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
PIECES = 10  # a second, of /slow


class Server:
    """What all connections share."""

    def __init__(self) -> None:
        self.connections: set[Connection] = set()
        self.answered = 0
        self.stopping = False

    def fails(self) -> bool:
        self.answered += 1
        return int(self.answered * FAIL_RATE) > int((self.answered - 1) * FAIL_RATE)


class Connection(asyncio.Protocol):
    """HTTP/1.1 with kept-alive connections and pipelining one by one; a WebSocket after its handshake."""

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.server, self.loop = server, loop
        self.data = b""
        self.protocol = "HTTP/1.1"
        self.busy = self.socket = self.close_after = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment]  # a TCP connection has nothing else
        self.server.connections.add(self)

    def connection_lost(self, _error: Exception | None) -> None:
        self.server.connections.discard(self)

    def stop(self) -> None:
        """The server is about to end."""
        if self.socket:
            self.transport.write(bytes([0x80 | CLOSE, 2]) + (1001).to_bytes(2, "big"))
            self.loop.call_later(1, self.transport.close)  # the peer answers, and we close then
        elif not self.busy:
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        self.data += data
        if self.socket:
            self.frames()
        else:
            self.requests()

    # --- HTTP

    def requests(self) -> None:
        while not self.busy and not self.socket and b"\r\n\r\n" in self.data:
            head, _, self.data = self.data.partition(b"\r\n\r\n")
            first, *lines = head.split(b"\r\n")
            _, target, self.protocol = [*first.decode("latin-1").split(" "), "", ""][:3]
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines)}
            kept = headers.get(b"connection", b"").lower()
            self.close_after = kept == b"close" or (self.protocol != "HTTP/1.1" and kept != b"keep-alive")
            self.busy = True
            self.request(target, headers)

    def request(self, target: str, headers: dict[bytes, bytes]) -> None:
        path, _, query = target.partition("?")
        if path == "/health":
            sick = SICK or read("/data/sick").strip() == VERSION
            self.answer(503 if sick else 200, self.document())
        elif path == "/smoke":
            self.answer(500 if os.environ.get("SMOKE_FAILS") else 200, self.document())
        elif path == "/ws":
            self.upgrade(headers)
        elif path == "/slow":
            self.slow(float(dict(part.partition("=")[::2] for part in query.split("&")).get("seconds") or 3))
        else:
            if path.startswith("/append/"):
                with open("/data/log", "a") as log:
                    log.write(path.removeprefix("/append/") + "\n")
            status = 500 if self.server.fails() else 200
            if SLOW:
                self.loop.call_later(SLOW, lambda: self.answer(status, self.document()))
            else:
                self.answer(status, self.document())

    def document(self) -> bytes:
        names = ("data/log", "data/migrations", "etc/app/config.json")
        return json.dumps({"version": VERSION, **{name: read("/" + name) for name in names}}).encode()

    def head(self, status: int, length: int) -> bytes:
        self.close_after = self.close_after or self.server.stopping
        lines = [
            self.protocol.encode() + b" " + STATUS[status],
            b"Content-Type: application/json",
            b"Content-Length: %d" % length,
        ]
        lines += [b"X-Version: " + VERSION.encode(), *([b"Connection: close"] if self.close_after else [])]
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def answer(self, status: int, body: bytes) -> None:
        self.transport.write(self.head(status, len(body)) + body)
        self.over()

    def over(self) -> None:
        """The answer is out."""
        self.busy = False
        if self.close_after or self.server.stopping:
            self.transport.close()
        else:
            self.requests()

    def slow(self, seconds: float) -> None:
        pieces = max(1, int(seconds * PIECES))
        line = b"version %s still at work\n" % VERSION.encode()
        self.transport.write(self.head(200, len(line) * pieces + len(b"done\n")))

        def go_on(left: int) -> None:
            if self.transport.is_closing():
                return
            if left:
                self.transport.write(line)
                self.loop.call_later(seconds / pieces, go_on, left - 1)
            else:
                self.transport.write(b"done\n")
                self.over()

        go_on(pieces)

    # --- WebSockets

    def upgrade(self, headers: dict[bytes, bytes]) -> None:
        key = headers.get(b"sec-websocket-key")
        if headers.get(b"upgrade", b"").lower() != b"websocket" or not key:
            self.answer(426, b"a WebSocket is here\n")
            return
        accept = b64encode(hashlib.sha1(key + ACCEPT_KEY).digest())  # noqa: S324  # as the RFC says
        lines = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
        lines += [b"Sec-WebSocket-Accept: " + accept, b"X-Version: " + VERSION.encode()]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n")
        self.busy, self.socket = False, True
        self.frames()

    def frames(self) -> None:
        """Answer every whole frame of a client's; they are masked. Fragments are echoed as they came."""
        while len(self.data) >= 6:
            first, length = self.data[0], self.data[1] & 0x7F
            size = {126: 2, 127: 8}.get(length, 0)
            start = 2 + size
            if size:
                length = int.from_bytes(self.data[2:start], "big")
            if len(self.data) < start + 4 or len(self.data) < start + 4 + length:
                return
            mask, masked = self.data[start : start + 4], self.data[start + 4 : start + 4 + length]
            self.data = self.data[start + 4 + length :]
            whole = (mask * (length // 4 + 1))[:length]
            payload = (int.from_bytes(masked, "big") ^ int.from_bytes(whole, "big")).to_bytes(length, "big")
            kind = first & 0x0F
            if kind != PONG:
                first = 0x80 | PONG if kind == PING else first
                size = len(payload)
                if size < 126:
                    self.transport.write(bytes([first, size]) + payload)
                else:
                    self.transport.write(bytes([first, 127]) + size.to_bytes(8, "big") + payload)
            if kind == CLOSE:
                self.transport.close()
                return


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = Server()
    await asyncio.sleep(max(0.0, STARTED + number("START") - time.monotonic()))
    while os.path.exists("/data/hold"):  # noqa: ASYNC110, ASYNC240, PTH110  # nothing else to do meanwhile
        await asyncio.sleep(0.05)
    listener = await loop.create_server(lambda: Connection(server, loop), "", PORT, backlog=1024)
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, over.set)
    if number("CRASH_AFTER"):
        loop.call_later(number("CRASH_AFTER"), os._exit, 1)
    await over.wait()
    server.stopping = True
    listener.close()
    for connection in list(server.connections):
        connection.stop()
    while server.connections:  # noqa: ASYNC110  # the end of its life
        await asyncio.sleep(0.01)


asyncio.run(serve())
