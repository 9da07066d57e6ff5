"""Whose the stacks on the hosts are: what keeps a stack from its hosts, and the command that leads on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from samples import LOCAL, REMOTE, application, probe, settings

from slipway.hosts.ownership import not_ours
from slipway.hosts.records import Deployed

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.contract.problems import Problem

LIVE = {"release": "r-1", "images": {}}
OURS = "deploy/prod 0123456789abcdef"


def problems(
    folder: Path, hosts: list[dict[str, Any]], probes: dict[str, Any], deployed: Any, **changed: Any
) -> list[Problem]:
    values = {"name": "shop", "stack": "prod", "hosts": hosts, "owner": OURS, **changed}
    shop = application(folder, "services: {web: {image: nginx}}", **values)
    stated = deployed if deployed is None or isinstance(deployed, Deployed) else Deployed(deployed, deployed)
    return list(not_ours(settings(folder, **values), shop, probes, stated))


@pytest.mark.parametrize(
    ("stack", "former", "fix"),
    [
        ("prod", "store-prod", "pulumi config set name store --stack prod"),
        ("production", "shop-prod", "pulumi stack rename prod --stack production"),
        ("production", "shop-pre-prod", "pulumi stack rename pre-prod --stack production"),
        ("production", "store-prod", "pulumi stack rename prod --stack production"),
        ("Prod", "store-prod", "pulumi config set name store --stack Prod"),
    ],
)
def test_a_stack_that_ran_under_another_name_is_refused(tmp_path: Path, stack: str, former: str, fix: str) -> None:
    [found] = problems(tmp_path, [LOCAL], {"here": probe()}, {former: {"here": "local"}}, stack=stack)
    assert found.what == f"this stack runs as {former} so far, and would be shop-{stack.lower()} now"
    assert (found.fix, f"under the former name `pulumi destroy --stack {stack}`" in found.meaning) == (fix, True)


def at(name: str, address: str) -> dict[str, Any]:
    return {**REMOTE, "name": name, "address": address}


@pytest.mark.parametrize(
    ("hosts", "state", "live", "refused"),
    [
        # one machine, called otherwise
        ([at("b", "1.1.1.1")], {"a": "1.1.1.1"}, "b", "host b: this machine is called a so far"),
        ([at("b", "1.1.1.1")], {"a": "1.1.1.1"}, "", "host b: this machine is called a so far"),
        (
            [at("b", "b.example")],
            {"a": "1.1.1.1"},
            "b",
            "host b: this machine runs this stack, and the state knows no b",
        ),
        ([{**LOCAL, "name": "b"}], {"a": "local"}, "b", "host b: this machine is called a so far"),
        # one goes, and the other gets its name, or it the other's
        ([at("b", "1.1.1.1")], {"a": "1.1.1.1", "b": "2.2.2.2"}, "b", "host b: this machine is called a so far"),
        ([at("a", "2.2.2.2")], {"a": "1.1.1.1", "b": "2.2.2.2"}, "a", "host a: this machine is called b so far"),
        (
            [at("a", "2.2.2.2"), at("b", "3.3.3.3")],
            {"a": "1.1.1.1", "b": "2.2.2.2", "c": "3.3.3.3"},
            "ab",
            "host b: this machine is called c so far",
        ),
        # another machine, further machines, names that change places, another address
        ([at("b", "2.2.2.2")], {"a": "1.1.1.1"}, "", ""),
        ([at("a", "1.1.1.1"), at("b", "2.2.2.2")], {"a": "1.1.1.1"}, "ab", ""),
        ([at("a", "1.1.1.1")], {"a": "1.1.1.1", "b": "1.1.1.1"}, "a", ""),
        ([at("a", "2.2.2.2"), at("b", "1.1.1.1")], {"a": "1.1.1.1", "b": "2.2.2.2"}, "ab", ""),
        ([at("a", "a.example")], {"a": "1.1.1.1"}, "a", ""),
        ([at("c", "c.example")], {"a": "1.1.1.1", "c": "3.3.3.3"}, "c", ""),
    ],
)
def test_a_machine_is_never_taken_for_one_that_goes(
    tmp_path: Path, hosts: list[dict[str, Any]], state: dict[str, str], live: str, refused: str
) -> None:
    probes = {each["name"]: probe(live=LIVE if each["name"] in live else None, owner=OURS) for each in hosts}
    found = problems(tmp_path, hosts, probes, {"shop-prod": state})
    assert [each.what[: len(refused)] for each in found] == [refused] * bool(refused)
    was = refused.removesuffix(" so far")[-1:] if refused.endswith("far") else "a"
    fix = f"pulumi config set --path 'hosts[{len(hosts) - 1}].name' {was} --stack prod"
    assert [each.fix for each in found] == [fix] * len(found)


@pytest.mark.parametrize(
    ("host", "state", "noted", "what", "fix"),
    [
        # the engine has one kind of command for this machine, and another for a machine over SSH
        (at("a", "1.1.1.1"), {"a": "local"}, {"called": "a"}, "this machine was reached as `local` so far", "local"),
        (at("a", "1.1.1.1"), {"a": "local"}, {"live": LIVE}, "this machine was reached as `local` so far", "local"),
        (
            {**LOCAL, "name": "a"},
            {"a": "1.1.1.1"},
            {"called": "a"},
            "this machine was reached over SSH so far",
            "1.1.1.1",
        ),
        (at("a", "1.1.1.1"), {"a": "local"}, {}, "", ""),  # another machine
        ({**LOCAL, "name": "a"}, {"a": "local"}, {"called": "a"}, "", ""),
        ({**LOCAL, "name": "a"}, {}, {"called": "a"}, "", ""),  # a state of its own that was lost
        # the machine's own note, however its address is written
        (at("b", "b.example"), {"a": "1.1.1.1"}, {"called": "a"}, "this machine is called a so far", "a"),
        (at("b", "b.example"), {"a": "1.1.1.1", "b": "b.example"}, {"called": "a"}, "", ""),  # names changed places
    ],
)
def test_one_machine_is_never_two(
    tmp_path: Path, *, host: dict[str, Any], state: dict[str, str], noted: dict[str, Any], what: str, fix: str
) -> None:
    found = problems(tmp_path, [host], {host["name"]: probe(**{"owner": OURS, **noted})}, {"shop-prod": state})
    assert [each.what for each in found] == [f"host {host['name']}: {what}"] * bool(what)
    assert all(f" {fix} --stack prod" in each.fix for each in found)


def test_one_machine_under_two_addresses_is_refused(tmp_path: Path) -> None:
    probes = {name: probe(live=LIVE, owner=OURS, called="a") for name in ("a", "b")}
    hosts = [at("a", "1.1.1.1"), at("b", "a.example")]
    [found] = problems(tmp_path, hosts, probes, {"shop-prod": {"a": "1.1.1.1"}})
    assert (found.what, found.fix) == (
        "host b: this machine is a, too", "pulumi config rm --path 'hosts[1]' --stack prod"
    )  # fmt: skip


def test_what_a_failed_first_deployment_left_in_the_state_counts_as_a_host_and_not_as_a_name(tmp_path: Path) -> None:
    begun = Deployed({}, {"shop-prod": {"a": "1.1.1.1"}})
    [found] = problems(tmp_path, [at("b", "1.1.1.1")], {"b": probe()}, begun)
    assert found.what == "host b: this machine is called a so far"
    assert not problems(tmp_path, [at("a", "1.1.1.1")], {"a": probe()}, begun)
    assert not problems(tmp_path, [at("a", "1.1.1.1")], {"a": probe()}, begun, name="shop-new"), "the way out"


def test_a_copy_of_a_project_is_not_the_stack_that_it_was_copied_from(tmp_path: Path) -> None:
    there = {"here": probe(live=LIVE, owner="one/prod 0123456789abcdef")}
    [found] = problems(tmp_path, [LOCAL], there, {}, owner="two/prod 0123456789abcdef")
    assert (found.fix, "`rm " in found.meaning) == ("pulumi config set name shop-new", True)
    state = {"shop-prod": {"here": "local"}}
    assert not problems(tmp_path, [LOCAL], there, state, owner="two/prod 0123456789abcdef"), "a renamed project"
    assert not problems(tmp_path, [LOCAL], there, None, owner="two/prod 0123456789abcdef"), "nobody knows"


def test_a_fleet_takes_over_no_host_that_its_state_does_not_know(tmp_path: Path) -> None:
    seen = {each: probe(live=LIVE, owner="") for each in "ab"}
    [found] = problems(tmp_path, [at("a", "1.1.1.1"), at("b", "2.2.2.2")], seen, {"shop-prod": {"a": "1.1.1.1"}})
    assert found.what.startswith("host b: shop-prod was deployed here by an older Slipway")


@pytest.mark.parametrize(
    ("seen", "deployed", "refused"),
    [
        ({"live": LIVE, "owner": ""}, {}, True),
        ({"live": LIVE, "owner": OURS}, {}, False),
        ({"live": None, "owner": ""}, {}, False),
        ({"live": LIVE, "owner": ""}, {"shop-prod": {"here": "local"}}, False),
        ({"live": LIVE, "owner": ""}, None, False),
    ],
)
def test_what_an_older_slipway_deployed_is_that_stacks_whose_state_knows_it(
    tmp_path: Path, seen: dict[str, Any], deployed: Any, *, refused: bool
) -> None:
    found = problems(tmp_path, [LOCAL], {"here": probe(**seen)}, deployed)
    assert [each.fix for each in found] == ["pulumi config set name shop-new"] * refused
    assert all(f"echo '{OURS}' > " in each.meaning for each in found)


@pytest.mark.parametrize(
    ("host", "fix"),
    [
        (REMOTE, "pulumi config set --path 'hosts[0].user' deploy --stack prod"),
        (LOCAL, "export SLIPWAY_HOME=/home/deploy/.local/share/slipway"),
    ],
)
def test_what_another_user_deployed_is_left_to_that_user(tmp_path: Path, host: dict[str, Any], fix: str) -> None:
    elsewhere = {"user": "deploy", "folder": "/home/deploy/.local/share/slipway/stacks/shop-prod"}
    [found] = problems(tmp_path, [host], {host["name"]: probe(elsewhere=elsewhere)}, {})
    assert (found.what.startswith(f"host {host['name']}: another user deployed"), found.fix) == (True, fix)
