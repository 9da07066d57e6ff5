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


CURE = "write `depends_on: {api: {condition: service_started, restart: true}}` in "


def apart(stack: Simulation, version: str, api: dict[str, Any], mode: str = "front", **check: Any) -> dict[str, Any]:
    """As `site`, but the proxy does not follow."""
    whole = site(stack, version, FRONTS["rolling"], api)
    services = whole["compose"]["services"]
    services["web"]["depends_on"]["api"]["restart"] = False
    services["web"]["environment"]["MODE"] = mode
    whole["services"]["web"]["smoke"] = [{**SMOKE, "path": "/api/x", "deadline": 30, **check}]
    return stack.release(services, whole["services"])


def test_a_proxy_without_a_route_is_asked_for_its_checks_alike(stack: Simulation) -> None:
    """It has a port of the host's instead."""

    def published(version: str, api: dict[str, Any]) -> dict[str, Any]:
        whole = apart(stack, version, api)
        whole["compose"]["services"]["web"]["ports"] = [{"target": 8000, "published": "8080", "mode": "ingress"}]
        whole["services"]["web"] |= {"routes": [], "strategy": "recreate"}
        return stack.release(whole["compose"]["services"], whole["services"])

    stack.deploy(published("1", APIS["rolling"]))
    ended = stack.deploy(published("2", APIS["rolling"]))
    assert "web goes on asking the old containers of api" in ended.error
    assert reached(stack) == {"1"}
    [web] = stack.containers("web")
    failing = published("1", APIS["rolling"])
    failing["compose"]["services"]["api"]["environment"]["MODE"] = "sick"
    web.upstream = "10.9.9.9"  # as after the way back from a version before
    ended = stack.deploy(stack.release(failing["compose"]["services"], failing["services"]))
    assert "web starts again" in ended.err
    assert reached(stack) == {"1"}


@apis
def test_a_proxy_that_would_go_on_asking_the_old_ones_fails_the_release_and_loses_no_request(
    stack: Simulation, api: dict[str, Any]
) -> None:
    first = stack.deploy(apart(stack, "1", api)).report["release"]
    ended, answers = under_load(stack, apart(stack, "2", api))
    assert "web goes on asking the old containers of api" in ended.error
    assert f"{CURE}web" in ended.error
    assert f"rolled back to release {first}, which serves" in ended.error
    assert answers.keys() == {200}, (answers, ended.err)
    assert reached(stack) == {"1"}
    assert ended.seconds < 90


@apis
def test_one_that_asks_for_the_name_again_passes_once_it_has(stack: Simulation, api: dict[str, Any]) -> None:
    stack.deploy(apart(stack, "1", api, "anew"))
    ended, answers = under_load(stack, apart(stack, "2", api, "anew"))
    assert ended.code == 0, ended.err
    assert answers.keys() == {200}, (answers, ended.err)
    assert reached(stack) == {"2"}
    assert 5 < ended.seconds < 40


def test_what_no_check_asks_through_the_proxy_is_found_once_the_old_ones_are_gone(stack: Simulation) -> None:
    """Nothing is known of it before, so that only its route can tell."""
    api = APIS["rolling"]
    stack.deploy(apart(stack, "1", api, "proxy", kind="tcp"))
    ended = stack.deploy(apart(stack, "2", api, "proxy", kind="tcp"))
    assert f"{CURE}web" in ended.error
    assert reached(stack) == {"1"}


def test_a_smoke_check_that_fails_behind_a_proxy_names_what_it_may_have_kept(stack: Simulation) -> None:
    """A recreated service's old containers are gone before anything can be asked; its address is given away here."""
    old = {"old": stack.service()}
    whole = apart(stack, "1", {})
    whole["compose"]["services"]["api"]["depends_on"] = {"old": {"condition": "service_started"}}
    stack.deploy(stack.release({**whole["compose"]["services"], **old}, whole["services"]))
    stack.deploy(apart(stack, "1", {}))
    ended = stack.deploy(apart(stack, "2", {}))
    assert "fix web or the smoke check in its x-slipway, then deploy again; or a proxy keeps" in ended.error
    assert f"{CURE}web" in ended.error


def test_one_that_stays_beside_one_that_follows_is_asked_before_the_old_ones_go(stack: Simulation) -> None:
    def both(version: str) -> dict[str, Any]:
        whole = site(stack, version, FRONTS["rolling"], APIS["rolling"])
        needs = {"api": {"condition": "service_healthy"}}
        admin = stack.service(environment={"MODE": "proxy"}, depends_on=needs)
        check = {**SMOKE, "path": "/api/x", "deadline": 3}
        route = {"strategy": "rolling", "port": 8000, "routes": [{"host": "admin.test", "path": "/", "strip": False}]}
        return stack.release(
            {**whole["compose"]["services"], "admin": admin},
            {**whole["services"], "admin": {**route, "smoke": [check]}},
        )

    stack.deploy(both("1"))
    ended, answers = under_load(stack, both("2"))
    assert "admin goes on asking the old containers of api" in ended.error
    assert f"{CURE}admin" in ended.error
    assert answers.keys() == {200}
    assert reached(stack) == {"1"}


def test_who_follows_no_longer_is_made_anew_without_the_name_of_a_generation(stack: Simulation) -> None:
    """That name would lead nowhere once the other has changed."""
    front, api = FRONTS["rolling"], APIS["rolling"]
    for version in ("1", "2"):
        stack.deploy(site(stack, version, front, api))
    assert any(each.endpoints["shop_default"]["Links"] for each in stack.containers("web"))
    assert stack.deploy(apart(stack, "2", api)).report["touched"] == ["web"]
    assert not any(each.endpoints["shop_default"]["Links"] for each in stack.containers("web"))
    assert stack.deploy(apart(stack, "2", api)).report["touched"] == []


@pytest.mark.parametrize("follows", [True, False])
@pytest.mark.parametrize(
    ("links", "name"), [(["api"], "api"), (["api:backend"], "backend"), (["api:x", "api:backend"], "backend")]
)
def test_a_link_leads_to_whatever_serves(stack: Simulation, links: list[str], name: str, *, follows: bool) -> None:
    """Compose links to containers, by names that a rollout takes away."""
    for version in ("1", "2", "3")[: 3 if follows else 2]:  # the fake of one that resolves anew goes by addresses
        api = APIS["rolling"]
        whole = site(stack, version, FRONTS["rolling"], api) if follows else apart(stack, version, api, "anew")
        web = whole["compose"]["services"]["web"]
        web["links"] = links
        web["environment"]["UPSTREAM"] = name
        ended, answers = under_load(stack, stack.release(whole["compose"]["services"], whole["services"]))
        assert ended.code == 0, ended.err
        assert answers.keys() == {200} or version == "1"
        assert reached(stack) == {version}
