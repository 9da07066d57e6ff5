"""Going back on real hosts, by command, under traffic: nothing is lost, and what hosts keep needs no registry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from remote_stack import HOME
from routed import answer, change, loaded, nothing_lost, routed
from stack_harness import PROJECT_LABEL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from remote_stack import RemoteStack
    from workload import Images

    from dev.testhosts.server import TestHost

HOSTS = 2


@pytest.fixture(scope="module")
def stack(deployable: Callable[..., RemoteStack], hosts: list[TestHost]) -> RemoteStack:
    """Three releases on both hosts, the third one live."""
    stack = deployable(*hosts, application=routed, secrets={}, deadline=300)
    for version in ("one", "two", "three"):
        change(stack, version, STRATEGY="blue-green", KEEP="600s")
        stack.up()
    return stack


def history(stack: RemoteStack) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(stack.slipway("history", "--json", "--all").out)
    return found


@pytest.fixture
def without_registry(hosts: list[TestHost], engine: Any) -> Iterator[None]:
    """Hosts that reach no registry for a while."""
    port = engine.registry.rpartition(":")[2]
    rule = ["OUTPUT", "--protocol", "tcp", "--dport", port, "--jump", "REJECT", "--reject-with", "tcp-reset"]
    for host in hosts:
        host.inside(["iptables", "--insert", *rule])
    yield
    for host in hosts:
        host.inside(["iptables", "--delete", *rule])


@pytest.mark.usefixtures("without_registry")
def test_kept_generation_comes_back_on_every_host_without_a_registry_or_a_lost_request(
    stack: RemoteStack, hosts: list[TestHost]
) -> None:
    pull = ["docker", "pull", "--quiet", f"{stack.engine.registry}/library/postgres:17-trixie"]
    assert not hosts[0].inside(pull, check=False).strip(), "the registry can be reached"
    assert history(stack)["entries"][1]["back"]["kind"] == "warm"
    with loaded(hosts[0]) as first, loaded(hosts[1]) as second:
        said = stack.slipway("rollback")
    nothing_lost(first[0])
    nothing_lost(second[0])
    assert "all of it is on the hosts" in said.out
    assert {answer(host) for host in hosts} == {"two"}
    assert "fetch" not in said.text


@pytest.mark.usefixtures("without_registry")
def test_release_within_the_retention_comes_back_without_a_registry_or_a_lost_request(
    stack: RemoteStack, hosts: list[TestHost]
) -> None:
    change(stack, "four")  # rolling, nothing kept
    stack.up()
    with loaded(hosts[0]) as results:
        stack.slipway("rollback", "--to", "1")
    nothing_lost(results[0])
    assert {answer(host) for host in hosts} == {"one"}
    entry = history(stack)["entries"][0]
    assert (entry["kind"], set(entry["hosts"])) == ("rollback", {host.name for host in hosts})


def test_image_that_one_host_lost_is_pulled_there_and_the_fleet_goes_back_together(
    stack: RemoteStack, hosts: list[TestHost], images: Images
) -> None:
    change(stack, "five", IMAGE=images.two)
    stack.up()
    change(stack, "six", IMAGE=images.one)
    stack.up()
    hosts[1].inside(["docker", "image", "rm", "--force", images.two])
    entries = {entry["number"]: entry["back"]["kind"] for entry in history(stack)["entries"] if entry["number"]}
    assert entries[max(entries) - 1] == "cold"
    with loaded(hosts[0]) as first, loaded(hosts[1]) as second:
        said = stack.slipway("rollback")
    nothing_lost(first[0])
    nothing_lost(second[0])
    assert "images are pulled from their registry" in said.out
    assert {answer(host) for host in hosts} == {"five"}


def test_rollback_that_fails_on_one_host_leaves_the_fleet_where_it_was(
    stack: RemoteStack, hosts: list[TestHost]
) -> None:
    live = answer(hosts[0])
    change(stack, "sick", SICK="1", START_PERIOD="2s")
    stack.up(expect_failure=True)
    number = history(stack)["entries"][0]["number"]
    with loaded(hosts[0]) as first, loaded(hosts[1]) as second:
        stack.slipway("rollback", "--to", str(number), "--force", expect=1)
    nothing_lost(first[0])
    nothing_lost(second[0])
    assert {answer(host) for host in hosts} == {live}


def test_host_that_was_replaced_by_an_empty_one_runs_the_same_release_again(
    stack: RemoteStack, hosts: list[TestHost]
) -> None:
    live = answer(hosts[0])
    change(stack, live)
    stack.up()
    release = history(stack)["live"]
    for label in (PROJECT_LABEL, "dev.slipway.edge"):
        found = hosts[1].inside(["docker", "ps", "--all", "--quiet", "--filter", f"label={label}"]).split()
        if found:
            hosts[1].inside(["docker", "rm", "--force", *found])
    hosts[1].inside(["rm", "-rf", HOME])
    stack.up()
    assert {answer(host) for host in hosts} == {live}
    assert history(stack)["live"] == release
