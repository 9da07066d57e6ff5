"""No request is lost to a change made through the whole way: engine, SSH, agent, Docker, Traefik.

What happens inside a host is tried more finely in `test_traffic_agent`, and exhausted on the simulated machine
(tests/unit/agent/orchestration).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from remote_stack import RemoteStack, finish
from routed import HARMLESS, answer, change, loaded, nothing_lost, routed
from stack_harness import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from dev.testhosts.server import TestHost

HOSTS = 2


@pytest.fixture(scope="module")
def stack(deployable: Callable[..., RemoteStack], hosts: list[TestHost]) -> RemoteStack:
    """The service on both hosts, behind an edge on each."""
    stack = deployable(*hosts, application=routed, variables=dict(HARMLESS), secrets={}, deadline=300)
    stack.up()
    for host in hosts:
        _answers(host, "1")
    return stack


def _answers(host: TestHost, version: str) -> None:
    eventually(lambda: answer(host) == version, 10)


@pytest.mark.parametrize("strategy", ["rolling", "canary"])
def test_change(stack: RemoteStack, hosts: list[TestHost], strategy: str) -> None:
    change(stack, f"by-{strategy}", STRATEGY=strategy)
    with loaded(hosts[0]) as first, loaded(hosts[1]) as second:
        stack.up()
    nothing_lost(first[0])
    nothing_lost(second[0])
    assert {answer(host) for host in hosts} == {f"by-{strategy}"}


def test_bad_release_goes_back_everywhere(stack: RemoteStack, hosts: list[TestHost]) -> None:
    """Other ways to be bad are tried on the simulated machine."""
    live = answer(hosts[0])
    change(stack, "bad", FAIL_RATE="0.4", STRATEGY="canary")
    with loaded(hosts[0]) as first, loaded(hosts[1]) as second:
        run = stack.up(expect_failure=True)
    assert "the canary of web is worse" in run.text
    for result in (first[0], second[0]):
        lost = {kind for kind in result.requests.failed if kind != "status_500"}
        assert not lost, result.describe()
    assert {answer(host) for host in hosts} == {live}


def test_going_back_to_a_kept_generation(stack: RemoteStack, hosts: list[TestHost]) -> None:
    live = answer(hosts[0])
    with loaded(hosts[0]) as results:
        change(stack, "kept-beside", STRATEGY="blue-green", KEEP="120s")
        stack.up()
        change(stack, live, STRATEGY="blue-green", KEEP="120s")
        stack.up()
    nothing_lost(results[0])
    assert {answer(host) for host in hosts} == {live}
    change(stack, live)
    stack.up()


def test_docker_restarted_in_the_middle(stack: RemoteStack, hosts: list[TestHost]) -> None:
    one = hosts[0]
    change(stack, "docker-restarted", START="4")
    process = stack.start("up", "--yes", "--skip-preview")
    stack.await_step(one, "await")
    one.inside(["pkill", "-TERM", "-x", "dockerd"])
    eventually(lambda: not one.inside(["pgrep", "-x", "dockerd"], check=False).strip(), 60)
    one.start_dockerd()
    finish(process)
    eventually(lambda: answer(one), 30)
    change(stack, "docker-again")
    stack.up()
    assert {answer(host) for host in hosts} == {"docker-again"}


def test_power_cut_in_the_middle(stack: RemoteStack, hosts: list[TestHost]) -> None:
    one, other = hosts
    live = answer(other)
    change(stack, "power-cut", START="4")
    process = stack.start("up", "--yes", "--skip-preview")
    stack.await_step(one, "await")
    one.power_cut()
    finish(process)
    one.boot()
    eventually(lambda: answer(one), 60)
    eventually(lambda: answer(other) == live, 60)
    change(stack, "power-again")
    stack.up()
    assert {answer(host) for host in hosts} == {"power-again"}


def test_edge_that_was_removed_by_hand_is_drift(stack: RemoteStack, hosts: list[TestHost]) -> None:
    one, live = hosts[0], answer(hosts[0])
    one.inside(["sh", "-c", "docker rm --force $(docker ps --quiet --filter label=dev.slipway.edge)"])
    preview = stack.preview()
    assert preview.changes == {stack.resource(one): "update"}
    assert "the edge (Traefik) that leads to it is not running" in preview.text
    stack.up()
    assert answer(one) == live
