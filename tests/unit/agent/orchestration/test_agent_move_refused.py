"""What Docker refuses to stop keeps nobody away but those that would write the same data."""

# ruff: noqa: F811  # a fixture of another module

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from test_agent_move import VOLUME, Before, before, command, deploy, shop  # noqa: F401  # fixtures

if TYPE_CHECKING:
    from simulation import Simulation

_REFUSAL = "tried to kill container, but did not receive an exit event"


def _never_stopped(stack: Simulation, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = stack.host.engine
    handle = engine.handle

    def refusing(method: str, target: str, body: bytes = b"") -> Any:
        ids = [each.id[:12] for each in engine.containers.values() if each.name == name]
        if any(f"/containers/{each}" in target and "/stop" in target for each in ids):
            return 500, json.dumps({"message": _REFUSAL}).encode()
        return handle(method, target, body)

    monkeypatch.setattr(engine, "handle", refusing)


def _running(stack: Simulation) -> set[str]:
    return {each.name for each in stack.host.engine.containers.values() if each.running}


_OLD = {"old-db-1", "old-worker-1", "old-web-1", "old-traefik-1"}


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize("name", ["old-db-1", "old-worker-1"])
def test_an_old_container_that_docker_does_not_stop_keeps_none_away(
    stack: Simulation, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _never_stopped(stack, name, monkeypatch)
    ended = deploy(stack, shop(stack))
    assert "the project old runs again as before" in ended.error
    assert _running(stack) == _OLD


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize(("name", "away"), [("shop-worker-1", set()), ("shop-db-1", {"old-db-1"})])
def test_what_docker_does_not_stop_of_the_stack_holds_back_who_has_its_data(
    stack: Simulation, monkeypatch: pytest.MonkeyPatch, name: str, away: set[str]
) -> None:
    assert deploy(stack, shop(stack)).code == 0
    with monkeypatch.context() as refusing:
        _never_stopped(stack, name, refusing)
        for _ in range(2):  # asked again, it does the same
            ended = command(stack, "undo")
            assert ended.code == 1
            assert all(word in ended.error for word in (_REFUSAL, "the project old runs again", "slipway move undo"))
            assert _running(stack) == _OLD - away | {name}
    assert command(stack, "undo").code == 0
    assert _running(stack) == _OLD


@pytest.mark.parametrize("seconds", [20.0, 500.0])
def test_a_backup_that_runs_while_a_move_fails_keeps_the_old_database_down_only_while_it_runs(
    stack: Simulation, before: Before, seconds: float
) -> None:
    mount = {"Type": "volume", "Source": VOLUME, "Target": "/data"}
    _, ended = stack.begin(shop(stack, environment={"MODE": "sick"}), move_from=["old"])
    while not stack.containers("web"):
        stack.later(0.1)
    made = before._run("backup", before.container("web").config["Image"], {"Name": "no"}, "cron", Mounts=[mount])
    at = stack.world.time.now + seconds
    stack.world.time.at(at, lambda: before._ask("POST", f"/containers/{made}/stop"))
    error = ended().error
    if seconds < 60:
        assert "the project old runs again as before" in error
    else:
        assert "old-db-1 does not run: cron-backup-1 works on its data" in error
        assert error.splitlines()[0].endswith("slipway move undo")
        stack.later(seconds)
        assert command(stack, "undo").code == 0
    assert _running(stack) == _OLD
