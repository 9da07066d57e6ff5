"""Two hosts, one verdict: every host ends on the new release, or every host on the old one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from remote_stack import end_tree, finish
from stack_harness import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from remote_stack import RemoteStack

    from dev.testhosts.server import TestHost

HOSTS = 2
SLOW = "6"  # seconds that a release takes to listen: long enough to break something meanwhile
AWAY_SECONDS = 75  # until a host that is cut off is given up, and has given up


@pytest.fixture(scope="module")
def stack(deployable: Callable[..., RemoteStack], hosts: list[TestHost]) -> RemoteStack:
    """A webshop on both hosts; every test takes what it finds live as its start, the same on both."""
    stack = deployable(*hosts, variables={"START_PERIOD": "2s"}, deadline=300)
    stack.up()
    return stack


def same_release(stack: RemoteStack) -> str:
    """The release that is live on all hosts of the stack."""
    live = {stack.live_on(host) for host in stack.machines}
    assert len(live) == 1, f"the hosts run different releases: {live}"
    return live.pop()


def converges(stack: RemoteStack, version: str) -> None:
    """The next `up` makes `version` live everywhere without a hand."""
    stack.variables |= {"VERSION": version, "START": "0", "START_PERIOD": "2s"}
    run = stack.up()
    assert stack.versions == [version] * len(stack.machines), run.text
    assert same_release(stack) == stack.outputs["release"]


def test_release_goes_to_both_and_its_migration_runs_once(stack: RemoteStack, hosts: list[TestHost]) -> None:
    before = [host.connections() for host in hosts]
    stack.deploy("together")
    assert stack.versions == ["together", "together"]
    assert [host.connections() - count for host, count in zip(hosts, before, strict=True)] == [2, 2]
    leader, other = hosts
    assert stack.ask(leader)["data/migrations"].split() == ["1", "together"]
    assert stack.ask(other)["data/migrations"] == ""

    before = [host.connections() for host in hosts]
    ids = [stack.ids_on(host) for host in hosts]
    assert set(stack.up().steps.values()) == {"same"}
    assert [stack.ids_on(host) for host in hosts] == ids
    assert [host.connections() - count for host, count in zip(hosts, before, strict=True)] == [1, 1]


def test_drift_of_one_host_is_mended_there_and_nowhere_else(stack: RemoteStack, hosts: list[TestHost]) -> None:
    one, other = hosts
    other.inside(["docker", "stop", stack.containers_on(other)["side"].name])
    ids = stack.ids_on(one)
    assert stack.preview().changes == {stack.resource(other): "update"}
    assert stack.up().changes == {stack.resource(other): "update"}
    assert stack.ids_on(one) == ids
    assert all(each.running for each in stack.containers_on(other).values())


def test_sick_on_one_host_brings_the_old_release_back_on_both(stack: RemoteStack, hosts: list[TestHost]) -> None:
    live, release = stack.versions, same_release(stack)
    bad = "sick-on-one"
    web = stack.containers_on(hosts[1])["web"].name
    hosts[1].inside(["docker", "exec", web, "sh", "-c", f"echo {bad} > /data/sick"])
    stack.variables["VERSION"] = bad
    run = stack.up(expect_failure=True)
    told = [" — ".join(problem) for problem in run.problems]
    assert any("web did not become healthy" in line for line in told), run.text
    assert f"another host failed: host {hosts[1].name}" in run.text
    assert stack.versions == live
    assert same_release(stack) == release
    converges(stack, "well-again")


def test_taken_port_on_one_host_touches_neither(stack: RemoteStack, hosts: list[TestHost]) -> None:
    _, other = hosts
    ids, release = [stack.ids_on(host) for host in hosts], same_release(stack)
    stack.application.replace("compose.yaml", 'ports: ["${PORT}:8000"]', 'ports: ["${PORT}:8000", "9100:8000"]')
    other.inside(["docker", "run", "--detach", "--name", "squatter", "--publish", "9100:1", stack.variables["IMAGE"]])
    try:
        run = stack.up(expect_failure=True)
        assert "port 9100/tcp that service web publishes is held by squatter" in run.text
        assert f"another host failed: host {other.name}" in run.text
        assert [stack.ids_on(host) for host in hosts] == ids
        assert same_release(stack) == release
    finally:
        other.inside(["docker", "rm", "--force", "squatter"])
        stack.application.replace("compose.yaml", ', "9100:8000"', "")


def test_killed_driver_leaves_the_old_release_everywhere(stack: RemoteStack, hosts: list[TestHost]) -> None:
    live, release = stack.versions, same_release(stack)
    stack.variables |= {"VERSION": "orphaned", "START": SLOW}
    process = stack.start("up", "--yes", "--skip-preview")
    for host in hosts:
        stack.await_step(host, "await")
    end_tree(process)
    for host in hosts:
        eventually(lambda host=host: not stack.agents_on(host), 60)
    eventually(lambda: stack.versions == live, 30)
    assert same_release(stack) == release
    stack.pulumi("cancel", "--yes")  # the engine's own lock; the hosts' are free
    converges(stack, "adopted")


def test_killed_agent_of_one_host_leaves_one_release(stack: RemoteStack, hosts: list[TestHost]) -> None:
    release = same_release(stack)
    stack.variables |= {"VERSION": "half-killed", "START": SLOW, "START_PERIOD": "20s"}  # it becomes healthy
    process = stack.start("up", "--yes", "--skip-preview")
    for host in hosts:
        stack.await_step(host, "await")
    for agent in stack.agents_on(hosts[1]):
        hosts[1].inside(["kill", "-KILL", str(agent)], check=False)
    text = finish(process)
    assert process.returncode != 0, text
    assert f"another host failed: host {hosts[1].name}: its agent was killed or crashed" in text
    assert stack.live_on(hosts[0]) == release
    converges(stack, "whole-again")


def test_network_cut_of_one_host_ends_on_one_release(stack: RemoteStack, hosts: list[TestHost]) -> None:
    one, other = hosts
    live, release = stack.versions, same_release(stack)
    stack.variables |= {"VERSION": "cut-off", "START": SLOW, "START_PERIOD": "20s"}
    process = stack.start("up", "--yes", "--skip-preview")
    try:
        for host in hosts:
            stack.await_step(host, "await")
        other.cut_network()
        # long before the deadline: one hears of it through the driver, the other hears nothing any more
        for host in hosts:
            eventually(lambda host=host: not stack.agents_on(host), AWAY_SECONDS)
        assert stack.version_on(one) == live[0]
        assert same_release(stack) == release
        other.fix_network()
        text = finish(process)
    finally:
        other.fix_network()
        if process.poll() is None:
            end_tree(process)
            stack.pulumi("cancel", "--yes")  # so that the tests after this one say what they find, not what it left
    assert process.returncode != 0, text
    assert f"another host failed: host {other.name}: the connection to it was lost" in text
    assert stack.versions == live
    converges(stack, "together-again")
    assert set(stack.up().steps.values()) == {"same"}, "after all of it there is nothing left to do"


def test_engine_that_deploys_to_one_host_at_a_time_is_refused(stack: RemoteStack, hosts: list[TestHost]) -> None:
    before = [stack.ids_on(host) for host in hosts]
    stack.variables["VERSION"] = "one-by-one"
    problem = stack.up("--parallel", "1", expect_failure=True).problem
    assert "2 hosts must change together, and the engine runs 1 at a time" in problem
    assert "pulumi up --parallel" in problem
    assert [stack.ids_on(host) for host in hosts] == before
