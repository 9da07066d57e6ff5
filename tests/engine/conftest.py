"""Real things for tests of the engine: Pulumi itself, SSH servers and registries; each process ended by its own id."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import hashlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from toolchain.process import run
from toolchain.pulumi import ensure_pulumi

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

START_SECONDS = 20
UP_SECONDS = 240  # for one run of the engine on a busy machine
STACK = "test"


# --- processes and packages


def _program(name: str, package: str) -> str:
    """The path of a program, its Debian package installed when it is missing."""
    where = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    if shutil.which(name, path=where) is None:
        quiet = {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
        wait = ["-o", "DPkg::Lock::Timeout=300"]
        run(["apt-get", *wait, "install", "--yes", "--no-install-recommends", package], env=quiet)
    found = shutil.which(name, path=where)
    assert found, f"{name} is not in the Debian package {package}"
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def _serving(argv: Sequence[str], port: int, log: Path) -> Iterator[None]:
    """Run a server until the block ends; it must answer on `port` within START_SECONDS."""
    with log.open("ab") as output, subprocess.Popen(argv, stdout=output, stderr=output) as server:
        try:
            deadline = time.monotonic() + START_SECONDS
            while True:
                assert server.poll() is None, f"{argv[0]} ended: {log.read_text()}"
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                assert time.monotonic() < deadline, f"{argv[0]} does not answer: {log.read_text()}"
                time.sleep(0.05)
            yield
        finally:
            server.terminate()


# --- the engine


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What one run of the engine did, from its event log."""

    code: int
    text: str
    events: list[dict[str, Any]]

    @property
    def steps(self) -> list[tuple[str, str]]:
        """(operation, resource name) in the order in which they were begun; the stack and providers are left out."""
        begun = [event["resourcePreEvent"]["metadata"] for event in self.events if "resourcePreEvent" in event]
        return [
            (step["op"], step["urn"].rsplit("::", 1)[1])
            for step in begun
            if not step["type"].startswith("pulumi:") and step["op"] != "read"
        ]

    @property
    def logged(self) -> str:
        """Everything shown for resources while they were at work, statuses that pass by included."""
        shown = [event["diagnosticEvent"] for event in self.events if "diagnosticEvent" in event]
        return "".join(message["message"] for message in shown if message["severity"] != "debug")

    @property
    def errors(self) -> str:
        shown = [event["diagnosticEvent"] for event in self.events if "diagnosticEvent" in event]
        return "".join(message["message"] for message in shown if message["severity"] == "error")


@dataclasses.dataclass(frozen=True)
class Project:
    """A Pulumi project in its own folder, state and all."""

    folder: Path
    env: dict[str, str]

    def write(self, program: str, **given: object) -> None:
        """Make `program` the project's, with `given` as its variable of that name."""
        (self.folder / "given.json").write_text(json.dumps(given))
        head = "import json\nimport pulumi\ngiven = json.load(open('given.json'))\n"
        (self.folder / "__main__.py").write_text(head + program)

    def command(self, *argv: str) -> list[str]:
        events = ["--event-log", str(self.folder / "events.json")]
        return ["pulumi", *argv, "--stack", STACK, "--non-interactive", "--color", "never", *events]

    def pulumi(self, *argv: str, fails: bool = False) -> Outcome:
        (self.folder / "events.json").unlink(missing_ok=True)
        done = subprocess.run(
            self.command(*argv),
            cwd=self.folder,
            env=self.env,
            capture_output=True,
            text=True,
            timeout=UP_SECONDS,
            check=False,
        )
        text = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, f"pulumi {argv[0]} exited {done.returncode}:\n{text}"
        return Outcome(done.returncode, text, self.events())

    def events(self) -> list[dict[str, Any]]:
        log = self.folder / "events.json"
        return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []

    def up(self, program: str, *, fails: bool = False, **given: object) -> Outcome:
        self.write(program, **given)
        return self.pulumi("up", "--yes", "--skip-preview", fails=fails)

    def preview(self, program: str, *, fails: bool = False, **given: object) -> Outcome:
        self.write(program, **given)
        return self.pulumi("preview", fails=fails)

    def destroy(self, *, fails: bool = False) -> Outcome:
        return self.pulumi("destroy", "--yes", "--skip-preview", fails=fails)

    @property
    def outputs(self) -> dict[str, Any]:
        argv = ["pulumi", "stack", "output", "--json", "--show-secrets", "--stack", STACK]
        done = subprocess.run(argv, cwd=self.folder, env=self.env, capture_output=True, timeout=UP_SECONDS, check=True)
        outputs: dict[str, Any] = json.loads(done.stdout)
        return outputs

    @property
    def state(self) -> str:
        """All that the backend holds, history included."""
        files = (self.folder / "state").rglob("*.json*")
        return "".join(file.read_text() for file in files if file.is_file())


