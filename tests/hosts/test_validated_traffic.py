"""No request is lost while a failed update goes on to the validated release: packed agent, Docker and Traefik here."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

import pytest
from agent_harness import docker, eventually, pack
from routed_agent import RoutedAgent
from traffic import Load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workload import Images

RATE = 200
REQUESTS = 1500


@pytest.fixture
def agent(images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RoutedAgent]:
    archive = pack(tmp_path_factory.mktemp("agent") / "agent.pyz")
    made = RoutedAgent(archive, tmp_path_factory.mktemp("home"), f"v{uuid.uuid4().hex[:8]}", images.one)
    yield made
    for process in made.processes:
        process.kill()
    ended = made.destroy()
    left = [*made.containers().values(), *made.networks(), *made.edge_containers()]
    for each in left:
        docker("rm", "-f", *each, check=False)
    assert ended.code == 0, ended.err
    assert not left


@pytest.mark.parametrize(
    ("strategy", "keep"), [("rolling", 0), ("blue-green", 8)], ids=["rolling", "blue-green with a kept generation"]
)
def test_failed_update_goes_on_to_the_validated_release_without_a_lost_request(
    agent: RoutedAgent, strategy: str, keep: int
) -> None:
    how = {"strategy": strategy, "keep": keep}
    first = agent.up("validated", **how).document["release"]
    words = ("mark", "--stack", agent.stack, "--release", first, "--as", "validated")
    assert agent.run(*words).document["changed"] is True
    assert agent.up("between", **how).code == 0
    kept_until = time.monotonic() + keep
    eventually(lambda: agent.ask() == (200, "between"), 5)
    limits = {"limit_seconds": 300, "limit_requests": 100_000}
    with Load(agent.url, rate=RATE, long=2, long_seconds=2, websockets=2, **limits) as load:  # type: ignore[arg-type]
        load.until(RATE // 2)
        ended = agent.up("bad", environment={"SMOKE_FAILS": "1"}, options={"health_deadline": 20}, **how)
        load.until(max(REQUESTS, load.sent() + RATE))
    result = load.result()
    assert f"rolled back to release {first}, the last validated one, which serves" in ended.error
    assert result.failed == 0, result.describe()
    assert {"validated", "between"} <= set(result.versions) <= {"validated", "between"}, result.describe()
    assert {agent.ask()[1] for _ in range(10)} == {"validated"}
    assert len(agent.containers()["web"]) == 1, "what was between is gone"
    # The generation that was kept for the release between is the live one now: its time must not end it.
    time.sleep(max(0.0, kept_until - time.monotonic()) + 3)
    assert agent.ask() == (200, "validated")
    assert agent.probe()["drift"] == []
