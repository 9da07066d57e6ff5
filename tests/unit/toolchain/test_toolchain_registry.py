"""One registry on the machine, shared by clones, removed by the one that made it once nobody needs it."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dev.toolchain import registry
from dev.toolchain.process import ToolchainError
from dev.toolchain.registry import CONTAINER, ensure_registry, remove_registry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import FakeDocker

CLONE = str(registry._CLONE)
MADE_BY = registry._MAKER_LABEL


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/v2/" else 404)
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    """Where a registry answers, whether or not there is a container."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture(autouse=True)
def ports(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_FIRST_PORT", port - 2)
    monkeypatch.setattr(registry, "_PORTS_TRIED", 4)


@pytest.fixture
def engine(docker: FakeDocker, port: int) -> FakeDocker:
    """An engine with the image of a registry, on a machine whose first two ports are taken."""
    docker.image("registry:2")
    for taken in (port - 2, port - 1):
        docker.put(f"busy/{taken}")
    return docker


# --- making


def test_running_registry_is_used(engine: FakeDocker, port: int) -> None:
    engine.container(CONTAINER, "registry:2", port=port)
    assert ensure_registry() == f"127.0.0.1:{port}"
    assert len(engine.calls) == 1


def test_first_free_port_is_taken_and_remembered(engine: FakeDocker, port: int, cache: Path) -> None:
    assert ensure_registry() == f"127.0.0.1:{port}"
    tried = [call.split("--publish ")[1].split()[0] for call in engine.called("run")]
    assert tried == [f"127.0.0.1:{number}:5000" for number in (port - 2, port - 1, port)]
    assert (cache / "registry.port").read_text() == str(port)
    assert engine.has(f"volumes/{CONTAINER}")


def test_registry_listens_on_loopback_and_is_never_pulled_by_run(engine: FakeDocker) -> None:
    ensure_registry()
    for call in engine.called("run"):
        assert "--publish 127.0.0.1:" in call
        assert "--pull never" in call


def test_remembered_port_is_tried_first(engine: FakeDocker, port: int, cache: Path) -> None:
    (cache / "registry.port").write_text(f"{port}\n")
    ensure_registry()
    assert len(engine.called("run")) == 1


def test_broken_memory_of_the_port_does_not_matter(engine: FakeDocker, port: int, cache: Path) -> None:
    (cache / "registry.port").write_text("")
    assert ensure_registry() == f"127.0.0.1:{port}"
    assert len(engine.called("run")) == 3


def test_no_free_port_is_an_error_that_leaves_no_container(engine: FakeDocker, port: int) -> None:
    for taken in (port, port + 1):
        engine.put(f"busy/{taken}")
    with pytest.raises(ToolchainError, match=f"no port from {port - 2} to {port + 1} is free"):
        ensure_registry()
    assert not engine.has(f"containers/{CONTAINER}")


def test_stopped_registry_is_started(engine: FakeDocker, port: int) -> None:
    engine.container(CONTAINER, "registry:2", running=False, port=port)
    assert ensure_registry() == f"127.0.0.1:{port}"
    assert engine.called("start")
    assert not engine.called("run")


def test_registry_that_cannot_start_is_made_again_with_what_it_holds(engine: FakeDocker, port: int) -> None:
    engine.container(CONTAINER, "registry:2", running=False, port=port - 1)
    engine.put("stuck")
    assert ensure_registry() == f"127.0.0.1:{port}"
    assert not engine.called("volume rm")


def test_registry_that_another_user_made_meanwhile_is_used(engine: FakeDocker, port: int) -> None:
    engine.put("raced", str(port))
    assert ensure_registry() == f"127.0.0.1:{port}"
    assert not engine.called("rm")


# --- removing


def test_registry_goes_with_the_clone_that_made_it(engine: FakeDocker, cache: Path) -> None:
    ensure_registry()
    remove_registry()
    assert not engine.has(f"containers/{CONTAINER}")
    assert not engine.has(f"volumes/{CONTAINER}")
    assert not (cache / "registry.port").exists()
    remove_registry()


def test_nothing_is_removed_where_there_is_nothing(engine: FakeDocker) -> None:
    remove_registry()
    assert not engine.called("rm")
    assert not engine.called("volume rm")


def test_registry_of_another_clone_stays(
    engine: FakeDocker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clone/dev/toolchain").mkdir(parents=True)
    engine.container(CONTAINER, "registry:2", port=5050)
    engine.put(f"volumes/{CONTAINER}", f'{{"{MADE_BY}": "{tmp_path}/clone"}}')
    remove_registry()
    assert engine.has(f"containers/{CONTAINER}")
    assert engine.has(f"volumes/{CONTAINER}")
    assert f"{tmp_path}/clone made it" in capsys.readouterr().err


def test_registry_that_this_clone_only_used_keeps_its_maker(engine: FakeDocker, tmp_path: Path) -> None:
    (tmp_path / "clone/dev/toolchain").mkdir(parents=True)
    engine.put(f"volumes/{CONTAINER}", f'{{"{MADE_BY}": "{tmp_path}/clone"}}')
    ensure_registry()
    remove_registry()
    assert engine.has(f"containers/{CONTAINER}")


@pytest.mark.parametrize("labels", [f'{{"{MADE_BY}": "/deleted/clone"}}', "null"], ids=["deleted clone", "unknown"])
def test_registry_that_nobody_claims_goes(engine: FakeDocker, labels: str) -> None:
    engine.container(CONTAINER, "registry:2", port=5050)
    engine.put(f"volumes/{CONTAINER}", labels)
    remove_registry()
    assert not engine.has(f"containers/{CONTAINER}")


def test_registry_stays_while_containers_run_images_from_it(
    engine: FakeDocker, port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    ensure_registry()
    engine.container("other-local-api-1", f"127.0.0.1:{port}/other-api:local@sha256:{'0' * 64}")
    engine.container("unrelated", "postgres:17-trixie")
    remove_registry()
    assert engine.has(f"containers/{CONTAINER}")
    assert "kept the registry" in (told := capsys.readouterr().err)
    assert "other-local-api-1" in told
    assert "unrelated" not in told
    (engine.folder / "containers/other-local-api-1").unlink()
    remove_registry()
    assert not engine.has(f"containers/{CONTAINER}")


def test_clone_of_another_user_counts_as_existing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(Path, "is_dir", refuse)
    assert registry._stands("/root/clone")
