"""A machine for the agent, all of it simulated: time, Docker, Compose, Traefik, connections, signals and processes.

`install` puts it in the place of `slipway.agent.runtime`, which is all that the agent knows of the machine under it.
"""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import io
import json
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

from fake_compose import VERSION, fake_compose
from fake_docker import FakeDocker, Image
from fake_traefik import FakeTraefik, traefik
from virtual_time import EPOCH, Process, VirtualTime

from slipway.agent import runtime
from slipway.agent.output import Output
from slipway.agent.state.stack_dir import StackFolder
from slipway.agent.watch.watch import watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import pytest
    from fake_docker import Container

_BOOTED = 1_000.0
_STARTS_IN = 0.03
_TRAEFIK = "registry.test/library/traefik"


class FakeHost:
    """One host: an engine, the edge's containers, and the agent's home."""

    def __init__(self, world: World, name: str, home: Path) -> None:
        self.world = world
        self.name = name
        self.home = home
        self.engine = FakeDocker(world.time, world.registry)
        self.edges: list[FakeTraefik] = []
        self.http_port = 1
        self.detached: list[Process] = []
        self.environment = {"SLIPWAY_HOME": str(home), "DOCKER_HOST": f"unix:///fake/{name}.sock"}
        self.traefik = Image(_TRAEFIK, "sha256:" + "7" * 64, traefik(self._edge_started))
        world.registry.setdefault(self.traefik.reference, self.traefik)
        self.engine.add(self.traefik)
        world.time.before.append(self._look)
        self.redirects: dict[int, int] = {}
        """port of a new connection → the one that the kernel sends it to"""
        self.in_flight: list[tuple[str, int]] = []
        """address and port of every connection that the edge has open"""

    def _edge_started(self, container: Container) -> None:
        if "PAIRS" in container.environment:
            pairs = (each.partition(":") for each in container.environment["PAIRS"].split())
            self.redirects = {int(port): int(to) for port, _, to in pairs}
        else:
            self.edges.append(FakeTraefik(self.engine, container))

    def _look(self) -> None:
        self.edges = [each for each in self.edges if each.alive]
        for each in self.edges:
            each.look()

    def start(self, work: Callable[[], None], **environment: str) -> Process:
        """Run something as a process of this host."""
        process = Process({"SLIPWAY_TEST_KILL_AFTER": "", **self.environment, **environment})
        self.world.hosts_of[process.pid] = self
        self.world.time.start(work, process)
        return process

    def answer(self, host: str, port: int, target: str, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """An answer to GET; raises OSError when nobody gives one."""
        path = target.partition("?")[0]
        if host == "127.0.0.1":
            for edge in self.edges:
                if edge.serves and port == edge.points["traefik"]:
                    return edge.api(target)
                if edge.serves and port == edge.points["web"]:
                    status, body = edge.request(headers.get("Host", host), path, headers)
                    return status, body.encode()
        container = self.listener(host, port)
        self.world.time.sleep(container.program.seconds)
        if self.engine.passed_on(container, path) is None:
            return 502, b"Bad Gateway"
        status, body = container.program.answer(path)
        return status, body.encode()

    def listener(self, host: str, port: int) -> Container:
        """The container that a connection reaches."""
        container = self.engine.at(host)
        if container is None:
            container = next((each for each in self.engine.containers.values() if self._publishes(each, port)), None)
        if container is None:
            raise OSError(113, "No route to host")
        if not self.engine.answering(container) or not container.program.listens(port):
            raise ConnectionRefusedError(111, "Connection refused")
        return container

    def _publishes(self, container: Container, port: int) -> bool:
        return any(public == port for *_, public in self.engine._ports(container))

    def sockets(self, pid: int | None = None) -> Iterator[tuple[str, str, str]]:
        """As the kernel prints them: this host's, or a container's."""
        if pid is not None:
            for each in self.engine.containers.values():
                if int(each.id[:7], 16) == pid and self.engine.answering(each):
                    yield from self.engine.sockets(each)
            return
        for edge in self.edges:
            for port in edge.points.values():
                yield f"00000000:{port:04X}", "00000000:0000", "0A"
        for each in self.engine.containers.values():
            for *_, public in self.engine._ports(each):  # Docker's own proxy
                yield f"00000000:{public:04X}", "00000000:0000", "0A"
        for address, port in self.in_flight:
            raw = socket.inet_aton(address)[::-1].hex().upper()
            yield "0100007F:ABCD", f"{raw}:{port:04X}", "01"


class World:
    """Hosts that share one time; in the place of the real machine until the test is over."""

    def __init__(self) -> None:
        self.time = VirtualTime()
        self.registry: dict[str, Image] = {}
        self.hosts_of: dict[int, FakeHost] = {}
        self.programs: dict[int, FakeProgram] = {}
        self.locks: dict[int, Process] = {}
        """descriptor → who locked it last"""

    def host(self, name: str, home: Path) -> FakeHost:
        return FakeHost(self, name, home)

    def image(self, version: str, behaviour: Any, *, name: str = "registry.test/shop/app", **more: Any) -> str:
        """An image in the registry; its reference by tag and digest."""
        digest = "sha256:" + f"{len(self.registry):x}".rjust(64, "0")
        made = Image(name, digest, behaviour, **more)
        self.registry[made.reference] = made
        return f"{name}:{version}@{digest}"

    # --- what the agent asks its machine for

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Take the place of the machine."""
        for name, function in {
            "monotonic": lambda: _BOOTED + self.time.now,
            "time": lambda: EPOCH + self.time.now,
            "sleep": self.time.sleep,
            "start_thread": lambda work: self.time.start(work, self.process),
            "join": self.time.wait,
            "on_signal": self._on_signal,
            "die": lambda: self.kill(self.process),
            "lower_priority": lambda _by: None,
            "tls": lambda connection, _name: connection,
            "http_connection": lambda host, port, _timeout: FakeConnection(self, (host, port)),
            "unix_connection": lambda path, _timeout: FakeConnection(self, path),
            "connect": lambda address, _timeout: self.here.listener(*address),
            "tcp_sockets": lambda pid=None: self.here.sockets(pid),
            "popen": lambda argv, **how: FakeProgram(self, argv, **how),
            "signal_group": self._signal_group,
            "born": lambda pid: "1" if pid in self.programs and self.programs[pid].process.alive else "",
            "detach": self._detach,
        }.items():
            patch.setattr(runtime, name, function)
        patch.setattr(fcntl, "flock", self._flock)
        for name in ("SLIPWAY_HOME", "DOCKER_HOST", "SLIPWAY_TEST_KILL_AFTER"):
            patch.setenv(name, "")

    @property
    def process(self) -> Process:
        """The process that asks."""
        process = self.time.me.process
        assert process is not None, "only a process of a host may do this"
        return process

    @property
    def here(self) -> FakeHost:
        """The host of the process that asks."""
        return self.hosts_of[self.process.pid]

    def kill(self, process: Process) -> None:
        """SIGKILL; the kernel takes its locks."""
        for descriptor in [each for each, owner in self.locks.items() if owner is process]:
            with contextlib.suppress(OSError):  # it has given the lock back itself
                _REAL_FLOCK(descriptor, fcntl.LOCK_UN)
            del self.locks[descriptor]
        self.time.kill(process)

    def terminate(self, process: Process) -> None:
        """SIGTERM."""
        process.signals[signal.SIGTERM](signal.SIGTERM, None)

    def wait(self, process: Process) -> None:
        """Until it ended; fails as it failed."""
        self.time.wait(process.threads)
        if process.failure is not None:
            raise process.failure

    def _on_signal(self, number: int, action: Any) -> None:
        if callable(action):
            self.process.signals[number] = action

    def _flock(self, descriptor: int, operation: int) -> None:
        _REAL_FLOCK(descriptor, operation)
        process = self.time.me.process
        if process is not None and operation & fcntl.LOCK_EX:
            self.locks[descriptor] = process

    def _signal_group(self, group: int, number: int) -> None:
        program = self.programs.get(group)
        if program is None or not program.process.alive:
            raise ProcessLookupError(group)
        program.end(-number)

    def _detach(self, argv: Sequence[str], _name: str, _log: str) -> None:
        words = list(argv)
        assert words[2:4] == ["watch", "--stack"], words
        here, out = self.here, SilentOutput(self.here.name)
        here.detached.append(here.start(lambda: watch(StackFolder(words[4]), out)))


_REAL_FLOCK = fcntl.flock


class SilentOutput(Output):
    """Keeps what the agent says."""

    def __init__(self, host: str) -> None:
        super().__init__(host)
        self.said: list[str] = []
        self.errors: list[str] = []

    def say(self, line: str) -> None:
        self.said.append(line)

    def _error(self, line: str) -> None:
        self.errors.append(self.redactor.text(line))


class _Answer(io.BytesIO):
    """What `getresponse` gives."""

    def __init__(self, status: int, body: bytes) -> None:
        super().__init__(body)
        self.status = status
        self.headers: dict[str, str] = {}


class _Socket:
    def settimeout(self, seconds: float | None) -> None:
        pass

    def close(self) -> None:
        pass


class FakeConnection(http.client.HTTPConnection):
    """A connection to something on the network of the host that asks."""

    def __init__(self, world: World, address: str | tuple[str, int]) -> None:
        super().__init__(address if isinstance(address, str) else address[0])
        self.world = world
        self.address = address
        self._request: tuple[str, str, Mapping[str, str], bytes] = ("", "", {}, b"")

    def connect(self) -> None:
        if not isinstance(self.address, str) and self.address[0] != "127.0.0.1":
            self.world.here.listener(*self.address)
        self.sock = _Socket()

    def request(self, method: str, url: str, body: Any = None, headers: Any = None, **_: Any) -> None:
        if self.sock is None:
            self.connect()
        self._request = (method, url, headers or {}, body or b"")

    def getresponse(self) -> Any:
        method, target, headers, body = self._request
        here = self.world.here
        if isinstance(self.address, str):
            status, content = here.engine.handle(method, target, body)
        else:
            status, content = here.answer(*self.address, target, headers)
        return _Answer(status, content)


class FakeProgram:
    """A program that the agent starts: Compose."""

    def __init__(self, world: World, argv: Sequence[str], *, stdout: int, env: Mapping[str, str] | None = None,
                 **_: Any) -> None:  # fmt: skip
        self.world = world
        self.argv = list(argv)
        self.environment = env or {}
        self.returncode: int | None = None
        self.output = b""
        self._descriptor = os.dup(stdout) if stdout >= 0 else None
        here = world.here
        self.process = here.start(self._run)
        self.pid = self.process.pid
        world.programs[self.pid] = self
        self._host = here

    def _run(self) -> None:
        self.world.time.sleep(_STARTS_IN)
        if "-p" in self.argv:
            code = fake_compose(self._host.engine, self.argv, self.environment, self._write)
        else:
            code = 0
            self._write(json.dumps({"Version": VERSION}).encode())
        self._close()
        self.returncode = code

    def _write(self, content: bytes) -> None:
        if self._descriptor is None:
            self.output += content
        else:
            os.write(self._descriptor, content)

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def end(self, code: int) -> None:
        """Ended by a signal."""
        self._close()
        self.returncode = code
        self.world.kill(self.process)

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, _timeout: float | None = None) -> int | None:
        self.world.time.wait(self.process.threads)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[bytes, bytes]:
        self.wait(timeout)
        return self.output, b""
