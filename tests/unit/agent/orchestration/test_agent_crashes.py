"""The agent is killed at every point, forward and on the way back: what was proven serves, and the next run ends well.

A point is a line of the journal, each request that changed something, the time while a container stops, and each
writing of routes. Containers ignore SIGTERM here, so that what was told to stop goes on for its grace period of 5 s,
long into the next run.
"""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import pytest
from simulation import KILLED, SMOKE
from strategies import STRATEGIES, strategies
from thorough import sample

from slipway.hosts.plans import plan_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulation import Simulation

STUBBORN = {"MODE": "stubborn"}
GRACE_SECONDS = 5


def stubborn(how: dict[str, Any]) -> dict[str, Any]:
    """A way to change, with containers that ignore SIGTERM; two where there are several."""
    return {**how, "environment": STUBBORN, **({"replicas": 2} if "replicas" in how else {})}


def points(stack: Simulation, *, every: bool = False) -> list[dict[str, Any]]:
    """Where the deployment that just ended could have been killed, as options of another one.

    All lines of its journal only when that is wanted: the beginning of a step that only looks is what the last request
    before it left.
    """
    steps = [step for step in stack.steps() if every or not step.endswith(":finished") or step == stack.steps()[-1]]
    looks = ("await:", "smoke:", "judge:", "observe:", "preview:", "barrier:")
    names = [step for step in steps if every or not step.removeprefix("back:").startswith(looks)]
    return [{"kill": step} for step in names] + [{"kill_at": number} for number in range(len(stack.points))]


def as_released(stack: Simulation, wanted: dict[str, Any], where: object) -> None:
    """Exactly this release runs, and the host knows it."""
    stack.later(GRACE_SECONDS + 1)
    probe = stack.probe()
    assert (probe["live"]["release"], probe["drift"], probe["interrupted"]) == (wanted["id"], [], None), where
    expected = {
        name: [each["environment"]["VERSION"]] * (each.get("deploy") or {}).get("replicas", 1)
        for name, each in wanted["compose"]["services"].items()
    }
    assert stack.versions() == expected, where
    assert len(stack.ids()) == sum(map(len, expected.values())), where


def killed_everywhere(
    stack: Simulation, release: Callable[[str], dict[str, Any]], *, again: bool, every: bool = False
) -> int:
    """Kill a change at each of its points; then deploy the same release, or the one before, and see it live."""
    assert stack.deploy(release("reference-1")).code == 0
    live = release("reference-2")
    assert stack.deploy(live).code == 0
    found = points(stack, every=every)
    for number, where in enumerate(sample(found)):
        wanted = release(f"killed-{number}")
        killed = stack.deploy(wanted, **where)
        assert killed.code == KILLED, (where, killed.err)
        following = wanted if again else live
        ended = stack.deploy(following)
        assert ended.code == 0, (where, ended.err)
        as_released(stack, following, where)
        assert stack.witness.seen == [], where
        live = following
    return len(found)


@strategies
@pytest.mark.parametrize("again", [True, False], ids=["same", "previous"])
def test_killed_at_any_point_the_next_run_is_live_without_a_gap(
    stack: Simulation, how: dict[str, Any], *, again: bool
) -> None:
    every = how == STRATEGIES["rolling"]
    assert killed_everywhere(stack, lambda version: stack.web(version, **stubborn(how)), again=again, every=every) >= 12


@pytest.mark.parametrize("again", [True, False], ids=["same", "previous"])
@pytest.mark.parametrize("where", ["fetch:started", "grow:web:started", "shift:web:100:finished", "prune:started"])
def test_after_a_kill_the_head_of_the_plan_says_what_the_next_run_does(
    stack: Simulation, where: str, *, again: bool
) -> None:
    live, wanted = stack.web("1"), stack.web("2")
    assert stack.deploy(live).code == 0
    assert stack.deploy(wanted, kill=where).code == KILLED
    stack.later(GRACE_SECONDS)
    for following in (wanted if again else live,) * 2:
        head, *lines = plan_text({**stack.plan(following), "host": "one"}).splitlines()
        ended = stack.deploy(following)
        assert ("nothing to do" in head) == ("nothing to do" in ended.err), (head, ended.err)
        assert ("plan for" in head) == any(line.startswith("  web ") for line in lines)
    assert "nothing to do" in head


@strategies
def test_killed_on_the_way_back_the_proven_release_serves_at_every_instant(
    stack: Simulation, how: dict[str, Any]
) -> None:
    good = stack.web("good", **stubborn(how))
    assert stack.deploy(good).code == 0
    # It passes its gates, gets requests, and then falls ill.
    failing = {
        **stubborn(how),
        "environment": {"MODE": "ill", "AFTER": "3"},
        "update": {**how.get("update", {}), "monitor": 8},
    }
    assert "after it began to serve" in stack.deploy(stack.web("reference", **failing)).error
    every = [each for each in points(stack) if "kill_at" in each or each["kill"].startswith("back:")]
    for number, where in enumerate(sample(every)):
        killed = stack.deploy(stack.web(f"bad-{number}", **failing), **where)
        assert killed.code == KILLED, (where, killed.err)
        assert stack.deploy(good).code == 0, where
        as_released(stack, good, where)
        assert stack.witness.seen == [], where


