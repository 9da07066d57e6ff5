"""A stack of the real program on test hosts, and what is to be seen of it there.

Owns: the settings that reach test hosts, looking at them from outside (never over SSH, so that connections can be
counted), and wiping them. Does not own: running the engine (see `stack_harness`), the hosts (see `server`).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stack_harness import PROJECT_LABEL, Container, Stack, eventually
from workload import webshop

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Iterator, Sequence

    from stack_harness import Engine
    from workload import Images

    from dev.testhosts.hosts import TestHosts
    from dev.testhosts.server import TestHost

__all__ = ["HOME", "Pool", "RemoteStack", "end_tree", "finish", "machine_settings", "meanwhile", "refusing", "wipe"]

HOME = "/home/deploy/.local/share/slipway"
_END_SECONDS = 120


def machine_settings(host: TestHost, **changed: Any) -> dict[str, Any]:
    """A test host as an entry of the setting `hosts`."""
    return {
        "name": host.name,
        "address": host.address,
        "user": host.user,
        "port": host.port,
        "hostKey": host.host_key,
        **changed,
    }


class RemoteStack(Stack):
    """A stack on one or more test hosts."""

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        machines: Sequence[TestHost],
        images: Images,
        *,
        application: Callable[[Path], Any] = webshop,
        variables: dict[str, str] | None = None,
        **settings: Any,
    ) -> None:
        self.machines = list(machines)
        self.private_key = self.machines[0].key_file.read_text()
        super().__init__(
            engine,
            folder,
            application(folder / "app"),
            hosts=[machine_settings(host) for host in machines],
            variables={"IMAGE": images.one, "SIDE_IMAGE": images.two, "VERSION": "1", **(variables or {})},
            **settings,
        )

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, **({"SLIPWAY_SSH_KEY": self.private_key} if self.private_key else {})}

    def on(self, *machines: TestHost) -> None:
        """From now on the stack's file names these hosts."""
        self.machines = list(machines)
        self.settings["hosts"] = [machine_settings(host) for host in machines]

    def deploy(self, version: str, **variables: str) -> None:
        """Make `version` live; the other variables stay in the stack's file."""
        self.variables |= {"VERSION": version, **variables}
        self.up()

    def resource(self, host: TestHost) -> str:
        """The name of a host's deployment in the engine."""
        return f"{self.project}-{host.name}"

    # --- what is on a host

    def stack_path(self, *parts: str) -> str:
        """A path of the agent's on its hosts."""
        return "/".join((HOME, "stacks", self.project, *parts))

    def containers_on(self, host: TestHost) -> dict[str, Container]:
        """Service → its container, in any state."""
        found = host.inside(["docker", "ps", "--all", "--quiet", "--no-trunc", "--filter", self._mine]).split()
        documents = json.loads(host.inside(["docker", "inspect", *found])) if found else []
        containers = [Container(document) for document in documents]
        services = [each.service for each in containers]
        assert len(services) == len(set(services)), f"a service has several containers: {services}"
        return {each.service: each for each in containers}

    def ids_on(self, host: TestHost) -> dict[str, str]:
        """Service → id and start of its container: the same as before means that nobody touched it."""
        return {
            service: f"{each.id} {each.document['State']['StartedAt']}"
            for service, each in self.containers_on(host).items()
        }

    def volumes_on(self, host: TestHost) -> list[str]:
        return host.inside(["docker", "volume", "ls", "--quiet", "--filter", self._mine]).split()

    def ledger_on(self, host: TestHost) -> list[dict[str, Any]]:
        """What the agent recorded there, oldest first."""
        file = host.path(self.stack_path("ledger.jsonl"))
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def live_on(self, host: TestHost) -> str:
        """The release that was proven there last; empty when none was."""
        proven = [line["release"] for line in self.ledger_on(host) if line["outcome"] in ("deployed", "repaired")]
        return str(proven[-1]) if proven else ""

    def journal_on(self, host: TestHost) -> str:
        file = host.path(self.stack_path("journal.jsonl"))
        return file.read_text() if file.exists() else ""

    def await_step(self, host: TestHost, step: str, state: str = "started") -> None:
        """Wait until the deployment under way has reached a step (a prefix of its name) on `host`."""

        def reached() -> bool:
            lines = [json.loads(line) for line in self.journal_on(host).splitlines() if line.endswith("}")]
            if any("end" in line for line in lines):
                return False  # still the journal of the deployment before
            return any(line.get("step", "").startswith(step) and line.get("state") == state for line in lines)

        eventually(reached, 60)

    @contextlib.contextmanager
    def held(self, host: TestHost) -> Iterator[None]:
        """What starts on `host` meanwhile does not listen before the end of the block."""
        file = host.path(f"/var/lib/docker/volumes/{self.project}_data/_data/hold")
        file.touch()
        try:
            yield
        finally:
            file.unlink()

    def agents_on(self, host: TestHost) -> list[int]:
        """The ids, on `host`, of the agents that deploy this stack: who works before who only waits for it."""
        lines = host.inside(["ps", "-eo", "pid=,args="]).splitlines()
        found = [
            int(line.split()[0])
            for line in lines
            if f"deploy --stack {self.project}" in line and "python3" in line.split()[1]
        ]
        return sorted(found, reverse=True)

    def ask(self, host: TestHost, path: str = "/") -> dict[str, Any]:
        """What the application answers on the host's own address."""
        connection = http.client.HTTPConnection(host.address, self.port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body: dict[str, Any] = json.loads(answer.read())
        finally:
            connection.close()
        assert answer.status == http.HTTPStatus.OK, f"{path} answered {answer.status}: {body}"
        return body

    def version_on(self, host: TestHost) -> str:
        """The version that answers there; empty when none does."""
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            return str(self.ask(host)["version"])
        return ""

    @property
    def versions(self) -> list[str]:
        """The version that answers on every host."""
        return [self.version_on(host) for host in self.machines]


def end_tree(process: subprocess.Popen[str]) -> None:
    """Kill (SIGKILL) a process and all its descendants at once, as the end of their machine would."""
    family = [process.pid]
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            parents[int(entry.parent.name)] = int(entry.read_text().rpartition(")")[2].split()[1])
    for parent in family:  # grows while it is walked
        family += [child for child, its in parents.items() if its == parent]
    for member in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
    process.communicate(timeout=30)


def finish(process: subprocess.Popen[str]) -> str:
    """Wait for the end of a run of the engine; all that it printed."""
    try:
        text, _ = process.communicate(timeout=_END_SECONDS)
    except BaseException:
        end_tree(process)
        raise
    return text


@contextlib.contextmanager
def meanwhile(action: Callable[[], None], *, every: float = 0.1, seconds: float = 120) -> Iterator[None]:
    """Repeat `action` in a thread of its own while the block runs, for at most `seconds`."""
    over = threading.Event()
    until = time.monotonic() + seconds

    def repeat() -> None:
        while not over.wait(every) and time.monotonic() < until:
            action()

    with ThreadPoolExecutor(1) as pool:
        repeated = pool.submit(repeat)
        try:
            yield
        finally:
            over.set()
            repeated.result(timeout=30)


@contextlib.contextmanager
def refusing(host: TestHost) -> Iterator[None]:
    """Meanwhile `host` refuses SSH connections, which is known at once; of a host without a network, after 15 s."""
    rule = ["INPUT", "-p", "tcp", "--dport", "22", "-j", "REJECT", "--reject-with", "tcp-reset"]
    host.inside(["iptables", "-I", *rule])
    try:
        yield
    finally:
        host.inside(["iptables", "-D", *rule])


class Pool:
    """The session's hosts: made when first asked for, side by side, with the server's small images on them."""

    def __init__(self, hosts: TestHosts, images: Images) -> None:
        self._hosts, self._images = hosts, images
        self._made: list[TestHost] = []

    def take(self, count: int) -> list[TestHost]:
        """The first `count` hosts, every one of them up."""
        lacking = count - len(self._made)
        if lacking > 0:
            made = self._hosts.create_many(lacking)
            with ThreadPoolExecutor(lacking) as threads:
                list(threads.map(self._furnish, made))
            self._made += made
        return self._made[:count]

    def _furnish(self, host: TestHost) -> None:
        for number, image in enumerate(self._images.small):
            # a container keeps its image from being pruned between tests
            host.inside(["docker", "create", "--quiet", "--name", f"keeper-{number}", image], seconds=180)


def wipe(host: TestHost) -> None:
    """Take every stack off a host and fix it; images that were pulled at its start stay."""
    if not host.running:
        host.boot()
    host.fix_network()
    host.free_disk()
    if not host.docker_answers():
        host.start_dockerd()
    for label in (PROJECT_LABEL, "dev.slipway.edge"):  # the edge's files go below, which it would not notice
        found = host.inside(["docker", "ps", "--all", "--quiet", "--filter", f"label={label}"]).split()
        if found:
            host.inside(["docker", "rm", "--force", "--volumes", *found])
    host.inside(["docker", "network", "prune", "--force"])
    host.inside(["docker", "volume", "prune", "--all", "--force"])
    host.inside(["rm", "-rf", HOME])
