"""A stack whose hosts come and go, services that are placed, four hosts at once, and one that is down."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from remote_stack import refusing

if TYPE_CHECKING:
    from collections.abc import Callable

    from remote_stack import RemoteStack

    from dev.testhosts.server import TestHost

HOSTS = 4


@pytest.fixture(scope="module")
def stack(deployable: Callable[..., RemoteStack], hosts: list[TestHost]) -> RemoteStack:
    """A webshop on the first two hosts."""
    stack = deployable(*hosts[:2])
    stack.up()
    return stack


def status(stack: RemoteStack) -> tuple[int, dict[str, Any]]:
    """Exit code and document of `slipway status --json`."""
    done = subprocess.run(
        [str(Path(sys.executable).parent / "slipway"), "status", "--json", "--stack", stack.name],
        cwd=stack.folder,
        env=stack.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_host_that_joins_later_gets_the_live_release(stack: RemoteStack, hosts: list[TestHost]) -> None:
    ids = [stack.ids_on(host) for host in hosts[:2]]
    stack.on(*hosts[:3])
    run = stack.up()
    assert run.changes[stack.resource(hosts[2])] == "create"
    assert stack.version_on(hosts[2]) == stack.variables["VERSION"]
    assert [stack.ids_on(host) for host in hosts[:2]] == ids
    assert len({stack.live_on(host) for host in hosts[:3]}) == 1


def test_four_hosts_deploy_together(stack: RemoteStack, hosts: list[TestHost]) -> None:
    stack.on(*hosts)
    before = [host.connections() for host in hosts]
    stack.deploy("four")
    assert stack.versions == ["four"] * 4
    assert all(host.connections() - count == 2 for host, count in zip(hosts, before, strict=True))
    assert stack.outputs["urls"] == [f"http://{host.address}:{stack.port}/" for host in hosts]


def test_host_that_leaves_the_stack_keeps_only_its_volumes(stack: RemoteStack, hosts: list[TestHost]) -> None:
    ids = [stack.ids_on(host) for host in hosts[:3]]
    stack.on(*hosts[:3])
    run = stack.up()
    assert run.changes[stack.resource(hosts[3])] == "delete"
    assert not stack.containers_on(hosts[3])
    assert stack.volumes_on(hosts[3])
    assert [stack.ids_on(host) for host in hosts[:3]] == ids


def test_service_runs_only_where_it_is_placed(stack: RemoteStack, hosts: list[TestHost]) -> None:
    placed = f"    x-slipway: {{hosts: [{hosts[1].name}]}}\nvolumes:"
    stack.application.replace("compose.yaml", "volumes:\n  data:", f"{placed}\n  data:")
    web = [stack.ids_on(host)["web"] for host in hosts[:3]]
    stack.up()
    assert [sorted(stack.containers_on(host)) for host in hosts[:3]] == [["web"], ["side", "web"], ["web"]]
    assert [stack.ids_on(host)["web"] for host in hosts[:3]] == web


def test_status_tells_every_host_and_the_one_that_is_down(stack: RemoteStack, hosts: list[TestHost]) -> None:
    code, document = status(stack)
    assert code == 0
    assert document["as_deployed"]
    assert [host["name"] for host in document["hosts"]] == [host.name for host in hosts[:3]]
    assert {host["probe"]["live"]["release"] for host in document["hosts"]} == {stack.live_on(hosts[0])}

    side = stack.containers_on(hosts[1])["side"].name
    hosts[1].inside(["docker", "stop", side])
    with refusing(hosts[2]):
        code, document = status(stack)
    hosts[1].inside(["docker", "start", side])
    assert code == 1
    one, other, down = document["hosts"]
    assert one["as_deployed"]
    assert not other["as_deployed"]
    assert other["findings"][0].startswith("side: ")
    assert not down["as_deployed"]
    assert down["probe"] is None
    assert "cannot be reached" in down["errors"][0]["what"]


def test_host_that_is_down_stops_an_update_of_the_others(stack: RemoteStack, hosts: list[TestHost]) -> None:
    before = [stack.ids_on(host) for host in hosts[:2]]
    stack.variables["VERSION"] = "not-everywhere"
    hosts[2].power_cut()
    try:
        problem = stack.up(expect_failure=True).problem
    finally:
        hosts[2].boot()
    assert f"host {hosts[2].name}: " in problem
    assert [stack.ids_on(host) for host in hosts[:2]] == before
    stack.up()
    assert stack.versions == ["not-everywhere"] * 3


def test_destroy_empties_every_host(stack: RemoteStack, hosts: list[TestHost]) -> None:
    stack.destroy()
    assert not any(stack.containers_on(host) for host in hosts)
    assert all(stack.volumes_on(host) for host in hosts[:3])
