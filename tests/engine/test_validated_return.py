"""A failed deployment goes on to the release validated last: the packed agent against this machine's real Docker.

All other cases of it are in tests/unit/agent/orchestration.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from agent_harness import BASE, PORT, REGISTRY, Agent, Ended, docker, image, pack, release, service

from slipway.compose.schema_check import checked

HTTP = {"kind": "http", "port": PORT, "deadline": 3, "path": "/health"}


def usable() -> bool:
    """An engine here, and the registry with the base image."""
    if shutil.which("docker") is None:
        return False
    try:
        with socket.create_connection(("127.0.0.1", int(REGISTRY.partition(":")[2])), 2):
            pass
    except OSError:
        return False
    return subprocess.run(["docker", "image", "inspect", BASE], capture_output=True, check=False).returncode == 0


pytestmark = [
    pytest.mark.skipif(not usable(), reason="needs a Docker engine, the local registry and the base image in it"),
    pytest.mark.timeout(300),
]

Build = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def archive() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield pack(Path(folder, "agent.pyz"))


@pytest.fixture(scope="module")
def images() -> dict[str, str]:
    return {version: image(version) for version in ("1", "2", "3")}


@pytest.fixture
def agent(archive: Path, tmp_path: Path) -> Iterator[Agent]:
    found = Agent(archive, tmp_path / "home", f"val{uuid.uuid4().hex[:8]}")
    yield found
    remove(found)


def remove(agent: Agent) -> None:
    for process in agent.processes:
        process.kill()
        process.wait()
    for identifier in [each for every in agent.containers().values() for each in every]:
        docker("rm", "-f", identifier, check=False)
    for network in agent.networks():
        docker("network", "rm", network, check=False)


@pytest.fixture
def shop(agent: Agent, images: dict[str, str]) -> Build:
    """A release of `db`, which stays the same, and `api` in that version."""

    def build(api: str, **more: Any) -> dict[str, Any]:
        needs = {"depends_on": {"db": {"condition": "service_healthy"}}}
        own = {"db": service(images["1"]), "api": service(images[api], **needs, **more.pop("api_service", {}))}
        return release(agent.stack, own, **more)

    return build


def broken(shop: Build) -> dict[str, Any]:
    return shop("3", api_service={"environment": {"MODE": "exit"}})


def validate(agent: Agent, identifier: str) -> Ended:
    return agent.run("mark", "--stack", agent.stack, "--release", identifier, "--as", "validated", stdin="by a test")


def outcomes(agent: Agent) -> list[tuple[str, str]]:
    lines = (agent.folder / "ledger.jsonl").read_text().splitlines()
    return [(line["outcome"], line["release"]) for line in map(json.loads, lines)]


@pytest.fixture
def chain(agent: Agent, shop: Build) -> tuple[dict[str, Any], dict[str, Any]]:
    """A, validated, and B, which took its place and is not."""
    a, b = shop("1"), shop("2")
    assert agent.deploy(a).code == 0
    assert validate(agent, a["id"]).document["changed"] is True
    assert agent.deploy(b).code == 0
    return a, b


def test_failed_update_ends_on_the_release_validated_last(
    agent: Agent, shop: Build, chain: tuple[dict[str, Any], ...]
) -> None:
    a, b = chain
    db = agent.containers()["db"]
    ended = agent.deploy(broken(shop))
    assert "service api did not become healthy" in ended.error
    assert f"rolled back to release {a['id']}, the last validated one, which serves" in ended.error
    assert f"(release {b['id']}, live before, is not validated)" in ended.error
    assert agent.versions() == {"api": "1", "db": "1"}
    assert agent.containers()["db"] == db, "what did not differ was touched"
    probe = agent.probe()
    checked("probe", probe)
    assert (probe["live"]["release"], probe["validated"]) == (a["id"], a["id"])
    assert (probe["drift"], probe["interrupted"], probe["convergence"]) == ([], None, "")
    assert probe["last"]["outcome"] == "failed"
    assert ("rejected", b["id"]) not in outcomes(agent), "it is only unproven by tests"
    assert outcomes(agent)[-2] == ("returned", a["id"])
    # What served in between came back first: it was there, so it took the shortest time.
    assert ended.err.index(f"back {b['id']}") < ended.err.index(f"back on to {a['id']}")
    assert agent.deploy(a).document["outcome"] in ("unchanged", "repaired")


@pytest.mark.parametrize("moment", ["recreate:api finished"])
def test_killed_on_the_way_to_the_validated_release_the_next_run_gets_there(
    agent: Agent, shop: Build, chain: tuple[dict[str, Any], ...], moment: str
) -> None:
    a, b = chain
    after = f"validated:{moment.replace(' ', ':')}"
    killed = agent.deploy(broken(shop), environment={"SLIPWAY_TEST_KILL_AFTER": after})
    assert killed.code == -signal.SIGKILL, killed.err
    probe = agent.probe()
    assert probe["interrupted"] == f"{broken(shop)['id']} at validated:{moment}"
    assert probe["live"]["release"] == b["id"], "it is not recorded before it is proven"
    again = agent.deploy(broken(shop))
    assert f"rolled back to release {a['id']}, the last validated one, which serves" in again.error
    probe = agent.probe()
    assert (probe["live"]["release"], probe["drift"], probe["interrupted"]) == (a["id"], [], None)
    assert {name: len(each) for name, each in agent.containers().items()} == {"api": 1, "db": 1}
    assert agent.deploy(b).code == 0
    assert agent.versions()["api"] == "2"
