"""Real things for tests of the engine: Pulumi itself, SSH servers, registries and stacks."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from applications import Application, shop
from local_servers import BCRYPT, Registry, SshServer, serving_registry, serving_ssh
from pulumi_project import STACK, UP_SECONDS, Project
from stack_harness import Stack

from dev.toolchain.pulumi import ensure_plugin, ensure_pulumi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stack_harness import Engine


@pytest.fixture(scope="session")
def pulumi_env() -> dict[str, str]:
    """The whole environment in which `pulumi` works, free of the login and the stack of whoever runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "SSH_"))}
    return {**kept, **ensure_pulumi(), "PULUMI_CONFIG_PASSPHRASE": "test", "PULUMI_DEBUG_COMMANDS": "true"}


@pytest.fixture(scope="session")
def hcloud_plugin() -> None:
    """The provider plugin of Hetzner; a test asks for it beside what runs the engine."""
    ensure_plugin("hcloud")


@pytest.fixture
def project(tmp_path: Path, pulumi_env: dict[str, str]) -> Iterator[Project]:
    state = tmp_path / "state"
    state.mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: contract\nruntime: python\n")
    project = Project(tmp_path, {**pulumi_env, "PULUMI_BACKEND_URL": f"file://{state}"})
    argv = ["pulumi", "stack", "init", STACK]
    subprocess.run(argv, cwd=tmp_path, env=project.env, capture_output=True, timeout=UP_SECONDS, check=True)
    return project


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with serving_ssh(tmp_path_factory.mktemp("sshd"), ["ed25519"]) as server:
        yield server


@pytest.fixture(scope="session")
def bastion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    """Another server, with the three host keys that Debian makes."""
    with serving_ssh(tmp_path_factory.mktemp("bastion"), ["ecdsa", "rsa", "ed25519"]) as server:
        yield server


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with serving_registry(tmp_path_factory.mktemp("registry")) as server:
        yield server


@pytest.fixture(scope="session")
def private_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Registry, str]]:
    """A registry that wants a login, and the digest of its image app:1."""
    folder = tmp_path_factory.mktemp("private-registry")
    with serving_registry(folder) as server:
        digest = server.push("app", "1")
    with serving_registry(folder, ("deployer", "correct-horse"), BCRYPT) as server:
        yield server, digest


@pytest.fixture(scope="module")
def made_stacks() -> Iterator[list[Stack]]:
    """The stacks of this module that are there; what they leave on this machine goes, also after a failure."""
    made: list[Stack] = []
    yield made
    _remove(made)


@pytest.fixture(scope="module")
def make_stack(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory, made_stacks: list[Stack]
) -> Callable[..., Stack]:
    """Makes stacks. A fixture's stay until the end of the module, a test's own until the end of the test."""

    def make(application: Callable[[Path], Application] = shop, **settings: object) -> Stack:
        folder = tmp_path_factory.mktemp("stack")
        made_stacks.append(Stack(engine, folder, application(folder / "app"), **settings))
        return made_stacks[-1]

    return make


@pytest.fixture(autouse=True)
def _own_stacks_end_with_their_test(request: pytest.FixtureRequest) -> Iterator[None]:
    """Their probes of health would go on beside all tests after it."""
    if "make_stack" not in request.fixturenames:
        yield
        return
    made: list[Stack] = request.getfixturevalue("made_stacks")
    shared = len(made)
    yield
    own = made[shared:]
    del made[shared:]
    _remove(own)


def _remove(stacks: list[Stack]) -> None:
    for stack in stacks:
        stack.remove()
