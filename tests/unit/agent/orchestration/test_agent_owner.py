"""What runs on a host is nobody's to replace but the Pulumi stack's that deployed it, under the name that it has."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from simulation import Simulation

if TYPE_CHECKING:
    from simulation import Ended


def deploy(stack: Simulation, owner: str, version: str = "1") -> Ended:
    return stack.deploy(stack.shop(version), owner=owner)


def run_printed(stack: Simulation, error: str) -> None:
    command = next(each for each in error.split("`") if each.startswith(("rm ", ": > /")))
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


def test_a_stack_under_a_new_name_is_refused_and_goes_on_under_the_former(stack: Simulation) -> None:
    assert deploy(stack, "one/prod a1").code == 0
    renamed = Simulation(stack.host, "renamed-prod")
    assert "refused" in renamed.plan(renamed.shop(), owner="one/prod a1")
    ended = deploy(renamed, "one/prod a1")
    assert "runs here as shop so far, and would be renamed-prod now" in ended.error
    assert ended.error.endswith("pulumi config set name app")
    assert renamed.ids() == []
    assert deploy(stack, "one/prod a1", "2").code == 0
    run_printed(stack, ended.error)
    assert deploy(renamed, "one/prod a1").code == 0


def test_two_applications_with_copies_of_one_stack_file_both_go_on_once_that_was_said(stack: Simulation) -> None:
    copy = Simulation(stack.host, "copy-prod")
    assert deploy(stack, "one/prod a1").code == 0
    run_printed(stack, deploy(copy, "one/prod a1").error)
    for version in ("2", "3"):
        for each in (copy, stack):
            assert deploy(each, "one/prod a1", version).code == 0


def test_a_disk_that_is_full_by_then_makes_no_failure_of_a_deployment(
    stack: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("slipway.agent.state.owner.write_atomically", full)
    assert deploy(stack, "one/prod").code == 0


@pytest.mark.parametrize(("first", "second"), [("one/prod a1", "one/prod b2"), ("one/prod", "one/prod")])
def test_another_application_whose_stack_is_called_so_too_is_none_under_a_new_name(
    stack: Simulation, first: str, second: str
) -> None:
    assert deploy(stack, first).code == 0
    assert deploy(Simulation(stack.host, "blog-prod"), second).code == 0
    assert deploy(stack, first, "2").code == 0


def test_a_stack_with_another_passphrase_is_the_same_one(stack: Simulation) -> None:
    assert deploy(stack, "one/prod a1").code == 0
    assert deploy(stack, "one/prod b2", "2").code == 0
    assert "would be renamed-prod now" in deploy(Simulation(stack.host, "renamed-prod"), "one/prod b2").error


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
