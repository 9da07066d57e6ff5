"""A stop that was begun is awaited, whoever began it and however the deployment was cut off meanwhile.

Docker goes on with a stop that nobody waits for: the container runs as if nothing were, ends seconds later and stays
down. So whoever goes back, or comes next, may not count on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fake_driver import FakeDriver
from simulation import KILLED, Simulation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fake_machine import World

GRACE_SECONDS = 5
Release = dict[str, Any]
Pair = tuple[Release, Release]


def compose_recreates(stack: Simulation, own: dict[str, Any]) -> Pair:
    return stack.shop("1", api_environment=own), stack.shop("2", api_environment=own)


def compose_recreates_a_dependency(stack: Simulation, own: dict[str, Any]) -> Pair:
    return stack.shop(db="1", db_environment=own), stack.shop("2", db="2", db_environment=own)


def compose_recreates_fewer(stack: Simulation, own: dict[str, Any]) -> Pair:
    replicas = {"api_service": {"deploy": {"replicas": 3}}}
    return stack.shop("1", api_environment=own, **replicas), stack.shop("2", api_environment=own)


def replicas_go(stack: Simulation, own: dict[str, Any]) -> Pair:
    replicas = {"api_service": {"deploy": {"replicas": 3}}}
    return stack.shop("1", api_environment=own, **replicas), stack.shop("1", api_environment=own)


def service_goes(stack: Simulation, own: dict[str, Any]) -> Pair:
    return stack.shop(extra={"old": stack.service(environment=own)}), stack.shop("2")


def batches_drain(stack: Simulation, own: dict[str, Any]) -> Pair:
    how: dict[str, Any] = {"replicas": 2, "update": {"parallelism": 1}, "environment": own, "smoke": []}
    return stack.web("1", **how), stack.web("2", **how)


def stops_first(stack: Simulation, own: dict[str, Any]) -> Pair:
    how: dict[str, Any] = {"replicas": 2, "update": {"parallelism": 1, "order": "stop-first"}, "environment": own}
    return stack.web("1", **how), stack.web("2", **how)


WAYS = [compose_recreates, compose_recreates_a_dependency, compose_recreates_fewer, replicas_go, service_goes,
        batches_drain, stops_first]  # fmt: skip
ways = pytest.mark.parametrize("way", WAYS)
modes = pytest.mark.parametrize("mode", ["stubborn", "finishing"])


def as_released(stack: Simulation, wanted: Release) -> None:
    """It runs now, and does when every grace period is over."""
    for seconds in (0, GRACE_SECONDS + 1):
        stack.later(seconds)
        probe = stack.probe()
        assert (probe["live"]["release"], probe["drift"], probe["interrupted"]) == (wanted["id"], [], None)
        assert stack.versions() == {
            name: [each["environment"]["VERSION"]] * (each.get("deploy") or {}).get("replicas", 1)
            for name, each in wanted["compose"]["services"].items()
        }


def until_stopping(stack: Simulation) -> None:
    """Until a container was told to stop, and a little into it."""
    while not any(point.startswith("while") for point in stack.points):
        stack.later(0.05)
    stack.later(0.5)


@modes
@ways
def test_asked_to_end_while_a_container_stops(
    stack: Simulation, way: Callable[[Simulation, dict[str, Any]], Pair], mode: str
) -> None:
    first, second = way(stack, {"MODE": mode})
    assert stack.deploy(first).code == 0
    process, ended = stack.begin_at(second)
    until_stopping(stack)
    stack.world.terminate(process)
    result = ended()
    if result.code == 0:  # past its proof nothing turns it back
        return as_released(stack, second)
    assert f"release {first['id']}" in result.error
    return as_released(stack, first)


@modes
@ways
def test_the_deadline_passes_while_a_container_stops(
    stack: Simulation, way: Callable[[Simulation, dict[str, Any]], Pair], mode: str
) -> None:
    first, second = way(stack, {"MODE": mode})
    assert stack.deploy(first).code == 0
    ended = stack.deploy(second, options={"deadline": 4})
    as_released(stack, first if ended.code else second)


@pytest.mark.parametrize("back", [True, False], ids=["previous", "same"])
@modes
@ways
def test_killed_while_a_container_stops_the_next_run_awaits_it(
    stack: Simulation, way: Callable[[Simulation, dict[str, Any]], Pair], mode: str, *, back: bool
) -> None:
    first, second = way(stack, {"MODE": mode})
    assert stack.deploy(first).code == 0
    process, ended = stack.begin_at(second)
    until_stopping(stack)
    if process.alive:
        stack.world.kill(process)
    assert ended().code == KILLED
    assert stack.deploy(first if back else second).code == 0
    as_released(stack, first if back else second)


@modes
@ways
def test_another_host_fails_while_a_container_stops(
    world: World, home: Path, way: Callable[[Simulation, dict[str, Any]], Pair], mode: str
) -> None:
    fleet = FakeDriver([Simulation(world.host(name, home / name)) for name in ("one", "two")])
    one, two = fleet.stacks.values()
    pairs = {name: way(stack, {"MODE": mode}) for name, stack in fleet.stacks.items()}
    assert [each.code for each in fleet.deploy({name: first for name, (first, _) in pairs.items()}).values()] == [0, 0]
    driver = fleet.begin({name: second for name, (_, second) in pairs.items()})
    until_stopping(one)
    process = fleet.agents["two"][0]
    if process.alive:
        world.terminate(process)
    ended = fleet.ended()
    world.kill(driver)
    for stack in (one, two):
        first, second = pairs[stack.host.name]
        as_released(stack, first if ended[stack.host.name].code else second)
    assert len({each.code for each in ended.values()}) == 1


@pytest.mark.parametrize("what", ["destroy", "first"])
def test_cut_off_while_everything_goes_the_next_deployment_starts_anew(stack: Simulation, what: str) -> None:
    good = stack.shop(db_environment={"MODE": "stubborn"}, api_environment={"MODE": "stubborn"})
    if what == "destroy":
        assert stack.deploy(good).code == 0
        process, ended = stack.start(stack.take_away)
        stack.later(1)
    else:
        bad = stack.shop(db_environment={"MODE": "stubborn"}, api_environment={"MODE": "sick"})
        process, ended = stack.begin_at(bad)
        until_stopping(stack)
    stack.world.kill(process)
    assert ended().code == KILLED
    assert stack.deploy(good).code == 0
    as_released(stack, good)


def test_who_ignored_the_signal_is_said(stack: Simulation) -> None:
    own = {"MODE": "stubborn"}
    stack.deploy(stack.shop("1", api_environment=own, extra={"old": stack.service(environment=own)}))
    ended = stack.deploy(stack.shop("2"))
    for name, step in {"shop-api-1": "recreate:api", "shop-old-1": "remove:old"}.items():
        assert f"{step}; {name} did not stop when asked to and was killed" in ended.err
    assert "was killed" not in stack.deploy(stack.shop("3")).err
