"""Two never start on the same data: not at once, not while images are fetched, not by the watch on its own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from simulation import KILLED, Simulation
from test_agent_failures import stand_in
from test_agent_move import UNLESS_STOPPED, Before, command, deploy, shop
from test_agent_move_between_stacks import DATA, RULES, Stacks

from slipway.agent.state.lock import lock
from slipway.contract.host_paths import moves_lock

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
    stack.later(1)
    for number in range(4):  # changes of Docker, from the first container that is made to where the old one is gone
        wanted = release(f"killed-{number}")
        assert stack.deploy(wanted, kill_at=number).code == KILLED
        never = release(f"bad-{number}", db_environment={"MODE": "never"})
        ended = stack.deploy({"same": wanted, "previous": live, "bad": never}[again])
        assert ended.code == (1 if again == "bad" else 0), (number, ended.err)
        live = wanted if again == "same" else live
        assert users(stack, tmp_path) == [name, "shop-db-1"], number


# from while v2 is awaited until after v1 is back: its db begins to start 10 s after v2 does
@pytest.mark.parametrize("after", [3.0, *(9.6 + step / 80 for step in range(12)), 10.5])
def test_of_a_rollback_and_another_stack_one_gets_the_data(stack: Simulation, tmp_path: Path, after: float) -> None:
    assert stack.deploy(stack.shop("1", "1", db_service=folder(tmp_path))).code == 0
    other, wanted = Simulation(stack.host, "other"), stack.shop("2", "2", api_environment={"MODE": "never"})
    most = 0

    def look(_: str) -> None:
        nonlocal most
        most = max(most, len(users(stack, tmp_path)))

    stack.host.engine.mutating = look
    _, ended = stack.begin(wanted)
    stack.later(after)
    _, others = other.begin(other.shop(db_service=folder(tmp_path)))
    first, second = ended(), others()
    assert most == 1
    assert first.code == 1, "the api of v2 is never healthy"
    assert stack.versions()["api"] == ["1"]
    said = f", but for db: the folder {tmp_path} is used by other-db-1 of other (docker stop other-db-1)"
    assert (said in first.error) == (second.code == 0)
    assert users(stack, tmp_path) == ["shop-db-1" if second.code else "other-db-1"]
    if not second.code:
        stop(other, "db")  # as it says
        assert stack.deploy(stack.shop("1", "1", db_service=folder(tmp_path))).code == 0
        assert other.deploy(other.shop("2", "2", db_service=folder(tmp_path))).code == 1
        assert users(stack, tmp_path) == ["shop-db-1"]


@pytest.mark.parametrize("kills", [1, 2])
@pytest.mark.parametrize("at", ["recreate:db:finished", "await:db:finished"])
def test_after_a_kill_nothing_goes_back_to_data_that_somebody_else_took_meanwhile(
    stack: Simulation, tmp_path: Path, at: str, kills: int
) -> None:
    assert stack.deploy(stack.shop("1", "1", db_service=folder(tmp_path))).code == 0
    assert stack.deploy(stack.shop("2", "2"), kill=at).code == KILLED
    stack.later(1)
    other = Simulation(stack.host, "other")
    assert other.deploy(other.shop(db_service=folder(tmp_path))).code == 0
    for number in range(1, kills):
        assert stack.deploy(stack.shop("2", f"2-{number}"), kill=at).code == KILLED
    again = stack.deploy(stack.shop("3", "3", db_service=folder(tmp_path)))
    assert "is used by other-db-1 of other" in again.error
    assert "but for db" in again.error
    assert users(stack, tmp_path) == ["other-db-1"]
    assert stack.versions()["api"] == ["1"]
    assert (
        " is as it was (db: shop-db-1 was replaced)"
        in stack.deploy(stack.shop("3", "3", db_service=folder(tmp_path))).error
    )


def test_a_database_that_ended_starts_again_beside_whoever_was_there_before(stack: Simulation, tmp_path: Path) -> None:
    wanted = stack.shop("1", "1", db_service=folder(tmp_path))
    assert stack.deploy(wanted).code == 0
    guest = stand_in(stack, "backup", str(tmp_path))
    for version in ("1", "2"):  # as it is, and with a change at once
        stop(stack, "db")
        assert stack.deploy(stack.shop(version, version, db_service=folder(tmp_path))).code == 0
        assert users(stack, tmp_path) == [guest, "shop-db-1"]
    stop(stack, "db")
    late = stand_in(stack, "late", str(tmp_path))
    refused = stack.deploy(stack.shop("2", "2", db_service=folder(tmp_path)))
    assert refused.error.endswith(f"— docker stop {late}"), "another folder would be an empty one"
    assert "is as it was (db: shop-db-1 is exited (exit code 0))" in refused.error
    assert users(stack, tmp_path) == [guest, late]
    (found,) = (each for each in stack.host.engine.containers.values() if each.name == late)
    stack.host.engine.handle("POST", f"/containers/{found.id}/stop", b"{}")
    assert stack.deploy(stack.shop("2", "2", db_service=folder(tmp_path))).code == 0
    assert users(stack, tmp_path) == [guest, "shop-db-1"]


def engine_does(stack: Simulation, name: str, what: str) -> None:
    (found,) = (each for each in stack.host.engine.containers.values() if each.name == name)
    method, path = ("DELETE", "") if what == "remove" else ("POST", f"/{what}")
    stack.host.engine.handle(method, f"/containers/{found.id}{path}", b"{}")


@pytest.mark.parametrize("database", ["stop", "remove"])
@pytest.mark.parametrize("kill", ["", "recreate:db:started", "recreate:db:finished", "await:db:finished"])
@pytest.mark.parametrize("guests", ["restarted", "made anew"])
def test_a_boot_makes_nobody_a_new_user_who_worked_beside_the_stack(
    stack: Simulation, tmp_path: Path, database: str, kill: str, guests: str
) -> None:
    def release(version: str) -> dict[str, Any]:
        return stack.shop(version, version if kill else "1", db_service=folder(tmp_path))

    assert stack.deploy(release("1")).code == 0
    guest = stand_in(stack, "backup", str(tmp_path))
    assert stack.deploy(stack.shop("2", "1", db_service=folder(tmp_path))).code == 0
    if kill:
        assert stack.deploy(release("3"), kill=kill).code == KILLED
    stop(stack, "db")
    for each in stack.containers("db") if database == "remove" else ():
        engine_does(stack, each.name, database)
    engine_does(stack, guest, "stop")
    stack.later(5)
    if guests == "restarted":
        engine_does(stack, guest, "start")
    else:
        engine_does(stack, guest, "remove")
        stand_in(stack, "backup", str(tmp_path))
    assert stack.deploy(release("3")).code == 0
    assert users(stack, tmp_path) == [guest, "shop-db-1"]


def test_who_was_at_rest_while_the_stack_worked_is_a_new_user_until_it_worked_beside_it(
    stack: Simulation, tmp_path: Path
) -> None:
    assert stack.deploy(stack.shop("1", "1", db_service=folder(tmp_path))).code == 0
    guest = stand_in(stack, "blog", str(tmp_path), works=False)
    assert stack.deploy(stack.shop("2", "1", db_service=folder(tmp_path))).code == 0
    stop(stack, "db")
    stack.later(1)
    engine_does(stack, guest, "start")
    wanted = stack.shop("2", "1", db_service=folder(tmp_path))
    refused = stack.deploy(wanted)
    assert "(if both may, start it again afterwards)" in refused.error
    assert refused.error.endswith(f"— docker stop {guest}")
    for what in ("stop", "start"):  # as it says
        engine_does(stack, guest, what)
        stack.later(1)
        if what == "stop":
            assert stack.deploy(wanted).code == 0
    assert stack.deploy(wanted).code == 0, "which notes it"
    stop(stack, "db")
    for what in ("stop", "start"):
        engine_does(stack, guest, what)
        stack.later(1)
    assert stack.deploy(wanted).code == 0
    assert users(stack, tmp_path) == [guest, "shop-db-1"]


def test_a_wait_for_the_data_says_whose_it_is_and_ends_with_the_deployment(stack: Simulation, tmp_path: Path) -> None:
    assert stack.deploy(stack.shop("1", "1")).code == 0
    with lock(moves_lock(), owner="other", reason="start of db", wait=0):
        ended = stack.deploy(stack.shop("2", "2", db_service=folder(tmp_path)), options={"deadline": 60})
    assert f"another deployment holds the data of this host: other (pid {os.getpid()}) since" in ended.error
    assert f"where that hangs, `kill {os.getpid()}` has it go back" in ended.error
    assert ended.error.endswith("— run it again when that has ended"), "what is to be killed may be another team's"
    assert ended.seconds < 65
    assert stack.versions() == {"db": ["1"], "api": ["1"]}


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
