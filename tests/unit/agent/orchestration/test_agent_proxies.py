"""A proxy that resolves a name once stands before what changes: no request is lost on the way through it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from simulation import KILLED, SMOKE
from strategies import STRATEGIES
from thorough import sample
from visitors import Visitors

if TYPE_CHECKING:
    from simulation import Ended, Simulation

FRONTS = {**STRATEGIES, "kept": {"strategy": "blue-green", "keep": 60}}
APIS: dict[str, dict[str, Any]] = {
    "rolling": {"strategy": "rolling", "update": {"order": "start-first"}},
    "replicas": {"strategy": "rolling", "update": {"order": "start-first"}, "replicas": 2},
    "blue-green": {"strategy": "blue-green"},
    "routed": {"strategy": "rolling", "update": {"order": "start-first"}, "port": 8000,
               "routes": [{"host": "api.test", "path": "/", "strip": False}]},
    "observed": {"strategy": "rolling", "update": {"order": "start-first", "monitor": 2.0}},
}  # fmt: skip
fronts = pytest.mark.parametrize("front", FRONTS.values(), ids=FRONTS)
apis = pytest.mark.parametrize("api", APIS.values(), ids=APIS)


def site(
    stack: Simulation, version: str, front: dict[str, Any], api: dict[str, Any], mode: str = "", **more: Any
) -> dict[str, Any]:
    """A proxy that follows `api`; it answers its route itself, and passes on all else."""
    check = {**SMOKE, "path": "/api/x", "deadline": 3}
    needs = {"api": {"condition": "service_healthy", "restart": True}}
    whole = stack.web("1", **{"smoke": [check], **front}, environment={"MODE": "front"}, service={"depends_on": needs})
    api = dict(api)
    behind = stack.service(environment={"VERSION": version, "MODE": mode})
    behind["deploy"] = {"replicas": api.pop("replicas", 1)}
    services = {"api": behind, **whole["compose"]["services"], **more}
    return stack.release(services, {**whole["services"], "api": api})


def under_load(stack: Simulation, wanted: dict[str, Any], **more: Any) -> tuple[Ended, dict[int, int]]:
    """Deploy while visitors ask for what the proxy passes on; and the answers that they got, with a while after it."""
    visitors = Visitors(stack.host, path="/api/x")
    ended = stack.deploy(wanted, **more)
    stack.later(10)
    visitors.leave()
    return ended, dict(visitors.answers)


def reached(stack: Simulation) -> set[str]:
    """The versions that the proxies pass requests on to."""
    found = [stack.host.engine.passes_on(each, "/api/x") for each in stack.containers("web") if each.running]
    return {each.environment["VERSION"] if each else "" for each in found}


@fronts
@apis
def test_no_request_is_lost_to_a_release_that_the_proxy_follows(
    stack: Simulation, front: dict[str, Any], api: dict[str, Any]
) -> None:
    stack.deploy(site(stack, "1", front, api))
    wanted = site(stack, "2", front, api)
    planned = {each["service"]: each for each in stack.plan(wanted)["changes"]}
    assert [(each["action"], each["interrupts"]) for each in planned.values()] == [("rolled", False)] * 2
    ended, answers = under_load(stack, wanted)
    assert ended.report["warnings"] == []
    assert answers.keys() == {200}, (answers, ended.err)
    assert reached(stack) == {"2"}
    assert {each for service in stack.versions().values() for each in service} <= {"2", "1"}
    assert set(stack.versions()["api"]) == {"2"}
    again = stack.deploy(wanted)
    assert (again.report["outcome"], again.report["touched"]) == ("unchanged", [])


@fronts
@apis
@pytest.mark.parametrize("mode", ["sick", "smoke"])
def test_no_request_is_lost_to_a_release_that_fails_before_the_proxy_followed_or_after(
    stack: Simulation, front: dict[str, Any], api: dict[str, Any], mode: str
) -> None:
    """`smoke`: something fails once all of it runs and gets the requests."""
    first = stack.deploy(site(stack, "1", front, api)).report["release"]
    last = {"last": stack.service(environment={"MODE": "sick"}, depends_on={"web": {"condition": "service_started"}})}
    bad = site(stack, "2", front, api, mode if mode == "sick" else "", **(last if mode == "smoke" else {}))
    ended, answers = under_load(stack, bad)
    assert f"rolled back to release {first}, which serves" in ended.error
    assert answers.keys() == {200}, (answers, ended.err)
    assert reached(stack) == {"1"}
    assert set(stack.versions()["api"]) == {"1"}
    again = stack.deploy(site(stack, "1", front, api))
    assert (again.report["outcome"], again.report["touched"]) == ("unchanged", [])


@pytest.mark.parametrize("front", [FRONTS["rolling"], FRONTS["batches"]], ids=["rolling", "batches"])
@pytest.mark.parametrize("api", [APIS["rolling"], APIS["routed"]], ids=["rolling", "routed"])
@pytest.mark.parametrize("then", ["again", "back"])
def test_no_request_is_lost_wherever_it_is_cut_off(
    stack: Simulation, front: dict[str, Any], api: dict[str, Any], then: str
) -> None:
    stack.deploy(site(stack, "reference-1", front, api))
    stack.deploy(site(stack, "reference-2", front, api))
    every = range(len(stack.points))
    before = "reference-2"
    for where in sample(every):
        visitors = Visitors(stack.host, path="/api/x")
        assert stack.deploy(site(stack, f"{where}", front, api), kill_at=where).code == KILLED
        before = f"{where}" if then == "again" else before
        ended = stack.deploy(site(stack, before, front, api))
        stack.later(5)
        visitors.leave()
        assert ended.code == 0, ended.err
        assert visitors.answers.keys() == {200}, (where, stack.points, visitors.answers, ended.err)
        assert reached(stack) == {before}, where
        assert set(stack.versions()["api"]) == {before}
    assert len(every) > 5


def test_where_another_that_does_not_follow_needs_the_old_ones_gone_the_plan_says_what_that_interrupts(
    stack: Simulation,
) -> None:
    """It starts, so that it would keep the address of what is about to go."""
    front, api = FRONTS["rolling"], APIS["rolling"]

    def both(version: str) -> dict[str, Any]:
        needs = {"api": {"condition": "service_healthy"}}
        environment = {"MODE": "front", "VERSION": version}
        return site(stack, version, front, api, admin=stack.service(environment=environment, depends_on=needs))

    stack.deploy(both("1"))
    planned = {each["service"]: each["interrupts"] for each in stack.plan(both("2"))["changes"]}
    assert planned == {"api": False, "admin": True, "web": True}
    assert stack.deploy(both("2")).code == 0
    [admin] = stack.containers("admin")
    found = stack.host.engine.passes_on(admin, "/api/x")
    assert found
    assert found.environment["VERSION"] == "2"
    assert reached(stack) == {"2"}


def test_batches_of_what_is_followed_go_one_by_one_and_the_plan_says_so(stack: Simulation) -> None:
    api = {"strategy": "rolling", "update": {"order": "start-first", "parallelism": 1}, "replicas": 3}
    stack.deploy(site(stack, "1", FRONTS["rolling"], api))
    wanted = site(stack, "2", FRONTS["rolling"], api)
    assert {each["service"]: each["interrupts"] for each in stack.plan(wanted)["changes"]} == {
        "api": False,
        "web": True,
    }
    assert stack.deploy(wanted).code == 0
    assert reached(stack) == {"2"}


def test_no_request_is_lost_where_one_follows_what_follows(stack: Simulation) -> None:
    """`web` follows `api`, a proxy that does not change, which follows `core`."""

    def chain(version: str, mode: str = "") -> dict[str, Any]:
        whole = site(stack, "1", FRONTS["rolling"], APIS["rolling"], "core proxy")
        services = whole["compose"]["services"]
        services["core"] = stack.service(environment={"VERSION": version, "MODE": mode})
        services["api"]["depends_on"] = {"core": {"condition": "service_healthy", "restart": True}}
        return stack.release(services, {**whole["services"], "core": APIS["rolling"]})

    stack.deploy(chain("1"))
    planned = [(each["service"], each["action"], each["interrupts"]) for each in stack.plan(chain("2"))["changes"]]
    assert planned == [(name, "rolled", False) for name in ("core", "api", "web")]
    for wanted in (chain("2"), chain("3", "sick"), chain("4")):
        ended, answers = under_load(stack, wanted)
        assert answers.keys() == {200}, (answers, ended.err)
    assert reached(stack) == {"4"}
    [core] = stack.ids("core")
    stack.host.engine.handle("DELETE", f"/containers/{core}?force=true")  # old and new of `api` are alike then
    assert stack.deploy(chain("4")).report["touched"] == ["api", "core", "web"]
    assert reached(stack) == {"4"}


def test_what_stays_and_does_not_follow_is_asked_for_without_the_old_ones(stack: Simulation) -> None:
    """Its route would answer as long as they are there."""

    def both(version: str) -> dict[str, Any]:
        needs = {"api": {"condition": "service_healthy"}}
        whole = site(stack, version, FRONTS["rolling"], APIS["rolling"])
        admin = stack.service(environment={"MODE": "proxy"}, depends_on=needs)
        route = {"strategy": "rolling", "port": 8000, "routes": [{"host": "admin.test", "path": "/", "strip": False}]}
        return stack.release({**whole["compose"]["services"], "admin": admin}, {**whole["services"], "admin": route})

    stack.deploy(both("1"))
    ended = stack.deploy(both("2"))
    assert "admin" in ended.error
    assert "write `depends_on: {api: {condition: service_started, restart: true}}` in admin" in ended.error
    assert reached(stack) == {"1"}
