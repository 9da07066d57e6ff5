"""How containers of a simulated Docker engine start, fall ill, stop and start again, in virtual time."""

from __future__ import annotations

import socket
from signal import Signals
from typing import TYPE_CHECKING, Any

from docker_containers import Containers
from docker_objects import Health, Refused, health_check, seconds_of
from programs import NEVER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from docker_objects import Container

_BACKOFF, _LONGEST_BACKOFF, _RAN_WELL = 0.1, 60.0, 10.0
_STOP_SECONDS = 10
_KILLED = 137


class Lifecycle(Containers):
    """Starts and ends containers."""

    down: bool
    passed: list[tuple[str, int, str]]
    """connections of what passes requests on: its address, its port, and the address that it asked"""

    def _start(self, identifier: str, **_: Any) -> tuple[int, Any]:
        container = self.container(identifier)
        if container.running or container.state == "restarting":
            return 304, None
        container.by_hand = False
        container.backoff = 0.0
        container.restarts = 0
        try:
            self._begin(container)
        except Refused as error:
            container.error, container.code = str(error), 128
            raise
        return 204, None

    def _begin(self, container: Container) -> None:
        """Its program runs from now on."""
        self._bind_ports(container)
        for name, endpoint in container.endpoints.items():
            network = self._find_network(endpoint["NetworkID"] or name)
            endpoint["NetworkID"] = network.id
            endpoint["IPAddress"] = self._take_address(network, container, endpoint)
        container.state, container.code, container.error = "running", 0, ""
        container.started = self.time.now
        container.run += 1
        container.program = container.image.behaviour(container.environment, container.command)
        if container.program.upstream:
            self._look_up(container)
        for line in container.program.says:
            container.logs.append((self.time.now, line))
        self._event("start", container)
        if container.program.exits < NEVER:
            self._later(container, container.program.exits, lambda: self._end(container, container.program.code))
        if container.program.ready < NEVER:
            self._later(container, container.program.ready, self._changed)
        if container.program.ill < NEVER:
            self._later(container, container.program.ill, self._changed)
        self._begin_health(container)
        if container.program.runs is not None:
            container.program.runs(container)

    def _look_up(self, container: Container) -> None:
        container.upstream = self._resolve(container, container.program.upstream)
        if container.program.resolves < NEVER:
            self._later(container, container.program.resolves, lambda: self._look_up(container))

    def _resolve(self, container: Container, name: str) -> str:
        """An address of a name, as Docker's name server gives it to a container: a link comes first, and alone."""
        found = []
        for network, endpoint in container.endpoints.items():
            links = dict(each.split(":")[::-1] for each in endpoint.get("Links") or ())
            for each in self.containers.values():
                other = each.endpoints.get(network) or {}
                if each.running and links.get(name, name) in (other.get("Aliases") or ()):
                    found.append(other["IPAddress"])
        return max(found, default="") if container.program.resolves < NEVER else min(found, default="")

    def passes_on(self, container: Container, path: str = "") -> Container | None:
        """The container that answers a request to this one; None where nobody does."""
        if not container.program.upstream or path in container.program.itself:
            return container
        found = self.at(container.upstream)
        return self.passes_on(found) if found is not None and self.answering(found) else None

    def passed_on(self, container: Container, path: str) -> Container | None:
        """As `passes_on`, for a request: what it passes on leaves a connection behind at the other end."""
        found = self.passes_on(container, path)
        if found is not None and found is not container:
            network = next(n for n, each in found.endpoints.items() if n in container.endpoints and "edge" not in n)
            client = container.endpoints[network]["IPAddress"]
            self.passed = [*self.passed[-200:], (client, 32768 + next(self._numbers) % 20000, container.upstream)]
        return found

    def sockets(self, container: Container) -> Iterator[tuple[str, str, str]]:
        """Those in a container, as the kernel prints them."""
        yield "0B00007F:83E9", "00000000:0000", "0A"  # Docker's name server
        for address, _, port in (place.rpartition(":") for place in container.program.ports):
            yield f"{_raw(address or '0.0.0.0')}:{int(port):04X}", "00000000:0000", "0A"  # noqa: S104 - as printed
        for client, number, server in self.passed:
            if server in container.addresses():
                yield f"{_raw(server)}:1F40", f"{_raw(client)}:{number:04X}", "06"

    def _changed(self) -> None:
        self.changes += 1

    def _later(self, container: Container, seconds: float, action: Callable[[], None]) -> None:
        """Do something unless this run of the container has ended by then."""
        run = container.run

        def due() -> None:
            if container.run == run and container.running and container.id in self.containers:
                action()

        self.time.at(self.time.now + seconds, due)

    def _bind_ports(self, container: Container) -> None:
        taken = {
            (public, protocol): other
            for other in self.containers.values()
            if other is not container
            for _, protocol, _, public in self._ports(other)
        }
        for target, bindings in (container.host.get("PortBindings") or {}).items():
            protocol = target.partition("/")[2]
            for each in bindings:
                if (int(each["HostPort"]), protocol) in taken:
                    address = f"{each.get('HostIp') or '0.0.0.0'}:{each['HostPort']}"  # noqa: S104 - shown
                    raise Refused(
                        500,
                        f"failed to set up container networking: driver failed programming external connectivity on "
                        f"endpoint {container.name}: Bind for {address} failed: port is already allocated",
                    )

    def _stop(self, identifier: str, *, query: dict[str, str], **_: Any) -> tuple[int, Any]:
        container = self.container(identifier)
        if container.state == "restarting":
            self._give_up(container)
            return 204, None
        if not container.running:
            return 304, None
        container.by_hand = True
        grace = float(query.get("t") or container.config.get("StopTimeout") or _STOP_SECONDS)
        self._signal(container, str(container.config.get("StopSignal") or "SIGTERM"))
        self._later(container, grace, lambda: self._signal(container, "SIGKILL"))
        run = container.run
        self.mutating(f"while {container.name} stops")
        while container.running and container.run == run:
            self.time.park(container.waiting)
        self._event("stop", container)
        return 204, None

    def _restart(self, identifier: str, **how: Any) -> tuple[int, Any]:
        container = self.container(identifier)
        removed = container.host.pop("AutoRemove", False)
        self._stop(identifier, **how)
        container.host.update({"AutoRemove": True} if removed else {})
        self._start(identifier)
        self._event("restart", container)
        return 204, None

    def _give_up(self, container: Container) -> None:
        """Stopped while it waits for its restart."""
        container.by_hand = True
        container.run += 1
        container.state = "exited"
        self._event("stop", container)

    def _kill(self, identifier: str, *, query: dict[str, str], **_: Any) -> tuple[int, Any]:
        container = self.container(identifier)
        if not container.running:
            raise Refused(409, f"cannot kill container: {identifier}: container {container.id} is not running")
        signal = query.get("signal") or "SIGKILL"
        if signal in ("SIGKILL", container.config.get("StopSignal") or signal):
            container.by_hand = True
        self._signal(container, signal)
        return 204, None

    def _signal(self, container: Container, signal: str) -> None:
        self._event("kill", container, signal=str(Signals[signal].value))
        if signal == "SIGKILL":
            self._end(container, _KILLED)
        elif signal in ("SIGTERM", "SIGINT", "SIGQUIT") and container.program.stops < NEVER:
            self._later(container, container.program.stops, lambda: self._end(container, container.program.code))

    def _end(self, container: Container, code: int) -> None:
        """Its program ended: for good, or until its restart policy starts it again."""
        ran = self.time.now - (container.started or 0.0)
        container.run += 1
        container.code = code
        container.out_of_memory = code == _KILLED and container.program.hungry
        container.ended = self.time.now
        container.state = "exited"
        self._release(container)
        if container.health is not None:
            container.health.status = "unhealthy"  # as the engine says once it does not probe any more
        self._event("die", container, exitCode=str(code))
        if self._restarts(container, code):
            if ran >= _RAN_WELL:
                container.backoff = 0.0
            container.backoff = min(container.backoff * 2, _LONGEST_BACKOFF) if container.backoff else _BACKOFF
            container.restarts += 1
            container.state = "restarting"
            run = container.run
            self.time.at(self.time.now + container.backoff, lambda: self._again(container, run))
        elif container.host.get("AutoRemove"):
            self._forget(container)
        self.time.wake(container.waiting)

    def _again(self, container: Container, run: int) -> None:
        if container.run == run and container.state == "restarting" and container.id in self.containers:
            self._begin(container)

    def _restarts(self, container: Container, code: int) -> bool:
        policy = container.host.get("RestartPolicy") or {}
        name, most = policy.get("Name"), int(policy.get("MaximumRetryCount") or 0)
        if container.by_hand:
            return False
        if name == "on-failure":
            return code != 0 and (not most or container.restarts < most)
        return name in ("always", "unless-stopped")

    def restart_engine(self, seconds: float = 1.0) -> None:
        """Docker itself restarts: what ran and has a policy runs again, also what was stopped by hand with `always`."""
        self.down = True
        was = {each.id for each in self.containers.values() if each.running or each.state == "restarting"}
        for each in list(self.containers.values()):
            if each.id in was:
                by_hand, each.by_hand = each.by_hand, True
                if each.running:
                    self._end(each, 0)
                else:
                    self._give_up(each)
                each.by_hand = by_hand

        def up() -> None:
            self.down = False
            for each in list(self.containers.values()):
                name = (each.host.get("RestartPolicy") or {}).get("Name")
                again = each.id in was or (each.by_hand and each.started is not None)
                if each.state == "exited" and (
                    (name == "always" and again) or (name in ("unless-stopped", "on-failure") and each.id in was)
                ):
                    self._begin(each)

        self.time.at(self.time.now + seconds, up)

    def _pause(self, identifier: str, **_: Any) -> tuple[int, Any]:
        container = self.container(identifier)
        if container.state != "running":
            raise Refused(409, f"Container {container.id} is not running")
        container.state = "paused"
        if container.health is not None:
            container.health.status = "unhealthy"
        self._event("pause", container)
        return 204, None

    def _unpause(self, identifier: str, **_: Any) -> tuple[int, Any]:
        container = self.container(identifier)
        container.state = "running"
        self._event("unpause", container)
        self._begin_health(container)
        return 204, None

    def _wait(self, identifier: str, **_: Any) -> tuple[int, Any]:
        container = self.container(identifier)
        while container.running or container.state == "restarting":
            self.time.park(container.waiting)
        return 200, {"StatusCode": container.code}

    def _remove(self, identifier: str, *, query: dict[str, str], **_: Any) -> tuple[int, Any]:
        container = self.container(identifier)
        if container.running or container.state == "restarting":
            if query.get("force") not in ("true", "1"):
                raise Refused(
                    409,
                    f'cannot remove container "/{container.name}": container is running: '
                    "stop the container before removing or force remove",
                )
            container.by_hand = True
            if container.running:
                self._signal(container, "SIGKILL")
        if container.id in self.containers:
            self._forget(container)
        return 204, None

    def _forget(self, container: Container) -> None:
        container.run += 1
        self._release(container)
        del self.containers[container.id]
        self._event("destroy", container)
        self.time.wake(container.waiting)

    def _begin_health(self, container: Container) -> None:
        check = health_check(container)
        if check is None:
            return
        if container.health is None:
            container.health = Health()
        container.health.status, container.health.streak = "starting", 0
        self._later(container, self._interval(container, check), lambda: self._probe(container, check))

    def _interval(self, container: Container, check: dict[str, Any]) -> float:
        assert container.health is not None
        early = self._age(container) < seconds_of(check, "StartPeriod", 0.0)
        if early and container.health.status == "starting":
            return seconds_of(check, "StartInterval", 5.0)
        return seconds_of(check, "Interval", 30.0)

    def _probe(self, container: Container, check: dict[str, Any]) -> None:
        health, program, age = container.health, container.program, self._age(container)
        assert health is not None
        passed = age >= program.ready and program.healthy and age < program.ill
        said = program.probe or (1, "connection refused" if age < program.ready else "not well")
        code, output = (0, "ok") if passed else said
        moment = self._moment(self.time.now)
        health.log = [*health.log, {"Start": moment, "End": moment, "ExitCode": code, "Output": output}][-5:]
        if passed:
            health.status, health.streak = "healthy", 0
        elif health.status != "starting" or age >= seconds_of(check, "StartPeriod", 0.0):
            health.streak += 1
            if health.streak >= int(check.get("Retries") or 3):
                health.status = "unhealthy"
        self.changes += 1
        self._later(container, self._interval(container, check), lambda: self._probe(container, check))

    def _age(self, container: Container) -> float:
        return self.time.now - (container.started or 0.0)


def _raw(address: str) -> str:
    return socket.inet_aton(address)[::-1].hex().upper()
