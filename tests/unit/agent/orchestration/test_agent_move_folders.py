"""A project is taken over from its folder, by whatever path Compose was run there; each project from its own."""

# ruff: noqa: F811  # a fixture of another module

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from simulation import KILLED
from test_agent_move import ALWAYS, UNLESS_STOPPED, VOLUME, Before, before, command, deploy, shop  # noqa: F401

from slipway.agent.state.lock import lock

if TYPE_CHECKING:
    from simulation import Simulation

FOLDER = "com.docker.compose.project.working_dir"
MOUNT = {"Type": "volume", "Source": VOLUME, "Target": "/data"}


def _in(before: Before, folder: object) -> None:
    for name in before.ids:
        before.container(name).config["Labels"] |= {FOLDER: str(folder)}


@pytest.mark.parametrize("anew", ["db", "more"])
def test_what_is_made_through_a_link_in_the_middle_of_a_move_is_stopped(
    stack: Simulation, before: Before, tmp_path: Path, anew: str
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "old")
    _in(before, tmp_path / "old")
    image = before.container("web").config["Image"]
    _, ended = stack.begin(shop(stack, environment={"MODE": "slow"}), move_from=["old"])
    while not stack.containers("web"):
        stack.later(0.1)
    if anew in before.ids:
        before._ask("DELETE", f"/containers/{before.ids[anew]}?force=true")
    before.ids[anew] = before._run(anew, image, UNLESS_STOPPED, Mounts=[MOUNT])
    before.container(anew).config["Labels"] |= {FOLDER: str(tmp_path / "link")}
    assert f"old-{anew}-1 of old was started during the move" in str(ended().report["warnings"])
    assert not before.container(anew).running
    before._ask("POST", f"/containers/{before.ids[anew]}/start")
    assert f"old-{anew}-1 of old runs" in command(stack, "finish").error


def test_a_project_that_is_added_to_a_move_that_was_cut_off_is_taken_over_from_its_own_folder(
    stack: Simulation, before: Before
) -> None:
    _in(before, "/srv/old")
    made = before._run("cache", before.container("web").config["Image"], ALWAYS, project="second")
    cache = before.host.engine.containers[made]
    cache.config["Labels"] |= {FOLDER: "/srv/second"}
    assert deploy(stack, shop(stack), kill="start:db:finished").code == KILLED
    assert stack.deploy(shop(stack), move_from=["old", "second"]).code == 0
    assert not cache.running
    assert command(stack, "undo").code == 0
    assert cache.running


def test_an_old_project_that_went_to_another_folder_after_an_undo_is_taken_over_there(
    stack: Simulation, before: Before
) -> None:
    _in(before, "/srv/old")
    assert deploy(stack, shop(stack)).code == 0
    assert command(stack, "undo").code == 0
    _in(before, "/opt/old")
    assert deploy(stack, shop(stack)).code == 0
    before.stopped()


def test_another_container_of_a_project_whose_containers_are_named_is_no_stranger_to_its_data(
    stack: Simulation, before: Before, tmp_path: Path
) -> None:
    _in(before, tmp_path)
    names = ["old-db-1", "old-web-1", "old-worker-1", "old-traefik-1"]
    data = tmp_path / "data"
    data.mkdir()
    mount = {"Type": "bind", "Source": str(data), "Target": "/data"}
    before._ask("DELETE", f"/containers/{before.ids['db']}?force=true")
    image = before.container("web").config["Image"]
    before.ids["db"] = before._run("db", image, UNLESS_STOPPED, Mounts=[mount])
    _in(before, tmp_path)
    assert stack.deploy(shop(stack, data=str(data)), move_from=names).code == 0
    more = before._run("more", image, UNLESS_STOPPED, Mounts=[mount])
    before.host.engine.containers[more].config["Labels"] |= {FOLDER: str(tmp_path)}
    assert "old-more-1 works on its data" in str(stack.probe()["drift"])
    assert "docker stop old-more-1" in command(stack, "finish").error
    before._ask("POST", f"/containers/{more}/stop")
    assert command(stack, "finish").report["state"] == "finished"


