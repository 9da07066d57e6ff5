"""What runs on a host is nobody's to replace but the Pulumi stack's that deployed it."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from simulation import Simulation

if TYPE_CHECKING:
    from pathlib import Path

    from simulation import Ended

A1, B2 = "a1" * 8, "b2" * 8


def deploy(stack: Simulation, owner: str, version: str = "1") -> Ended:
    return stack.deploy(stack.shop(version), owner=owner)


def run_printed(stack: Simulation, error: str) -> None:
    command = next(each for each in error.split("`") if each.startswith("rm "))
    subprocess.run(["sh", "-c", command], check=True, env={**os.environ, "SLIPWAY_HOME": str(stack.host.home)})


@pytest.mark.parametrize("interrupted", [False, True])
def test_another_repository_of_the_same_name_is_refused_before_anything_changes(
    stack: Simulation, *, interrupted: bool
) -> None:
    assert deploy(stack, "one/prod").code == 0
    if interrupted:
        stack.deploy(stack.shop("2"), owner="one/prod", kill="start:api:started")
    before, ledger = stack.ids(), stack.outcomes()
    refused = stack.plan(stack.shop("3"), owner="two/prod")["refused"][0]
    assert "deployed here by the Pulumi stack one/prod, and this one is two/prod" in refused["what"]
    assert refused["fix"] == "pulumi config set name app-new"
    ended = deploy(stack, "two/prod", "3")
    assert (ended.code, stack.ids(), stack.outcomes()) == (1, before, ledger)
    run_printed(stack, ended.error)
    assert deploy(stack, "two/prod", "3").code == 0
    assert deploy(stack, "one/prod").code == 1


def test_of_two_first_deployments_at_once_under_one_name_one_is_refused(stack: Simulation) -> None:
    begun = [stack.begin(stack.shop(owner[0]), owner=owner) for owner in ("1/prod", "2/prod")]
    assert sorted(ended().code for _, ended in begun) == [0, 1]


def test_a_deployment_that_cannot_note_whose_it_is_changes_nothing(
    stack: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    assert stack.deploy(stack.shop("1")).code == 0
    before = stack.ids()
    monkeypatch.setattr("slipway.agent.state.owner.write_atomically", full)
    assert (deploy(stack, "one/prod", "2").code, stack.ids()) == (1, before)


@pytest.mark.parametrize("at", ["start:db:finished", "start:api:finished", "record:finished", "prune:finished"])
def test_whose_a_stack_is_holds_from_its_first_change_on(stack: Simulation, at: str) -> None:
    assert stack.deploy(stack.shop("1"), owner="one/prod", kill=at).code != 0
    before = stack.ids()
    assert (deploy(stack, "two/prod", "2").code, stack.ids()) == (1, before)
    assert deploy(stack, "one/prod").code == 0


@pytest.mark.parametrize("later", [f"one/prod {B2}", f"renamed/prod {A1}", f"one/production {A1}"])
def test_a_stack_with_another_passphrase_or_a_renamed_project_is_the_same_one(stack: Simulation, later: str) -> None:
    assert deploy(stack, f"one/prod {A1}").code == 0
    assert deploy(stack, later, "2").code == 0
    assert stack.probe()["owner"] == later


def test_a_note_that_was_edited_by_hand_may_end_its_line(stack: Simulation) -> None:
    assert deploy(stack, "one/prod").code == 0
    file = stack.host.home / "stacks" / stack.stack / "owner"
    file.write_text(file.read_text() + "\n")
    assert deploy(stack, "one/prod", "2").code == 0


def test_another_user_of_the_host_is_told_who_deployed_what_runs(stack: Simulation, tmp_path: Path) -> None:
    folder = "com.docker.compose.project.working_dir"
    own = stack.host.home / "stacks" / stack.stack
    assert deploy(stack, "one/prod").code == 0
    assert stack.probe()["elsewhere"] is None

    def seen(place: Path) -> Any:
        (own / "ledger.jsonl").rename(own / "aside")
        for each in stack.containers():
            each.config["Labels"][folder] = str(place)
        stack.host.engine.changes += 1
        try:
            return stack.probe()["elsewhere"]
        finally:
            (own / "aside").rename(own / "ledger.jsonl")

    theirs = tmp_path / "other" / "stacks" / stack.stack
    assert seen(theirs) is None, "lost"
    theirs.mkdir(parents=True)
    assert seen(theirs) == {"user": getpass.getuser(), "folder": str(theirs)}
    assert stack.probe()["elsewhere"] == {"user": getpass.getuser(), "folder": str(theirs)}, "both have a record"
    assert deploy(stack, "one/prod", "2").code == 0
    assert {each.config["Labels"].get(folder) for each in stack.containers()} == {str(theirs), None}
    assert stack.probe()["elsewhere"] is None, "what came last is of this one"
    assert seen(own) is None


def test_two_stacks_of_one_pulumi_name_or_with_copies_of_one_stack_file_run_side_by_side(stack: Simulation) -> None:
    for number, second in enumerate(("one/prod", f"one/prod {A1}", f"one/prod {B2}", f"two/prod {A1}")):
        for version in ("1", "2"):
            assert deploy(stack, f"one/prod {A1}", version).code == 0
            assert deploy(Simulation(stack.host, f"blog-{number}"), second, version).code == 0


def test_what_an_older_slipway_deployed_is_the_first_ones_and_a_failed_first_deployment_is_nobodys(
    stack: Simulation,
) -> None:
    assert stack.deploy(stack.shop()).code == 0
    assert deploy(stack, "one/prod").code == 0
    assert deploy(stack, "two/prod").code == 1
    assert stack.deploy(stack.shop("2")).code == 0, "an older driver says nothing"
    other = Simulation(stack.host, "other")
    assert other.deploy(other.shop(db_environment={"MODE": "never"}), owner="three/prod").code == 1
    assert deploy(Simulation(stack.host, "third"), "three/prod").code == 0
    assert deploy(other, "four/prod").code == 0


@pytest.mark.parametrize(
    ("owner", "removed"),
    [("one/pr-1", False), ("two/pr-1", True), (f"copied/pr-1 {A1}", False), ("", False)],
)
def test_a_removal_leaves_what_another_stack_deployed_meanwhile(
    stack: Simulation, owner: str, *, removed: bool
) -> None:
    assert stack.deploy(stack.shop(db_environment={"MODE": "never"}), owner="one/pr-1").code == 1
    assert deploy(stack, f"two/pr-1 {A1}").code == 0
    before = stack.ids()
    ended = stack.destroy("data", owner=owner)
    assert (ended.code, stack.ids()) == (0, [] if removed else before)
    assert ("belongs to the Pulumi stack two/pr-1" in str(ended.report["warnings"])) is not removed


@pytest.mark.parametrize(("host", "removed"), [("other", False), ("one", True), ("", True)])
def test_a_removal_leaves_what_was_deployed_under_another_name_of_the_host(
    stack: Simulation, host: str, *, removed: bool
) -> None:
    """The engine deploys to a host's new name first, and then removes the old one."""
    assert deploy(stack, "one/prod").code == 0
    before = stack.ids()
    ended = stack.destroy(host=host)
    assert (ended.code, stack.ids()) == (0, [] if removed else before)
    assert ("deployed it as host one" in str(ended.report["warnings"])) is not removed


@pytest.mark.parametrize("joined", [False, True])
def test_destroy_says_what_stays_because_of_a_container_made_by_hand_under_the_stacks_name(
    stack: Simulation, *, joined: bool
) -> None:
    shop = stack.shop(
        db_service={"volumes": [{"type": "volume", "source": "data", "target": "/d"}]},
        volumes={"data": {"name": f"{stack.stack}_data"}},
    )
    assert stack.deploy(shop).code == 0
    network = f"{stack.stack}_default"
    made = {
        "Image": shop["images"]["db"],
        "Labels": {"com.docker.compose.project": stack.stack},
        "HostConfig": {"NetworkMode": network if joined else "none"},
    }
    engine = stack.host.engine
    assert engine.handle("POST", "/containers/create?name=debug", json.dumps(made).encode())[0] == 201
    report = stack.destroy("data").report
    left = f"docker network rm {network} && " if joined else ""
    assert f"`docker rm -f debug && {left}docker volume rm {stack.stack}_data` removes" in report["warnings"][0]
    assert (report["kept_volumes"], network in report["removed"]) == ([f"{stack.stack}_data"], not joined)