@pytest.mark.parametrize("again", [True, False], ids=["same", "previous"])
def test_killed_at_any_point_services_without_a_route_converge_and_volumes_stay(
    stack: Simulation, *, again: bool
) -> None:
    volumes = {"data": {"name": "shop_data"}}
    mount = {"volumes": [{"type": "volume", "source": "data", "target": "/data"}]}
    slipway = {"api": {"migrate": {"command": ["ok"], "deadline": 20}, "smoke": [SMOKE]}}

    def version(number: str) -> dict[str, Any]:
        return stack.shop(
            number, db=number, db_service=mount, volumes=volumes, slipway=slipway, api_environment=STUBBORN
        )

    assert killed_everywhere(stack, version, again=again) >= 12
    assert list(stack.host.engine.volumes) == ["shop_data"]


def test_killed_on_the_way_back_services_without_a_route_converge(stack: Simulation) -> None:
    good = stack.shop(api_environment=STUBBORN)
    assert stack.deploy(good).code == 0

    def broken(number: str) -> dict[str, Any]:
        return stack.shop(number, db=number, api_environment={"MODE": "exit"})

    assert stack.deploy(broken("reference")).code == 1
    every = points(stack, every=True)
    assert {"kill": "back:recreate:api:finished"} in every
    for number, where in enumerate(sample(every)):
        killed = stack.deploy(broken(f"bad-{number}"), **where)
        assert killed.code == KILLED, (where, killed.err)
        assert stack.deploy(good).code == 0, where
        as_released(stack, good, where)


def test_killed_at_any_point_a_first_deployment_is_finished_by_the_next_run(stack: Simulation) -> None:
    assert stack.deploy(stack.web("1")).code == 0
    every = points(stack)
    wanted = stack.web("2")
    for where in sample(every):
        assert stack.destroy().code == 0
        assert stack.deploy(stack.web("1"), **where).code == KILLED, where
        assert stack.deploy(wanted).code == 0, where
        as_released(stack, wanted, where)
        assert stack.visit() == (200, "2")


def test_killed_at_any_point_a_failing_next_run_brings_the_proven_release_back(stack: Simulation) -> None:
    how = {**STRATEGIES["blue-green"], "environment": STUBBORN}
    broken = stack.web("broken", **{**how, "environment": {"MODE": "exit"}})
    good = stack.web("good", **how)
    assert stack.deploy(good).code == 0
    assert stack.deploy(stack.web("reference", **how)).code == 0
    every = points(stack)
    assert stack.deploy(good).code == 0
    for number, where in enumerate(sample(every)):
        assert stack.deploy(stack.web(f"killed-{number}", **how), **where).code == KILLED, where
        live = stack.probe()["live"]["release"]
        ended = stack.deploy(broken)
        assert f"release {live}" in ended.error, where
        stack.later(GRACE_SECONDS + 1)
        assert stack.probe()["drift"] == [], where
        assert stack.deploy(good).code == 0, where
        assert stack.witness.seen == [], where


@pytest.mark.parametrize("routed", [True, False])
def test_killed_while_a_container_stops_and_once_more_the_third_run_does_not_count_on_it(
    stack: Simulation, *, routed: bool
) -> None:
    def version(number: str) -> dict[str, Any]:
        if routed:
            return stack.web(number, environment=STUBBORN)
        return stack.shop(db=number, db_environment=STUBBORN)

    good = version("good")
    assert stack.deploy(version("reference")).code == 0
    assert stack.deploy(good).code == 0
    kill_at = next(number for number, what in enumerate(stack.points) if what.startswith("while"))
    for again in range(-1, 5):
        assert stack.deploy(version(f"bad-{again}"), kill_at=kill_at).code == KILLED
        process, ended = stack.begin_at(good, kill_at=again)
        if again < 0:
            stack.later(0.02)  # it has begun its journal and looks at nothing yet
            stack.world.kill(process)
        ended()
        assert stack.deploy(good).code == 0
        as_released(stack, good, again)
    assert stack.witness.seen == []


def test_a_disk_that_fills_up_meanwhile_keeps_no_proven_release_from_serving(
    stack: Simulation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    assert stack.deploy(stack.web("1", environment=STUBBORN)).code == 0
    assert stack.deploy(stack.web("2", environment=STUBBORN)).code == 0
    kill_at = next(number for number, what in enumerate(stack.points) if what.startswith("while"))
    assert stack.deploy(stack.web("3", environment=STUBBORN), kill_at=kill_at).code == KILLED
    live = stack.probe()["live"]["release"]
    monkeypatch.setattr("slipway.agent.state.journal.append_line", full)
    ended = stack.deploy(stack.web("4", environment=STUBBORN))
    assert f"release {live}" in ended.error
    assert "going back failed too" not in ended.error
    assert stack.visit()[0] == 200
    assert stack.witness.seen == []


def test_routes_that_were_written_and_never_taken_over_are_not_counted_on(stack: Simulation) -> None:
    first = stack.web("1")
    assert stack.deploy(first).code == 0
    stack.host.edges[0].stuck = True
    process, ended = stack.begin(stack.web("2"))
    stack.later(1.0)  # it waits for Traefik by now
    assert stack.steps()[-1] == "shift:web:100:started"
    stack.world.kill(process)
    assert ended().code == KILLED
    again = stack.deploy(stack.web("2"))
    assert "did not become live in slipway-edge" in again.error
    assert stack.visit() == (200, "1")
    assert stack.witness.seen == []


@pytest.mark.parametrize("seconds", [0.0, 0.2, 0.3, 0.5, 2.0, 4.0])
def test_ended_while_a_container_stops_the_one_that_comes_back_stays(stack: Simulation, seconds: float) -> None:
    first = stack.shop(api_environment=STUBBORN)
    assert stack.deploy(first).code == 0
    process, ended = stack.begin(stack.shop("2"))
    stack.later(0.2 + seconds)
    stack.world.terminate(process)
    result = ended()
    assert f"release {first['id']}" in result.error, result.err
    as_released(stack, first, seconds)
