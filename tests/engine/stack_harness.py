"""Stacks of the real program, run by the real engine, for tests of the engine and of hosts.

Owns: a copy of the program to run from, a backend and an agent's home per stack, the outcome of every run, and removing
whatever a stack left behind. Does not own: applications (see `applications`), the engine (toolchain), hosts over SSH.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from containers import Container, docker, remove_images
from local_servers import free_port
from stack_run import Run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from applications import Application

__all__ = ["Container", "Engine", "Run", "Said", "Stack", "docker", "eventually", "free_port"]

ROOT = Path(__file__).parents[2]
UP_SECONDS = 240  # for one run of the engine on a busy machine
PROJECT_LABEL = "com.docker.compose.project"
LOCAL_HOST = {"name": "local", "address": "local"}
_NUMBERS = itertools.count(1)
# What a stack must find for itself: the login, the stack and the settings of whoever runs the tests stay outside.
# So does what keeps Python from keeping bytecode: each run of the engine would compile the program again.
_FOREIGN = re.compile(
    r"PYTHONDONTWRITEBYTECODE$|SLIPWAY_|GITHUB_|PULUMI_(?!HOME$|PYTHON_CMD$|CREDENTIALS_PATH$|SKIP_|DISABLE_)"
)
_MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.index.v1",
        "oci.image.manifest.v1",
        "docker.distribution.manifest.list.v2",
        "docker.distribution.manifest.v2",
    )
)


def eventually(condition: Callable[[], Any], seconds: float = 15.0) -> Any:
    """Wait until `condition` is true; its value."""
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, "did not happen in time"
        time.sleep(0.1)
    return value


class Said(NamedTuple):
    """What a command of `slipway` said."""

    code: int
    out: str
    errors: str
    seconds: float

    @property
    def text(self) -> str:
        """All of it."""
        return self.out + self.errors


@dataclasses.dataclass(frozen=True, kw_only=True)
class Engine:
    """What every stack of a test session shares."""

    environment: dict[str, str]
    """The whole environment in which `pulumi` and `docker` work."""
    registry: str
    """HOST:PORT of a registry without TLS or login."""
    mirror: str
    """HOST:PORT of the registry that has the third-party images; empty where Docker Hub answers."""
    program: Path
    """A copy of the program's sources, so that edits made meanwhile change no running test."""

    @classmethod
    def prepare(cls, folder: Path, *, machine: Mapping[str, str], registry: str, mirror: str) -> Engine:
        """Copy the program into `folder`; `machine` is what the toolchain adds to the environment."""
        for name in ("components", "slipway"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for name in ("__main__.py", "Pulumi.yaml"):
            shutil.copy(ROOT / name, folder)
        own = {name: value for name, value in os.environ.items() if not _FOREIGN.match(name)}
        given = {**own, **machine, "PULUMI_DEBUG_COMMANDS": "true", "PULUMI_CONFIG_PASSPHRASE": "test"}
        return cls(environment=given, registry=registry, mirror=mirror, program=folder)


class Stack:
    """One stack of the program with an application, in a folder of its own."""

    def __init__(
        self,
        engine: Engine,
        folder: Path,
        application: Application,
        *,
        name: str = "",
        hosts: Sequence[Mapping[str, Any]] = (LOCAL_HOST,),
        secrets: Mapping[str, str] | None = None,
        variables: Mapping[str, str] | None = None,
        backend: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> None:
        """`backend` is the environment of one of its own; a folder's when None."""
        self.backend = {"PULUMI_BACKEND_URL": f"file://{folder / 'state'}"} if backend is None else dict(backend)
        self.engine, self.folder, self.application = engine, folder, application
        self.name = name or f"t{os.getpid()}-{next(_NUMBERS)}"
        compose = yaml.safe_load((application.folder / "compose.yaml").read_text())
        self.project = f"{compose['name']}-{self.name}"  # the Compose project on the hosts
        self.port = free_port()
        self.home = folder / "home"
        self.registry_password = ""
        self.secrets = {"TOKEN": "a-token-of-the-tests", **(secrets or {})}
        self.variables = {"PORT": str(self.port), **(variables or {})}
        self.settings: dict[str, Any] = {
            "application": os.path.relpath(application.folder, folder),
            "registry": f"{engine.registry}/{self.name}",
            "hosts": [dict(host) for host in hosts],
            "healthDeadline": 20,
            "deadline": 90,
            **({"mirror": engine.mirror} if engine.mirror else {}),
            **settings,
        }
        self._started: list[subprocess.Popen[str]] = []
        self._others: list[Stack] = []
        self._lay_out()
        self._configure()
        self.pulumi("stack", "init")

    def beside(self, **settings: Any) -> Stack:
        """Another stack of the same program, application and backend."""
        other = Stack(self.engine, self.folder, self.application, backend=self.backend, **settings)
        self._others.append(other)
        return other

    @property
    def environment(self) -> dict[str, str]:
        return {
            **self.engine.environment,
            **self.backend,
            "SLIPWAY_HOME": str(self.home),
            "SLIPWAY_SECRETS": json.dumps(self.secrets),
            **({"SLIPWAY_REGISTRY_PASSWORD": self.registry_password} if self.registry_password else {}),
        }

    @property
    def state_folder(self) -> Path:
        """Where the agent keeps this stack."""
        return self.home / "stacks" / self.project

    # --- running the engine

    def start(self, *argv: str, events: Path | None = None, **environment: str) -> subprocess.Popen[str]:
        """Start the engine in a process group of its own, its output to be read from the process."""
        self._configure()
        more = ["--event-log", str(events)] if events else []
        process = subprocess.Popen(
            ["pulumi", *argv, "--stack", self.name, "--non-interactive", "--color", "never", *more],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self._started.append(process)
        return process

    def run(self, *argv: str, expect_failure: bool | None = False, **environment: str) -> Run:
        """Run the engine to its end; `expect_failure=None` takes either."""
        events = self.folder / f"events-{next(_NUMBERS)}.json"
        begun = time.monotonic()
        process = self.start(*argv, events=events, **environment)
        try:
            text, _ = process.communicate(timeout=UP_SECONDS)
        finally:
            process.kill()
        lines = events.read_text().splitlines() if events.exists() else []
        found = [json.loads(line) for line in lines if line.endswith("}")]
        run = Run(code=process.returncode, text=text, events=found, seconds=time.monotonic() - begun)
        assert "Traceback" not in text, text
        if expect_failure is not None:
            assert (run.code != 0) == expect_failure, f"pulumi {argv[0]} exited {run.code}:\n{text}"
        return run

    def up(self, *argv: str, expect_failure: bool | None = False, **environment: str) -> Run:
        return self.run("up", "--yes", "--skip-preview", *argv, expect_failure=expect_failure, **environment)

    def preview(self, *argv: str, expect_failure: bool | None = False, **environment: str) -> Run:
        return self.run("preview", *argv, expect_failure=expect_failure, **environment)

    def destroy(self, *argv: str, expect_failure: bool | None = False) -> Run:
        return self.run("destroy", "--yes", "--skip-preview", *argv, expect_failure=expect_failure)

    def history(self) -> list[dict[str, Any]]:
        """The stack's updates, newest first."""
        updates: list[dict[str, Any]] = json.loads(self.pulumi("stack", "history", "--json"))
        return updates

    @property
    def outputs(self) -> dict[str, Any]:
        outputs: dict[str, Any] = json.loads(self.pulumi("stack", "output", "--json", "--show-secrets"))
        return outputs

    def pulumi(self, *argv: str, stdin: str = "") -> str:
        """The standard output of another `pulumi` command on this stack."""
        done = subprocess.run(
            ["pulumi", *argv, "--stack", self.name],
            cwd=self.folder,
            env=self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=UP_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"pulumi {' '.join(argv)}: {done.stderr}"
        return done.stdout

    def slipway(self, *argv: str, expect: int | None = 0, stdin: str = "", **environment: str) -> Said:
        """Run a command of `slipway` on this stack, as in a CI job: nobody to ask, no terminal."""
        self._configure()
        begun = time.monotonic()
        done = subprocess.run(
            [str(Path(sys.executable).parent / "slipway"), *argv],
            cwd=self.folder,
            env={**self.environment, "PULUMI_STACK": self.name, **environment},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=UP_SECONDS,
            check=False,
        )
        said = Said(done.returncode, done.stdout, done.stderr, time.monotonic() - begun)
        assert "Traceback" not in said.text, said.text
        assert expect is None or said.code == expect, f"slipway {' '.join(argv)} exited {said.code}:\n{said.text}"
        return said

    # --- what is on the host (this machine)

    def every_container(self) -> list[Container]:
        """All containers of the stack in any state, also those that are only there during a deployment."""
        identifiers = docker("ps", "--all", "--quiet", "--no-trunc", "--filter", self._mine).split()
        # one that goes in between is no error: `inspect` prints the others
        documents = json.loads(docker("inspect", *identifiers, check=False) or "[]") if identifiers else []
        return [Container(document) for document in documents]

    def containers(self) -> dict[str, Container]:
        """Service → its container, in any state; one too many, such as a migration's, fails the test."""
        found = self.every_container()
        services = [each.service for each in found]
        assert len(services) == len(set(services)), f"a service has several containers: {services}"
        return {each.service: each for each in found}

    def ids(self) -> dict[str, str]:
        """Service → the id of its container."""
        return {service: container.id for service, container in self.containers().items()}

    def networks(self) -> list[str]:
        return docker("network", "ls", "--quiet", "--filter", self._mine).split()

    def volumes(self) -> list[str]:
        return docker("volume", "ls", "--quiet", "--filter", self._mine).split()

    @property
    def _mine(self) -> str:
        return f"label={PROJECT_LABEL}={self.project}"

    def host_state(self) -> dict[str, Any]:
        """Everything about this stack on the host: two equal ones mean that nothing was changed in between."""
        files = {
            str(path.relative_to(self.home)): [
                oct(path.lstat().st_mode),
                path.lstat().st_mtime_ns,
                hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "",
            ]
            for path in sorted(self.home.rglob("*"))
            if "__pycache__" not in path.parts  # what Python keeps for itself
        }
        containers = {
            name: [each.id, each.document["State"]["Status"], each.document["State"]["StartedAt"]]
            for name, each in self.containers().items()
        }
        return {"files": files, "containers": containers, "networks": self.networks(), "volumes": self.volumes()}

    def ledger(self) -> list[dict[str, Any]]:
        """What the agent recorded, oldest first."""
        file = self.state_folder / "ledger.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    def get(self, path: str = "/") -> dict[str, Any]:
        """What the application answers on its published port."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            body: dict[str, Any] = json.loads(answer.read())
        finally:
            connection.close()
        assert answer.status == http.HTTPStatus.OK, f"{path} answered {answer.status}: {body}"
        return body

    def serves(self, version: str) -> bool:
        """Whether the application answers on its port with this version."""
        try:
            return bool(self.get()["version"] == version)
        except (OSError, http.client.HTTPException, ValueError):
            return False

    # --- the registry

    def tags(self, image: str) -> dict[str, str]:
        """Tag → digest of one of the application's images in the registry."""
        _, body = self._ask("GET", f"/v2/{self.name}/{image}/tags/list")
        tags = json.loads(body).get("tags") or []
        found = {tag: self._ask("HEAD", f"/v2/{self.name}/{image}/manifests/{tag}") for tag in tags}
        return {tag: headers.get("Docker-Content-Digest", "") for tag, (headers, _) in sorted(found.items())}

    def image_configuration(self, image: str) -> str:
        """The configuration (a JSON text) of an image that this stack pushed for one platform."""
        _, body = self._ask("GET", f"/v2/{self.name}/{image}/manifests/{self.name}")
        _, configuration = self._ask("GET", f"/v2/{self.name}/{image}/blobs/{json.loads(body)['config']['digest']}")
        return configuration.decode()

    def take_manifest(self, repository: str, digest: str) -> tuple[str, bytes]:
        """Delete a manifest from the registry; what `put_manifest` needs to bring it back."""
        headers, body = self._ask("GET", f"/v2/{repository}/manifests/{digest}")
        self._ask("DELETE", f"/v2/{repository}/manifests/{digest}")
        return str(headers["Content-Type"]), body

    def put_manifest(self, repository: str, digest: str, manifest: tuple[str, bytes]) -> None:
        """Have a manifest in the registry again."""
        kind, body = manifest
        self._ask("PUT", f"/v2/{repository}/manifests/{digest}", body=body, kind=kind)

    def _ask(
        self, method: str, path: str, *, body: bytes | None = None, kind: str = ""
    ) -> tuple[http.client.HTTPMessage, bytes]:
        connection = http.client.HTTPConnection(self.engine.registry, timeout=10)
        try:
            headers = {"Accept": _MANIFESTS, **({"Content-Type": kind} if kind else {})}
            connection.request(method, path, body=body, headers=headers)
            answer = connection.getresponse()
            return answer.headers, answer.read()
        finally:
            connection.close()

    # --- the folder, and the end

    def _lay_out(self) -> None:
        """A project folder that is the program: its own Pulumi.yaml and stack files, the rest linked to the copy."""
        if self.home.exists():
            return  # another stack of the same program
        (self.folder / "state").mkdir(parents=True)
        self.home.mkdir()
        for name in ("__main__.py", "Pulumi.yaml"):
            shutil.copy(self.engine.program / name, self.folder)
        for name in ("components", "slipway"):
            (self.folder / name).symlink_to(self.engine.program / name)
        (self.folder / ".venv").symlink_to(sys.prefix)  # Pulumi.yaml names it so

    def _configure(self) -> None:
        """Write the settings into the stack file, beside what was encrypted into it."""
        file = self.folder / f"Pulumi.{self.name}.yaml"
        before = (yaml.safe_load(file.read_text()) if file.exists() else None) or {}
        encrypted = {key: value for key, value in (before.get("config") or {}).items() if "secure" in json.dumps(value)}
        plain = {f"slipway:{key}": value for key, value in {**self.settings, "variables": self.variables}.items()}
        content: dict[str, Any] = {"config": {**plain, **encrypted}}
        if before.get("encryptionsalt"):
            content["encryptionsalt"] = before["encryptionsalt"]
        partial = file.with_suffix(".partial")
        partial.write_text(yaml.safe_dump(content))
        partial.rename(file)

    def remove(self) -> None:
        """Remove everything that this stack made on this machine, whatever state it is in."""
        for other in self._others:
            other.remove()
        for process in self._started:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait(timeout=30)
        for kind, force in (("container", ["--force", "--volumes"]), ("network", []), ("volume", ["--force"])):
            every = ["--all"] if kind == "container" else []
            found = docker(kind, "ls", "--quiet", *every, "--filter", self._mine, check=False).split()
            if found:
                docker(kind, "rm", *force, *found, check=False)
        remove_images(f"{self.engine.registry}/{self.name}/")
        shutil.rmtree(self.folder, ignore_errors=True)
