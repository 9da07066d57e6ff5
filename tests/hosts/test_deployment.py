"""The main job over SSH, as a user who is not root: what a change touches, what it costs, what drift shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from applications import shop
from stack_harness import eventually

if TYPE_CHECKING:
    from collections.abc import Callable

    from remote_stack import RemoteStack

    from dev.testhosts.server import TestHost

HOSTS = 1


@pytest.fixture(scope="module")
def stack(deployable: Callable[..., RemoteStack], host: TestHost) -> RemoteStack:
    """A deployed webshop; every test takes what it finds live as its start."""
    stack = deployable(host, variables={"START_PERIOD": "2s"})
    stack.up()
    return stack


def touched(stack: RemoteStack, before: dict[str, str]) -> set[str]:
    after = stack.ids_on(stack.machines[0])
    return {service for service in before.keys() | after.keys() if before.get(service) != after.get(service)}


def test_up_builds_ships_and_serves(deployable: Callable[..., RemoteStack], host: TestHost) -> None:
    stack = deployable(host, application=shop)
    stack.application.replace("compose.yaml", "127.0.0.1:${PORT}", "${PORT}")
    before = host.connections()
    run = stack.up()
    assert set(run.changes.values()) == {"create"}
    assert host.connections() - before == 2, "one look, which ships the agent too, and one deployment"
    assert stack.version_on(host) == "1"
    assert stack.outputs["urls"] == [f"http://{host.address}:{stack.port}/"]
    assert stack.outputs["hosts"][host.name]["release"] == stack.outputs["release"] == stack.live_on(host)
    containers = stack.containers_on(host)
    assert {name: each.digest for name, each in containers.items()} == {
        name: stack.tags(f"shop-{name}")[stack.name] for name in ("web", "side")
    }
    folder = host.path(stack.stack_path())
    assert (folder.stat().st_uid, oct(folder.stat().st_mode & 0o777)) == (1000, "0o700")

    stack.application.version("side", "2")
    ids, before = stack.ids_on(host), host.connections()
    assert stack.up().changes == {"shop-side": "update", stack.resource(host): "update"}
    assert touched(stack, ids) == {"side"}
    assert host.connections() - before == 2
    stack.destroy()
    assert not stack.containers_on(host)


def test_second_up_changes_nothing_over_one_connection(stack: RemoteStack, host: TestHost) -> None:
    before, connections = stack.ids_on(host), host.connections()
    ledger = stack.ledger_on(host)
    run = stack.up()
    assert set(run.steps.values()) == {"same"}
    assert stack.ids_on(host) == before
    assert stack.ledger_on(host) == ledger
    assert host.connections() - connections == 1


def test_preview_shows_the_change_over_one_connection_and_makes_none(stack: RemoteStack, host: TestHost) -> None:
    stack.variables["SIDE_VERSION"] = "previewed"
    before, connections = stack.ids_on(host), host.connections()
    assert stack.preview().changes == {stack.resource(host): "update"}
    assert host.connections() - connections == 1
    assert stack.ids_on(host) == before
    stack.variables.pop("SIDE_VERSION")


def test_changed_service_touches_only_itself_over_two_connections(stack: RemoteStack, host: TestHost) -> None:
    stack.variables["SIDE_VERSION"] = "2"
    before, connections = stack.ids_on(host), host.connections()
    assert stack.up().changes == {stack.resource(host): "update"}
    assert touched(stack, before) == {"side"}
    assert host.connections() - connections == 2


def test_engine_that_died_leaves_drift_that_up_mends(stack: RemoteStack, host: TestHost) -> None:
    # Docker 26 stops containers whose engine was killed when it starts again, whatever their restart policy says
    host.kill_dockerd()
    host.start_dockerd()
    stack.up()
    eventually(lambda: stack.version_on(host) == stack.variables["VERSION"])
    assert all(each.running for each in stack.containers_on(host).values())
    assert not stack.preview().changes
