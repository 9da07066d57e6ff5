"""What tests/unit/toolchain takes for granted of Docker when the machine's registry is made, shared and removed."""

from __future__ import annotations

import socket
import subprocess
import uuid
from typing import TYPE_CHECKING

import pytest

from dev.toolchain import registry
from dev.toolchain.process import run
from dev.toolchain.registry import ensure_registry, remove_registry
from dev.toolchain.stand_ins.images import ensure_registry_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def exists(kind: str, name: str) -> bool:
    return subprocess.run(["docker", kind, "inspect", name], capture_output=True, check=False).returncode == 0


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A registry of the test's own: another name, other ports, another cache."""
    image = ensure_registry_image()
    monkeypatch.setattr(registry, "ensure_registry_image", lambda: image)
    monkeypatch.setattr(registry, "CONTAINER", f"slipway-test-registry-{uuid.uuid4().hex[:8]}")
    monkeypatch.setattr(registry, "_FIRST_PORT", 15_050)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    yield registry.CONTAINER
    for argv in (["rm", "--force", registry.CONTAINER], ["volume", "rm", "--force", registry.CONTAINER]):
        subprocess.run(["docker", *argv], capture_output=True, check=False)


@pytest.fixture
def taken() -> Iterator[None]:
    """Something else listens on the first port."""
    with socket.create_server(("127.0.0.1", 15_050)):
        yield


@pytest.mark.usefixtures("taken")
def test_registry_is_made_beside_what_is_taken_and_goes_with_its_volume(name: str) -> None:
    address = ensure_registry()
    assert address != "127.0.0.1:15050"
    assert ensure_registry() == address
    assert registry._maker() == str(registry._CLONE)
    remove_registry()
    assert not exists("container", name)
    assert not exists("volume", name)


def test_second_maker_uses_the_registry_of_the_first(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    address = ensure_registry()
    first = run(["docker", "container", "inspect", "--format", "{{.Id}}", name])
    monkeypatch.setattr(registry, "_CLONE", "/another/clone")
    assert registry._create(int(address.rpartition(":")[2]) + 1, registry.ensure_registry_image())
    assert run(["docker", "container", "inspect", "--format", "{{.Id}}", name]) == first
    assert registry._maker() != "/another/clone"
    remove_registry()
    assert exists("container", name)


def test_registry_stays_while_a_container_was_made_from_it_even_if_the_tag_moved_on(name: str) -> None:
    image, tag = registry.ensure_registry_image(), f"{ensure_registry()}/library/used:1"
    run(["docker", "tag", image, tag])
    try:
        run(["docker", "create", "--name", f"{name}-user", tag])
        run(["docker", "rmi", tag])
        remove_registry()
        assert exists("container", name)
    finally:
        subprocess.run(["docker", "rm", "--force", f"{name}-user"], capture_output=True, check=False)
        subprocess.run(["docker", "rmi", tag], capture_output=True, check=False)
    remove_registry()
    assert not exists("container", name)
