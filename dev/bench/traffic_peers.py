"""The peers of a change under load: plain Compose, Compose's `--scale`, Docker Swarm, and Slipway itself.

Owns: laying out the same service for each (dev/bench/traffic/), the one command that changes its image, and its images.
Does not own: load and figures (see `traffic_changes`). Each peer has images of its own, so that none finds layers that
another has pulled.
"""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from stack_harness import Stack, docker
from workload import DOCKERFILE, SERVER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stack_harness import Engine

    from dev.testhosts.server import TestHost

__all__ = ["TRAEFIK", "Peer", "Plain", "Scale", "SlipwayPeer", "Swarm", "pushed_versions", "routed_stack"]

TRAEFIK = "traefik:v3.7.13"
_FILES = Path(__file__).parent / "traffic"
_LIVE = re.compile(r" shift .* live (\d+\.\d+) s$", re.MULTILINE)
_SECONDS = 180


def pushed_versions(registry: str, folder: Path, names: Sequence[str]) -> dict[str, str]:
    """The server of the host tests, pushed once for each name, which it answers as its version: name → reference."""
    found = {}
    for name in names:
        source = folder / name
        source.mkdir(parents=True)
        (source / "app.py").write_bytes(SERVER.read_bytes())
        (source / "mark").write_text(f"{name} {time.time_ns()}\n")  # a layer that no host has
        (source / "Dockerfile").write_text(f"{DOCKERFILE}ENV VERSION={name}\n")
        tag = f"{registry}/slipway-bench-traffic/server:{name}-{time.time_ns()}"
        subprocess.run(
            ["docker", "build", "--quiet", "--tag", tag, source], check=True, capture_output=True, timeout=300
        )
        docker("push", "--quiet", tag)
        digests = docker("image", "inspect", "--format", '{{join .RepoDigests " "}}', tag).split()
        found[name] = next(each for each in digests if each.startswith(f"{registry}/slipway-bench-traffic/server@"))
        docker("image", "rm", "--force", tag)
    return found


@dataclasses.dataclass(frozen=True)
class Done:
    """A change: when its command began and ended (seconds of the epoch), and what else it told."""

    began: float
    ended: float
    shift_live: float | None = None
    """Seconds from writing the route until it was seen live, where somebody measures that."""


class Peer:
    """One way to change a service's image on one host."""

    name: ClassVar[str]
    port: ClassVar[int]
    file: ClassVar[str] = ""
    scripts: ClassVar[tuple[str, ...]] = ()
    verifies_first: ClassVar[bool] = True
    """Whether the new release was proven healthy before it got requests; else it is when the command has ended."""
    host_name: ClassVar[str] = ""

    def __init__(self, host: TestHost) -> None:
        self.host = host
        self.url = f"http://{host.address}:{self.port}/"
        self._folder = f"traffic-{self.name}"
        host.run(f"mkdir -p {self._folder}")
        if self.file:
            self._put("compose.yaml", (_FILES / self.file).read_text())
        for script in self.scripts:
            self._put(script, (_FILES / script).read_text())

    def change(self, image: str) -> Done:
        """Make `image` live with the peer's own command, from this machine; raises when it fails."""
        began = time.time()
        self.host.run(self._command(image), seconds=_SECONDS)
        return Done(began, time.time())

    def start(self, image: str) -> None:
        """The first deployment, not measured."""
        self.change(image)

    def remove(self) -> None:
        """End what it runs on the host."""
        self.host.run(f"{self._enter('none')} && docker compose down --volumes --timeout 1", seconds=60)

    def _command(self, image: str) -> str:
        raise NotImplementedError

    def _enter(self, image: str) -> str:
        return f"cd {self._folder} && export IMAGE={image} TRAEFIK={TRAEFIK}"

    def _put(self, name: str, text: str) -> None:
        self.host.run(f"cat > {self._folder}/{name}", stdin=text)


