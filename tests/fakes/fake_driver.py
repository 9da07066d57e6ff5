"""The driver's end of a fleet deployment on simulated hosts: its own decisions, handed to each host's channel."""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING, Any

from slipway.hosts.fleet import Fleet

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from simulation import Ended, Simulation
    from virtual_time import Process

_LOOKS_EVERY = 0.05


class FakeDriver:
    """Deploys to several hosts at once."""

    def __init__(self, stacks: Sequence[Simulation]) -> None:
        self.stacks = {stack.host.name: stack for stack in stacks}
        self.world = stacks[0].world
        self.agents: dict[str, tuple[Process, Callable[[], Ended]]] = {}

    def begin(self, releases: dict[str, Any], options: dict[str, dict[str, Any]] | None = None) -> Process:
        """Begin a deployment of a release to each host; the driver's own process."""
        hosts = list(self.stacks)
        fleet = {"hosts": hosts, "leader": hosts[0]}
        self.agents = {}
        process = next(iter(self.stacks.values())).host.start(lambda: _Attending(self).run())
        self.world.time.sleep(0.01)  # it attends before anybody deploys
        for host, stack in self.stacks.items():
            more = (options or {}).get(host, {})
            self.agents[host] = stack.begin_at(releases[host], fleet=fleet, convergence="c", **more)
        return process

    def deploy(self, releases: dict[str, Any], options: dict[str, dict[str, Any]] | None = None) -> dict[str, Ended]:
        """The same to its end; host → how it ended."""
        process = self.begin(releases, options)
        found = self.ended()
        self.world.kill(process)
        return found

    def ended(self) -> dict[str, Ended]:
        return {host: ended() for host, (_, ended) in self.agents.items()}


class _Attending(Fleet):
    """Relays as `attend` does, without SSH between."""

    def __init__(self, driver: FakeDriver) -> None:
        super().__init__(driver.stacks)
        self.driver = driver
        self.control = {
            host: stack.host.home / "stacks" / stack.stack / "control" for host, stack in driver.stacks.items()
        }
        self.seen: dict[str, str] = {}

    def run(self) -> None:
        for host, folder in self.control.items():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(folder / "attended", os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.write(descriptor, json.dumps({"session": host}).encode())
            (folder / "status.json").unlink(missing_ok=True)
        while True:
            for host, folder in self.control.items():
                path = folder / "status.json"
                status = path.read_text() if path.exists() else ""
                if status and status != self.seen.get(host):
                    self.seen[host] = status
                    self._heard(host, json.loads(status))
                process = self.driver.agents[host][0] if host in self.driver.agents else None
                if process is not None and process.killed and self._phases.get(host) not in ("failed", "done"):
                    self._heard(host, {"phase": "failed", "reason": "the connection to it was lost"})
            self.driver.world.time.sleep(_LOOKS_EVERY)

    def _send(self, host: str, verb: str, what: str) -> None:
        if self._sent.get(host) != f"{verb} {what}" and host in self._deployments:
            self._sent[host] = f"{verb} {what}"
            message = {"deployment": self._deployments[host], verb: what, "session": host}
            (self.control[host] / "verdict.json").write_text(json.dumps(message))
