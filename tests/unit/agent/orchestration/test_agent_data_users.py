"""Two never start on the same data: not at once, not while images are fetched, not by the watch on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from simulation import KILLED, Simulation
from test_agent_failures import stand_in
from test_agent_move import UNLESS_STOPPED, Before, command, deploy, shop
from test_agent_move_between_stacks import DATA, RULES, Stacks

if TYPE_CHECKING:
    from pathlib import Path


def folder(path: object) -> dict[str, Any]:
    return {"volumes": [{"type": "bind", "source": str(path), "target": "/data"}]}


def users(stack: Simulation, path: object) -> list[str]:
    every = stack.host.engine.containers.values()
    return sorted(each.name for each in every if each.running and str(path) in str(each.mounts))


def stop(stack: Simulation, service: str) -> None:
    for each in stack.containers(service):
        each.host["RestartPolicy"] = UNLESS_STOPPED
        stack.host.engine.handle("POST", f"/containers/{each.id}/stop", b"{}")


@pytest.mark.parametrize("seconds", [0.0, 20.0])
def test_of_two_first_deployments_at_once_one_gets_the_data(stack: Simulation, tmp_path: Path, seconds: float) -> None:
    other = Simulation(stack.host, "other")
    for image in stack.world.registry.values():
        image.pull_seconds = seconds
    begun = [each.begin(each.shop(db_service=folder(tmp_path))) for each in (stack, other)]
    codes = [ended().code for _, ended in begun]
    assert sorted(codes) == [0, 1]
    assert len(users(stack, tmp_path)) == 1


def test_the_watch_does_not_go_back_to_data_that_somebody_else_has_by_now(stack: Simulation, tmp_path: Path) -> None:
    assert stack.deploy(stack.shop(db_service=folder(tmp_path))).code == 0
    crashes = {"api_environment": {"MODE": "crash", "AFTER": "30"}, "api_service": {"restart": "always"}}
    assert stack.deploy(stack.shop("2", "2", **crashes), watch=RULES).code == 0
    stack.later(5)
    name, before = stand_in(stack, "blog", str(tmp_path)), stack.ids()
    stack.later(110)
    assert users(stack, tmp_path) == [name]
    assert f"the rollback failed: the folder {tmp_path} is used by {name}" in stack.probe()["watch"]["reason"]
    assert stack.ids() == before, "what serves is left alone"


def test_a_watch_that_was_refused_the_data_has_no_deployment_take_it(stack: Simulation, tmp_path: Path) -> None:
    for version in ("1", "2"):
        wanted = stack.shop(version, version, db_service=folder(tmp_path))
        assert stack.deploy(wanted, watch=RULES).code == 0
    stop(stack, "db")
    name = stand_in(stack, "blog", str(tmp_path))
    stack.later(110)
    assert f"is used by {name}" in stack.probe()["watch"]["reason"]
    for version in ("2", "3"):
        ended = stack.deploy(stack.shop(version, version, db_service=folder(tmp_path)))
        assert f"is used by {name}" in ended.error
    assert users(stack, tmp_path) == [name]


def test_the_watch_starts_no_stopped_database_on_data_that_another_stack_has_adopted(stack: Simulation) -> None:
    stacks = Stacks(stack)
    stop(stacks.one, "db")
    adopted = {"name": DATA, "external": True, "x-adopted": True}
    assert stacks.two.deploy(stacks._release(stacks.two, adopted, "1")).code == 0
    stacks.one.later(60)
    assert stacks.seen == 1


def test_a_watch_that_meets_a_deployment_looks_again_afterwards(
    stack: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert stack.deploy(stack.shop("1")).code == 0
    crashes = {"api_environment": {"MODE": "crash", "AFTER": "6"}, "api_service": {"restart": "always"}}
    assert stack.deploy(stack.shop("2", **crashes), watch=RULES, options={"lock_wait": 5}).code == 0
    with monkeypatch.context() as patch:
        patch.setattr("slipway.agent.watch.watch.is_held", lambda _: False)  # it began an instant after the look
        stack.later(8)
        _, ended = stack.begin(stack.shop("3", db="3", db_environment={"MODE": "never"}), options={"deadline": 40})
        stack.later(25)
    assert ended().code == 1
    stack.later(60)
    assert stack.outcomes()[-2:] == ["rejected", "returned"]


def test_after_a_move_the_old_project_at_rest_keeps_nobody_off_its_folder(stack: Simulation, tmp_path: Path) -> None:
    Before(stack, str(tmp_path))
    assert deploy(stack, shop(stack, data=str(tmp_path))).code == 0
    stop(stack, "db")
    assert deploy(stack, shop(stack, data=str(tmp_path))).code == 0
    assert users(stack, tmp_path) == ["shop-db-1"]


@pytest.mark.parametrize("again", ["same", "previous", "bad"])
def test_killed_while_it_replaces_a_stack_gets_back_the_data_that_it_shared_before(
    stack: Simulation, tmp_path: Path, again: str
) -> None:
    def release(version: str, **more: Any) -> dict[str, Any]:
        return stack.shop(version, version, db_service=folder(tmp_path), **more)

    assert stack.deploy(release("1")).code == 0
    live = release("2")
    assert stack.deploy(live).code == 0
    name = stand_in(stack, "blog", str(tmp_path))
    for number in range(4):  # changes of Docker, from the first container that is made to where the old one is gone
        wanted = release(f"killed-{number}")
        assert stack.deploy(wanted, kill_at=number).code == KILLED
        never = release(f"bad-{number}", db_environment={"MODE": "never"})
        ended = stack.deploy({"same": wanted, "previous": live, "bad": never}[again])
        assert ended.code == (1 if again == "bad" else 0), (number, ended.err)
        live = wanted if again == "same" else live
        assert users(stack, tmp_path) == [name, "shop-db-1"], number


@pytest.mark.parametrize("path", ["/mnt", "/srv", "/opt", "/home"])
def test_a_whole_disk_is_the_data_of_one(stack: Simulation, path: str) -> None:
    name = stand_in(stack, "blog", path)
    assert f"the folder {path} is used by {name}" in stack.deploy(stack.shop(db_service=folder(path))).error


def test_what_is_started_by_hand_after_an_undo_is_named(stack: Simulation, tmp_path: Path) -> None:
    Before(stack, str(tmp_path))
    assert deploy(stack, shop(stack, data=str(tmp_path))).code == 0
    assert command(stack, "undo").code == 0
    assert "too" not in str(stack.probe()["drift"])
    stack.host.engine.handle("POST", f"/containers/{stack.containers('db')[0].id}/start", b"{}")
    said = [each["what"] for each in stack.probe()["drift"] if each["service"] == "db"]
    fix = "docker update --restart no shop-db-1 && docker stop shop-db-1"
    assert said == [f"old-db-1 works on its data ({tmp_path}), too; to end that, on the host: {fix}"]


def test_what_is_started_by_hand_in_the_middle_of_a_move_is_named(stack: Simulation, tmp_path: Path) -> None:
    before = Before(stack, str(tmp_path))
    assert deploy(stack, shop(stack, data=str(tmp_path)), kill="start:db:finished").code != 0
    assert "too" not in str(stack.probe()["drift"])
    before._ask("POST", f"/containers/{before.ids['db']}/start")
    assert f"old-db-1 works on its data ({tmp_path}), too" in str(stack.probe()["drift"])