class Plain(Peer):
    """`docker compose pull && docker compose up --detach --wait` over SSH."""

    name, port, file, verifies_first = "compose", 8301, "plain.yaml", False

    def _command(self, image: str) -> str:
        return f"{self._enter(image)} && docker compose pull --quiet && docker compose up --detach --wait"


class Scale(Peer):
    """docker-rollout's way behind Traefik with label discovery."""

    name, port, file, scripts = "scale", 8302, "scale.yaml", ("scale.sh",)

    def start(self, image: str) -> None:
        """The first deployment, with Traefik."""
        self.host.run(f"{self._enter(image)} && docker compose up --detach --wait", seconds=_SECONDS)

    def _command(self, image: str) -> str:
        return f"{self._enter(image)} && sh scale.sh"


class Swarm(Peer):
    """`docker stack deploy` on a swarm of one node, `order: start-first`."""

    name, port, file, scripts = "swarm", 8303, "swarm.yaml", ("swarm-routes.yaml",)

    def start(self, image: str) -> None:
        """Make a swarm of the host, and the first deployment."""
        self.host.run(f"docker swarm init --advertise-addr {self.host.address}", seconds=60)
        self.change(image)

    def _command(self, image: str) -> str:
        deploy = "docker stack deploy --detach=false --with-registry-auth --compose-file compose.yaml traffic"
        return f"{self._enter(image)} && {deploy}"

    def remove(self) -> None:
        """End the swarm, and all that it runs with it."""
        self.host.run("docker swarm leave --force", seconds=60)


class _Routed:
    """The application of slipway.yaml, as `Stack` wants it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        (folder / "compose.yaml").write_text((_FILES / "slipway.yaml").read_text())
        self.folder = folder


def routed_stack(hosts: Sequence[TestHost], engine: Engine, folder: Path) -> Stack:
    """A stack of the service of slipway.yaml on these hosts; its variable IMAGE says which release."""
    return Stack(
        engine,
        folder,
        _Routed(folder / "app"),  # type: ignore[arg-type]  # has the folder, which is all that is asked of it
        hosts=[
            {"name": host.name, "address": host.address, "user": host.user, "hostKey": host.host_key} for host in hosts
        ],
        variables={"IMAGE": "", "CRASH_AFTER": "", "MONITOR": "0s"},
        sshKeyFile=str(hosts[0].key_file),
        httpPort=SlipwayPeer.port,
        httpsPort=8443,
    )


class SlipwayPeer(Peer):
    """`pulumi up --skip-preview`, Pulumi's own time included; `back` is the same with the image of before."""

    name, port, host_name = "slipway", 80, "shop.test"

    def __init__(self, host: TestHost, engine: Engine, folder: Path) -> None:
        super().__init__(host)
        self.stack = routed_stack([host], engine, folder)

    def change(self, image: str) -> Done:
        """One `pulumi up --skip-preview`."""
        self.stack.variables["IMAGE"] = image
        began = time.time()
        run = self.stack.up()
        ended = time.time()
        shifts = [float(found) for found in _LIVE.findall(run.text)]
        return Done(began, ended, max(shifts) if shifts else None)

    def leave_a_bad_release(self) -> float:
        """Deploy a release that crashes after it began to serve.

        Returns: seconds from the agent's decision to leave it until all requests went to the one before, as the agent
            recorded them.
        """
        self.stack.variables |= {"CRASH_AFTER": "3", "MONITOR": "10s"}
        try:
            self.stack.up(expect_failure=True)
        finally:
            self.stack.variables |= {"CRASH_AFTER": "", "MONITOR": "0s"}
        ledger = f"/home/{self.host.user}/.local/share/slipway/stacks/{self.stack.project}/ledger.jsonl"
        last = json.loads(self.host.run(f"tail -n 1 {ledger}"))
        return float(last["back_seconds"])

    def remove(self) -> None:
        """`pulumi destroy`."""
        self.stack.destroy()
        self.stack.remove()
