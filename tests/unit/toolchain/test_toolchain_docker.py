"""An engine that answers is used as it is; what is missing is told with the command that fixes it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from dev.toolchain import docker as toolchain_docker
from dev.toolchain.docker import ensure_docker, find_docker
from dev.toolchain.process import ToolchainError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import FakeDocker

OLD_PLUGINS = '"26.1.5"\n[{"Name": "compose", "Version": "2.19.9"}, {"Name": "buildx", "Version": "v0.29.1"}]\n'
DENIED = 'echo "permission denied while trying to connect to the Docker daemon socket" >&2; exit 1'


@pytest.fixture
def as_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def test_engine_and_plugins_that_are_there_cost_one_command(docker: FakeDocker) -> None:
    assert ensure_docker() == {}
    assert find_docker() == {}
    assert len(docker.called("info")) == 2
    assert not any(docker.called(word) for word in ("run", "image", "container"))


@pytest.mark.usefixtures("machine")
def test_looking_for_an_engine_installs_and_starts_nothing() -> None:
    assert find_docker() is None


def test_engine_that_is_down_is_none(docker: FakeDocker) -> None:
    docker.put("down")
    assert find_docker() is None
    assert len(docker.called("info")) == 1


def test_rootless_engine_is_found(
    machine: Path, program: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugins = '[{"Name":"compose","Version":"2.40.3"},{"Name":"buildx","Version":"0.29.1"}]'
    program("docker", f"""[ -n "$DOCKER_HOST" ] || {{ {DENIED}; }}\nprintf '"28.0"\\n{plugins}\\n'""")
    (machine / "docker.sock").touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(machine))
    assert ensure_docker() == {"DOCKER_HOST": f"unix://{machine}/docker.sock"}
    assert find_docker() == {"DOCKER_HOST": f"unix://{machine}/docker.sock"}


def test_user_outside_the_group_docker_is_told_so(program: Callable[[str, str], Path]) -> None:
    program("docker", DENIED)
    with pytest.raises(ToolchainError, match="usermod -aG docker"):
        ensure_docker()


def test_engine_that_docker_host_names_is_never_replaced(docker: FakeDocker, monkeypatch: pytest.MonkeyPatch) -> None:
    docker.put("down")
    monkeypatch.setenv("DOCKER_HOST", "tcp://engine.example:2376")
    with pytest.raises(ToolchainError, match="unset DOCKER_HOST"):
        ensure_docker()


@pytest.mark.usefixtures("as_user")
def test_user_without_an_engine_is_told_what_root_must_do(docker: FakeDocker, machine: Path) -> None:
    docker.put("down")
    daemon = machine / "bin/dockerd"
    daemon.write_text("#!/bin/sh\n")
    daemon.chmod(0o755)
    with pytest.raises(ToolchainError, match=r"installed but not running .* sudo systemctl start docker"):
        ensure_docker()


@pytest.mark.usefixtures("machine", "as_user")
def test_user_without_docker_is_told_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain_docker, "_system_path", lambda: os.environ["PATH"])
    with pytest.raises(ToolchainError, match=r"sudo apt-get install docker.io"):
        ensure_docker()


@pytest.mark.usefixtures("as_user")
def test_user_gets_a_missing_plugin_into_the_own_folder(
    docker: FakeDocker, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.put("info", OLD_PLUGINS)

    def fetch(_: str, target: Path, *, checksums: str) -> Path:
        assert checksums.startswith("https://github.com/docker/compose/releases/")
        target.write_text("#!/bin/sh\n")
        docker.put("info", OLD_PLUGINS.replace("2.19.9", "2.40.3"))
        return target

    monkeypatch.setattr(toolchain_docker, "fetch", fetch)
    assert ensure_docker() == {}
    plugin = machine / "home/.docker/cli-plugins/docker-compose"
    assert os.access(plugin, os.X_OK)
    assert [file.name for file in plugin.parent.iterdir()] == ["docker-compose"]


@pytest.mark.usefixtures("as_user")
def test_plugin_that_docker_prefers_though_it_is_old_is_told(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(_: str, target: Path, **__: str) -> Path:
        target.touch()
        return target

    docker.put("info", OLD_PLUGINS)
    monkeypatch.setattr(toolchain_docker, "fetch", fetch)
    with pytest.raises(ToolchainError, match=r"does not see compose — .* remove that one"):
        ensure_docker()