@pytest.fixture(scope="session")
def pulumi_env() -> dict[str, str]:
    """The whole environment in which `pulumi` works, free of the login and the stack of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "SSH_"))}
    return {**kept, **ensure_pulumi(), "PULUMI_CONFIG_PASSPHRASE": "test", "PULUMI_DEBUG_COMMANDS": "true"}


@pytest.fixture
def project(tmp_path: Path, pulumi_env: dict[str, str]) -> Iterator[Project]:
    state = tmp_path / "state"
    state.mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: contract\nruntime: python\n")
    project = Project(tmp_path, {**pulumi_env, "PULUMI_BACKEND_URL": f"file://{state}"})
    argv = ["pulumi", "stack", "init", STACK]
    subprocess.run(argv, cwd=tmp_path, env=project.env, capture_output=True, timeout=UP_SECONDS, check=True)
    return project


# --- SSH servers


@dataclasses.dataclass(frozen=True)
class SshServer:
    """A running sshd with Debian's defaults where they matter, and how to log in to it."""

    port: int
    private_key: str
    host_keys: dict[str, str]
    """Public keys (`type base64`) by kind: ed25519, ecdsa, rsa."""
    log: Path

    def connection(self, **changed: object) -> dict[str, Any]:
        """Arguments of `ConnectionArgs` that work, with some changed; None leaves one out."""
        kind = next(iter(self.host_keys))
        arguments = {
            "host": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "private_key": self.private_key,
            "host_key": self.host_keys[kind],
            "dial_error_limit": 1,
            **changed,
        }
        return {name: value for name, value in arguments.items() if value is not None}


def _key(folder: Path, kind: str, name: str) -> Path:
    path = folder / name
    run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", str(path)])
    return path


@contextlib.contextmanager
def _sshd(folder: Path, kinds: Sequence[str]) -> Iterator[SshServer]:
    sshd = _program("sshd", "openssh-server")
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd refuses to start without it
    port = free_port()
    hosts = {kind: _key(folder, kind, f"host_{kind}") for kind in kinds}
    user = _key(folder, "ed25519", "user")
    config = folder / "sshd_config"
    lines = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        *(f"HostKey {path}" for path in hosts.values()),
        f"AuthorizedKeysFile {user}.pub",
        f"PidFile {folder}/pid",
        "StrictModes no",
        "UsePAM no",
        "PasswordAuthentication no",
        "PermitRootLogin prohibit-password",
        "LogLevel DEBUG1",
    ]
    config.write_text("\n".join(lines) + "\n")
    public = {kind: " ".join(Path(f"{path}.pub").read_text().split()[:2]) for kind, path in hosts.items()}
    log = folder / "log"
    with _serving([sshd, "-D", "-e", "-f", str(config)], port, log):
        yield SshServer(port, user.read_text(), public, log)


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with _sshd(tmp_path_factory.mktemp("sshd"), ["ed25519"]) as server:
        yield server


@pytest.fixture(scope="session")
def bastion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """Another server, with the three host keys that Debian makes."""
    with _sshd(tmp_path_factory.mktemp("bastion"), ["ecdsa", "rsa", "ed25519"]) as server:
        yield server


# --- registries


@dataclasses.dataclass(frozen=True)
class Registry:
    """A running registry without TLS; `login` is the (user, password) that it wants, if any."""

    port: int
    login: tuple[str, str] | None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def push(self, image: str, tag: str) -> str:
        """Put a small index with one platform there under `image`:`tag`; returns the index's digest."""
        config = self._blob(image, b'{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}')
        manifest = self._manifest(
            image,
            None,
            {"mediaType": "application/vnd.oci.image.manifest.v1+json", "config": config, "layers": []},
        )
        platform = {**manifest, "platform": {"architecture": "amd64", "os": "linux"}}
        index = {"mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [platform]}
        return str(self._manifest(image, tag, index)["digest"])

    def _blob(self, image: str, content: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        begun = self._request("POST", f"/v2/{image}/blobs/uploads/")
        upload = begun.headers["Location"].split(self.address)[-1]
        self._request("PUT", f"{upload}&digest={digest}", content)
        media_type = "application/vnd.oci.image.config.v1+json"
        return {"mediaType": media_type, "digest": digest, "size": len(content)}

    def _manifest(self, image: str, tag: str | None, document: dict[str, Any]) -> dict[str, Any]:
        content = json.dumps({"schemaVersion": 2, **document}).encode()
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self._request("PUT", f"/v2/{image}/manifests/{tag or digest}", content, document["mediaType"])
        return {"mediaType": document["mediaType"], "digest": digest, "size": len(content)}

    def _request(
        self, method: str, path: str, body: bytes = b"", media_type: str = "application/octet-stream"
    ) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request(method, path, body, {"Content-Type": media_type})
            answer = connection.getresponse()
            text = answer.read()
        assert answer.status in {201, 202}, f"{method} {path}: {answer.status} {text!r}"
        return answer


@contextlib.contextmanager
def _registry(folder: Path, login: tuple[str, str] | None = None, bcrypt: str = "") -> Iterator[Registry]:
    program = _program("docker-registry", "docker-registry")
    port = free_port()
    settings: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "images")}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    if login:
        (folder / "htpasswd").write_text(f"{login[0]}:{bcrypt}\n")
        settings["auth"] = {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}}
    config = folder / "config.yml"
    config.write_text(json.dumps(settings))  # JSON is YAML
    with _serving([program, "serve", str(config)], port, folder / "log"):
        yield Registry(port, login)


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with _registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture(scope="session")
def private_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, str]]:
    """A registry that wants a login, and the digest of its image app:1."""
    folder = tmp_path_factory.mktemp("private-registry")
    with _registry(folder) as server:
        digest = server.push("app", "1")
    # bcrypt of the password, cost 5: Python has no bcrypt of its own
    bcrypt = "$2y$05$v7trVOOhPWygOe0lzLnNP.bsDNX4MoDWU2e8QqEr3vIejpLrqQH8y"
    with _registry(folder, ("deployer", "correct-horse"), bcrypt) as server:
        yield server, digest
