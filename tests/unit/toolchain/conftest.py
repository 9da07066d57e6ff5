"""A machine of its own for every test: empty home and cache, and only the programs that the test puts on PATH."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

_OTHERS = ("SLIPWAY_", "PULUMI_", "DOCKER_", "XDG_", "PIP_", "UV_", "VOLUMES", "http", "HTTP", "all_", "ALL_", "no_")


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that holds the machine: `home`, `cache` and `bin`, which is all of PATH."""
    for name in [name for name in os.environ if name.startswith(_OTHERS)]:
        monkeypatch.delenv(name)
    for folder in ("home", "cache", "bin"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path


@pytest.fixture
def cache(machine: Path) -> Path:
    """The project's folder in the machine's cache."""
    folder = machine / "cache" / "slipway"
    folder.mkdir()
    return folder


@pytest.fixture
def program(machine: Path) -> Callable[[str, str], Path]:
    """Puts a shell script on PATH that logs its arguments; the file with the log."""

    def put(name: str, script: str) -> Path:
        file, log = machine / "bin" / name, machine / f"{name}.log"
        file.write_text(f'#!/bin/sh\nPATH=/usr/bin:/bin\necho "$*" >>{log}\n{script}\n')
        file.chmod(0o755)
        log.touch()
        return log

    return put


@pytest.fixture
def blocked_servers(cache: Path) -> Callable[..., None]:
    """Makes servers be remembered as out of reach."""

    def block(*servers: str) -> None:
        for server in servers:
            (cache / "blocked").mkdir(exist_ok=True)
            (cache / "blocked" / server).write_text("blocked by a test\n")

    return block


class FakeDocker:
    """The folder that the fake Docker CLI works on (what lies where: fake_docker.sh), and its log."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.folder = folder
        self.log = log

    @property
    def calls(self) -> list[str]:
        return self.log.read_text().splitlines()

    def called(self, start: str) -> list[str]:
        return [call for call in self.calls if call.startswith(start)]

    def put(self, path: str, text: str = "") -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def container(self, name: str, image: str, *, running: bool = True, port: int = 0) -> None:
        bindings = {"5000/tcp": [{"HostPort": str(port)}]}
        document = {"State": {"Running": running}, "HostConfig": {"PortBindings": bindings}}
        self.put(f"containers/{name}", json.dumps(document) + "\n")
        self.put(f"containers/{name}.image", f"{image}\n")

    def image(self, tag: str, *, where: str = "images", digests: tuple[str, ...] = (), **labels: str) -> None:
        document = {"RepoTags": [tag], "RepoDigests": list(digests), "Config": {"Labels": labels or None}}
        self.put(f"{where}/{tag}", json.dumps(document) + "\n")

    def has(self, path: str) -> bool:
        return (self.folder / path).exists()


@pytest.fixture
def docker(machine: Path, program: Callable[[str, str], Path]) -> FakeDocker:
    """A Docker CLI on PATH, with an engine and new plugins, and nothing else on it."""
    folder = machine / "docker"
    script = Path(__file__).with_name("fake_docker.sh").read_text()
    fake = FakeDocker(folder, program("docker", f"FOLDER={folder}\n{script}"))
    for place in ("containers", "volumes", "images", "hub", "busy"):
        (folder / place).mkdir(parents=True)
    plugins = [{"Name": "compose", "Version": "2.26.1-4"}, {"Name": "buildx", "Version": "v0.29.1"}]
    fake.put("info", f'"26.1.5"\n{json.dumps(plugins)}\n')
    fake.put("volume-list")
    return fake
