"""Deployments that go well: every strategy, first and again, and what each leaves untouched."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from strategies import STRATEGIES, strategies

if TYPE_CHECKING:
    from simulation import Simulation


@strategies
def test_a_change_of_a_routed_service_is_served_at_every_instant(stack: Simulation, how: dict[str, Any]) -> None:
    assert stack.deploy(stack.web("1", **how)).report["outcome"] == "deployed"
    assert stack.visit() == (200, "1")
    ended = stack.deploy(stack.web("2", **how))
    assert (ended.report["outcome"], ended.report["touched"]) == ("deployed", ["web"])
    assert stack.visit() == (200, "2")
    assert stack.versions() == {"web": ["2"] * how.get("replicas", 1)}
    assert stack.witness.seen == []
    assert stack.probe()["drift"] == []


@strategies
def test_the_same_release_again_touches_nothing(stack: Simulation, how: dict[str, Any]) -> None:
    wanted = stack.web("1", **how)
    stack.deploy(wanted)
    before = stack.ids()
    again = stack.deploy(wanted)
    assert (again.report["outcome"], again.report["touched"], stack.points) == ("unchanged", [], [])
    assert stack.ids() == before


@strategies
def test_replicas_grow_and_shrink_without_touching_those_that_stay(stack: Simulation, how: dict[str, Any]) -> None:
    stack.deploy(stack.web("1", **{**how, "replicas": 2}))
    two = stack.ids()
    stack.deploy(stack.web("1", **{**how, "replicas": 4}))
    assert set(two) < set(stack.ids())
    assert len(stack.ids()) == 4
    stack.deploy(stack.web("1", **{**how, "replicas": 2}))
    assert stack.ids() == two
    assert stack.witness.seen == []
    assert stack.visit() == (200, "1")


@pytest.mark.parametrize("old", STRATEGIES.values(), ids=STRATEGIES)
def test_another_strategy_takes_over_without_a_gap(stack: Simulation, old: dict[str, Any]) -> None:
    stack.deploy(stack.web("1", **old))
    for number, how in enumerate(STRATEGIES.values()):
        assert stack.deploy(stack.web(f"{number}", **how)).code == 0
        assert stack.visit() == (200, f"{number}")
    assert stack.witness.seen == []


def test_a_batch_is_replaced_before_the_next_one_begins(stack: Simulation) -> None:
    how = STRATEGIES["batches"]
    stack.deploy(stack.web("1", **how))
    stack.deploy(stack.web("2", **how))
    shifts = [step for step in stack.steps() if step.startswith("shift") and step.endswith("finished")]
    assert shifts == ["shift:web:33:finished", "shift:web:67:2:finished", "shift:web:100:finished"]


def test_the_canary_goes_up_step_by_step(stack: Simulation) -> None:
    stack.deploy(stack.web("1", **STRATEGIES["canary"]))
    stack.deploy(stack.web("2", **STRATEGIES["canary"]))
    moved = [step for step in stack.steps() if step.startswith(("shift", "judge")) and step.endswith("finished")]
    assert moved == [
        f"{step}:finished" for step in ("shift:web:20", "judge:web:20", "shift:web:50", "judge:web:50", "shift:web:100")
    ]


# --- services without a route


def test_a_service_starts_once_what_it_depends_on_is_healthy(stack: Simulation) -> None:
    stack.deploy(stack.shop())
    db, api = stack.containers("db")[0], stack.containers("api")[0]
    healthy = next(each for each in db.health.log if each["ExitCode"] == 0)  # type: ignore[union-attr]
    assert healthy["End"] <= stack.host.engine._moment(api.started)
    assert stack.steps()[4:12:2] == ["start:db:started", "await:db:started", "start:api:started", "await:api:started"]


def test_a_change_to_one_service_touches_only_that_service(stack: Simulation) -> None:
    stack.deploy(stack.shop())
    db, api = stack.ids("db"), stack.ids("api")
    report = stack.deploy(stack.shop("2")).report
    assert report["touched"] == ["api"]
    assert stack.ids("db") == db
    assert stack.ids("api") != api
    assert stack.versions() == {"api": ["2"], "db": ["1"]}


def test_what_a_service_shares_a_namespace_with_takes_it_along(stack: Simulation) -> None:
    beside = {"side": stack.service(network_mode="service:db", networks=None)}
    stack.deploy(stack.shop(extra=beside))
    side = stack.ids("side")
    report = stack.deploy(stack.shop(db="2", extra=beside)).report
    assert report["touched"] == ["db", "side"]
    assert stack.ids("side") != side


def test_a_rotated_secret_recreates_only_its_users(stack: Simulation) -> None:
    wanted = stack.shop(api_environment={"TOKEN": "${TOKEN}"}, secrets=("TOKEN",))
    stack.deploy(wanted, secrets={"TOKEN": "first-value"})
    db = stack.ids("db")
    ended = stack.deploy(wanted, secrets={"TOKEN": 'se$cond "va\'lue"\n'})
    assert (ended.report["outcome"], ended.report["touched"]) == ("deployed", ["api"])
    assert stack.ids("db") == db
    assert stack.containers("api")[0].environment["TOKEN"] == 'se$cond "va\'lue"\n'


@pytest.mark.parametrize("mode", ["", "sick"])
def test_who_is_replaced_together_has_what_compose_copies_at_the_start(stack: Simulation, mode: str) -> None:
    def release(version: str, how: str = "") -> dict[str, Any]:
        own = {"configs": [{"source": "own", "target": "/run/own"}], "environment": {"VERSION": version, "MODE": how}}
        services = {name: stack.service(**own) for name in ("db", "cache")}
        return stack.release(services, secrets=("TOKEN",), configs={"own": {"name": "own", "content": "${TOKEN}"}})

    stack.deploy(release("1"), secrets={"TOKEN": "x"})
    stack.deploy(release("2", mode), secrets={"TOKEN": "x"})
    assert stack.versions()["db"] == ["1" if mode else "2"]
    assert {*stack.ids("db"), *stack.ids("cache")} <= stack.host.engine.handed


def test_a_removed_service_goes_and_its_volume_stays(stack: Simulation) -> None:
    mount = [{"type": "volume", "source": "data", "target": "/data"}]
    volumes = {"data": {"name": "shop_data"}}
    stack.deploy(stack.shop(extra={"old": stack.service(volumes=mount)}, volumes=volumes))
    assert stack.deploy(stack.shop()).report["touched"] == ["old"]
    assert stack.ids("old") == []
    assert list(stack.host.engine.volumes) == ["shop_data"]


def test_a_service_that_loses_its_route_keeps_running(stack: Simulation) -> None:
    stack.deploy(stack.web("1"))
    plain = stack.release({"web": stack.service(environment={"VERSION": "1"})})
    assert stack.deploy(plain).code == 0
    assert stack.versions() == {"web": ["1"]}
    assert "unroute:web:finished" in stack.steps()


def test_a_plan_that_is_only_shown_changes_nothing(stack: Simulation) -> None:
    plan = stack.plan(stack.shop())
    assert plan["steps"] == ["fetch", "files", "start:db", "await:db", "start:api", "await:api", "record", "prune"]
    assert stack.ids() == []
    assert list(stack.host.home.iterdir()) == []
