"""Two hosts change together: both end on the new release or both on the old one, whoever fails or dies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from fake_driver import FakeDriver
from simulation import KILLED, Simulation
from test_agent_move_between_stacks import RULES
from thorough import sample

from slipway.agent.fleet import ABANDONED_SECONDS, Fleet
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from pathlib import Path

    from fake_machine import World

NAMES = ("one", "two")


@pytest.fixture
def fleet(world: World, home: Path) -> FakeDriver:
    return FakeDriver([Simulation(world.host(name, home / name)) for name in NAMES])


def both(fleet: FakeDriver, version: str, **more: Any) -> dict[str, Any]:
    """A release for each host; `more` is for single ones, by name."""
    return {host: stack.web(version, environment={"MODE": more.get(host, "")}) for host, stack in fleet.stacks.items()}


def serving(fleet: FakeDriver) -> list[str]:
    return [stack.visit()[1] for stack in fleet.stacks.values()]


def test_all_go_on_barrier_by_barrier(fleet: FakeDriver) -> None:
    ended = fleet.deploy(both(fleet, "1"))
    assert [each.code for each in ended.values()] == [0, 0]
    ended = fleet.deploy(both(fleet, "2"))
    assert serving(fleet) == ["2", "2"]
    for stack in fleet.stacks.values():
        barriers = [step for step in stack.steps() if step.startswith("barrier") and step.endswith("finished")]
        assert barriers == [f"barrier:{each}:finished" for each in ("prepared", "migrated", "proven")]
        assert stack.witness.seen == []


@pytest.mark.parametrize("bad", NAMES)
@pytest.mark.parametrize("mode", ["exit", "sick", "smoke"])
def test_a_failure_on_one_host_turns_all_back(fleet: FakeDriver, bad: str, mode: str) -> None:
    fleet.deploy(both(fleet, "1"))
    ended = fleet.deploy(both(fleet, "2", **{bad: mode}))
    assert [each.code for each in ended.values()] == [1, 1]
    assert f"another host failed: host {bad}:" in next(e.error for host, e in ended.items() if host != bad)
    assert serving(fleet) == ["1", "1"]
    for stack in fleet.stacks.values():
        assert stack.probe()["drift"] == []
        assert stack.witness.seen == []


def test_what_fails_after_all_have_recorded_is_said_to_the_fleet_and_watched(
    fleet: FakeDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.deploy(both(fleet, "1"))

    def fails(*_: Any, **__: Any) -> None:
        raise SlipwayError("no report", "it is a test", "none")

    said: list[str] = []
    publish = Fleet.publish
    with monkeypatch.context() as patch:
        patch.setattr("slipway.agent.deploy.deploy.report", fails)
        patch.setattr(Fleet, "publish", lambda self, *what: (said.append(": ".join(what)), publish(self, *what))[1])
        ended = fleet.deploy(both(fleet, "2"), {name: {"watch": RULES} for name in NAMES})
    assert ["is recorded and serves" in each.error for each in ended.values()] == [True, True]
    assert said[-2:] == ["failed: no report"] * 2
    assert serving(fleet) == ["2", "2"]
    assert [stack.probe()["watch"]["release"] for stack in fleet.stacks.values()] == [
        stack.probe()["live"]["release"] for stack in fleet.stacks.values()
    ]


def test_a_host_that_refuses_before_it_begins_keeps_nobody_waiting(fleet: FakeDriver) -> None:
    fleet.deploy(both(fleet, "1"), {"two": {"owner": "one/prod"}})
    ended = fleet.deploy(both(fleet, "2"), {"two": {"owner": "two/prod"}})
    assert [each.code for each in ended.values()] == [1, 1]
    assert "deployed here by the Pulumi stack one/prod" in ended["two"].error
    assert "another host failed: host two: " in ended["one"].error
    assert ended["one"].seconds < 20
    assert serving(fleet) == ["1", "1"]


def test_nothing_starts_anywhere_before_every_host_has_what_it_needs(fleet: FakeDriver) -> None:
    fleet.deploy(both(fleet, "1"))
    slow = fleet.stacks["two"]
    image = fleet.world.image("slow", slow.host.engine.images.popitem()[1].behaviour, pull_seconds=20)
    releases = both(fleet, "2")
    web = slow.service(environment={"VERSION": "2"}, image=image)
    releases["two"] = slow.release({"web": web}, {"web": releases["two"]["services"]["web"]})
    process = fleet.begin(releases)
    fleet.world.time.sleep(19)
    assert [stack.versions() for stack in fleet.stacks.values()] == [{"web": ["1"]}] * 2
    assert [each.code for each in fleet.ended().values()] == [0, 0]
    fleet.world.kill(process)
    assert serving(fleet) == ["2", "2"]


def test_one_host_killed_at_any_point_the_next_run_has_both_on_one_release(fleet: FakeDriver) -> None:
    fleet.deploy(both(fleet, "1"))
    fleet.deploy(both(fleet, "2"))
    one = fleet.stacks["one"]
    every = [step for step in one.steps() if step.startswith(("barrier", "shift", "record", "retire"))]
    decisions = every[every.index("barrier:proven:finished") :]
    for number, where in enumerate(sample(every)):
        ended = fleet.deploy(both(fleet, f"killed-{number}"), {"one": {"kill": where}})
        assert ended["one"].code == KILLED, where
        decided = where in decisions
        assert (ended["two"].code == 0) is decided, (where, ended["two"].err)
        ended = fleet.deploy(both(fleet, f"after-{number}"))
        assert [each.code for each in ended.values()] == [0, 0], (where, [each.err for each in ended.values()])
        assert serving(fleet) == [f"after-{number}"] * 2
    assert [stack.witness.seen for stack in fleet.stacks.values()] == [[], []]


@pytest.mark.parametrize("seconds", [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
def test_a_driver_that_dies_before_the_last_barrier_leaves_the_old_release_everywhere(
    fleet: FakeDriver, seconds: float
) -> None:
    fleet.deploy(both(fleet, "1"))
    process = fleet.begin(both(fleet, "2", one="slow"))
    fleet.world.time.sleep(seconds)
    fleet.world.kill(process)
    ended = fleet.ended()
    assert ["the driver of this fleet deployment is gone" in each.error for each in ended.values()] == [True, True]
    assert all(each.seconds < seconds + ABANDONED_SECONDS + 3 for each in ended.values())
    assert serving(fleet) == ["1", "1"]
    assert [stack.witness.seen for stack in fleet.stacks.values()] == [[], []]


def test_a_verdict_of_an_earlier_deployment_decides_nothing(fleet: FakeDriver) -> None:
    fleet.deploy(both(fleet, "1"))
    ended = fleet.deploy(both(fleet, "2", two="sick"))
    assert [each.code for each in ended.values()] == [1, 1]
    ended = fleet.deploy(both(fleet, "3"))
    assert [each.code for each in ended.values()] == [0, 0]
    assert serving(fleet) == ["3", "3"]


def test_the_leader_alone_migrates(fleet: FakeDriver) -> None:
    migrate = {"migrate": {"command": ["ok"], "deadline": 20}}
    releases = {host: stack.shop(slipway={"api": migrate}) for host, stack in fleet.stacks.items()}
    assert [each.code for each in fleet.deploy(releases).values()] == [0, 0]
    assert ["migrated" in stack.outcomes() for stack in fleet.stacks.values()] == [True, False]
