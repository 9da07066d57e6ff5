"""A machine of its own for every test: empty home and cache, and only the programs that the test puts on PATH."""

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