def test_a_stack_that_ran_before_the_move_of_another_project_says_so(stack: Simulation, before: Before) -> None:
    assert deploy(stack, shop(stack)).code == 0
    assert command(stack, "finish").report["alone"]
    before._run("cache", before.container("web").config["Image"], ALWAYS, project="second")
    assert stack.deploy(shop(stack), move_from=["old", "second"]).code == 0
    assert command(stack, "show").report["alone"] is False


def test_the_folder_of_a_trial_is_not_taken_into_production(stack: Simulation, before: Before, tmp_path: Path) -> None:
    old, trial = tmp_path / "old", tmp_path / "trial"
    for each in (old, trial):
        each.mkdir()
        (each / "PG_VERSION").write_text("17")
    before._ask("DELETE", f"/containers/{before.ids['db']}?force=true")
    mount = {"Type": "bind", "Source": str(old), "Target": "/data"}
    before.ids["db"] = before._run("db", before.container("web").config["Image"], UNLESS_STOPPED, Mounts=[mount])
    own = {"type": "bind", "source": str(trial), "target": "/data"}
    assert stack.deploy(stack.release({"db": stack.service(volumes=[own])}, {"db": {"strategy": "recreate"}})).code == 0
    ended = stack.deploy(shop(stack, "2", data=str(trial)), move_from=["old"])
    assert "db would start without the data of old-db-1" in ended.error
    assert before.container("db").running
    assert command(stack, "show").report["state"] == ""
    for each in stack.containers("db"):
        before._ask("DELETE", f"/containers/{each.id}?force=true")
    for _ in range(2):  # also again, after an undo
        assert stack.deploy(shop(stack, "2", data=str(trial)), move_from=["old"]).code == 0
        assert command(stack, "undo").code == 0


def test_what_is_made_anew_while_images_are_fetched_keeps_its_successor_not_off_the_data(
    stack: Simulation, tmp_path: Path
) -> None:
    before = Before(stack, str(tmp_path))
    wanted = shop(stack, data=str(tmp_path))
    for image in stack.world.registry.values():
        image.pull_seconds = 5.0
    _, ended = stack.begin(wanted, move_from=["old"])
    stack.later(2)
    before._ask("DELETE", f"/containers/{before.ids['db']}?force=true")
    mount = {"Type": "bind", "Source": str(tmp_path), "Target": "/data"}
    before.ids["db"] = before._run("db", before.container("web").config["Image"], UNLESS_STOPPED, Mounts=[mount])
    done = ended()
    assert done.code == 0, done.err
    before.stopped()


def test_a_move_waits_for_another_stack_that_starts_for_longer_than_a_minute(stack: Simulation, before: Before) -> None:
    with lock(str(stack.host.home / "moves.lock"), owner="other", reason="start of db", wait=0):
        _, ended = stack.begin(shop(stack), move_from=["old"])
        stack.later(90)
        before.untouched()
    assert ended().code == 0


def as_former_version_noted(stack: Simulation) -> None:
    path = Path(stack.folder.path) / "move.json"
    noted = json.loads(path.read_text())
    del noted["proofs"]
    for each in noted["containers"]:
        del each["project"]
    path.write_text(json.dumps(noted))


def test_what_a_former_version_noted_of_folders_still_tells_projects_apart(
    stack: Simulation, before: Before, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    _in(before, tmp_path / "link")
    assert deploy(stack, shop(stack)).code == 0
    as_former_version_noted(stack)
    made = before._run("another", before.container("web").config["Image"], ALWAYS)
    another = before.host.engine.containers[made]
    another.config["Labels"] |= {FOLDER: "/srv/another"}
    assert "another" not in str(command(stack, "show").report["containers"])
    assert command(stack, "finish").report["state"] == "finished"
    assert another.running


def test_a_move_that_a_former_version_was_cut_off_in_is_given_back(stack: Simulation, before: Before) -> None:
    job = stack.release({"job": stack.service()})
    assert stack.deploy(job).code == 0
    assert deploy(stack, shop(stack), kill="start:db:finished").code == KILLED
    as_former_version_noted(stack)
    assert deploy(stack, shop(stack, "2", environment={"MODE": "exit"})).code == 1
    before.as_before()
