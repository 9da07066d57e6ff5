"""Servers on this machine for tests: SSH and registries, each process ended by its own id."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import hashlib
import http.client
import json
import os
import secrets
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dev.toolchain.process import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["BCRYPT", "Registry", "SshServer", "free_port", "free_ports", "serving_registry", "serving_ssh"]

START_SECONDS = 20
# bcrypt of "correct-horse", cost 5: Python has no bcrypt of its own
BCRYPT = "$2y$05$v7trVOOhPWygOe0lzLnNP.bsDNX4MoDWU2e8QqEr3vIejpLrqQH8y"


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


def free_ports(count: int) -> list[int]:
    """Ports on which nobody listens now, below those that the kernel gives to outgoing connections.

    A port that the kernel chose would soon belong to the connection of another test.
    """
    lowest = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    found: list[int] = []
    with contextlib.ExitStack() as held:
        while len(found) < count:
            port, probe = 10_000 + secrets.randbelow(lowest - 10_000), held.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                probe.bind(("", port))
                found.append(port)
    return found


def free_port() -> int:
    return free_ports(1)[0]


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
def serving_ssh(folder: Path, kinds: Sequence[str]) -> Iterator[SshServer]:
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
def serving_registry(folder: Path, login: tuple[str, str] | None = None, bcrypt: str = "") -> Iterator[Registry]:
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
