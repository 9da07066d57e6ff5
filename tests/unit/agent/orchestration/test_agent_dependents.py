"""Who depends on another service with `restart: true` is replaced along with it, by its own strategy, route and all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from simulation import KILLED
from strategies import STRATEGIES
from thorough import sample

if TYPE_CHECKING:
    from simulation import Simulation

WEB = {"recreate": {"strategy": "recreate"}, **STRATEGIES}
API = {"recreate": {}, "rolling": {"strategy": "rolling"}}
webs = pytest.mark.parametrize("web", WEB.values(), ids=WEB)
apis = pytest.mark.parametrize("api", API.values(), ids=API)


def release(
    stack: Simulation, version: str, web: dict[str, Any], api: dict[str, Any], mode: str = "", **more: Any
) -> dict[str, Any]:
    """A routed `web`, which never changes, in front of `api`; `mode` is how that behaves."""
    whole = stack.web("same", **{**web, "keep": 0 if web["strategy"] == "recreate" else 60}, service={
        "depends_on": {"api": {"condition": "service_healthy", "restart": True}}})  # fmt: skip
    services = {"api": stack.service(environment={"VERSION": version, "MODE": mode})}
    services |= whole["compose"]["services"] | more
    return stack.release(services, {**whole["services"], "api": api})


def serves(stack: Simulation, web: dict[str, Any], version: str) -> None:
    """Each `web` was made after the `api` in front of which it stands, and gets the requests."""
    [api] = stack.containers("api")
    fronts = stack.containers("web")
    assert (api.environment["VERSION"], len(fronts)) == (version, web.get("replicas", 1))
    assert all(api.created < each.created and each.running for each in fronts)
    assert stack.visit() == (200, "same")
    assert stack.probe()["drift"] == []


@apis
@webs
def test_a_routed_dependent_follows_by_its_own_strategy(
    stack: Simulation, web: dict[str, Any], api: dict[str, Any]
) -> None:
    stack.deploy(release(stack, "1", web, api))
    action = next(
        each["action"] for each in stack.plan(release(stack, "2", web, api))["changes"] if each["service"] == "web"
    )
    assert action == ("restarted" if web["strategy"] == "recreate" else "rolled")
    ended = stack.deploy(release(stack, "2", web, api))
    assert ended.report["touched"] == ["api", "web"]
    serves(stack, web, "2")
    assert web["strategy"] == "recreate" or stack.witness.seen == []
    again = stack.deploy(release(stack, "2", web, api))
    assert (again.report["outcome"], again.report["touched"]) == ("unchanged", [])
    serves(stack, web, "2")


@webs
def test_a_dependency_that_was_removed_by_hand_takes_its_dependents_along(
    stack: Simulation, web: dict[str, Any]
) -> None:
    wanted = release(stack, "1", web, {})
    stack.deploy(wanted)
    [api] = stack.ids("api")
    stack.host.engine.handle("DELETE", f"/containers/{api}?force=true")
    assert stack.deploy(wanted).report["touched"] == ["api", "web"]
    serves(stack, web, "1")


@pytest.mark.parametrize("mode", ["network_mode", "pid", "ipc"])
@pytest.mark.parametrize("by", ["a crash", "a person"])
def test_who_is_left_in_a_namespace_that_ended_is_drift_and_restarted(stack: Simulation, mode: str, by: str) -> None:
    inside = stack.service(**{mode: "service:vpn"})
    inside = {key: value for key, value in inside.items() if mode != "network_mode" or key != "networks"}
    wanted = stack.release({"vpn": stack.service(restart="always"), "inside": inside, "other": stack.service()})
    stack.deploy(wanted)
    [vpn] = stack.containers("vpn")
    if by == "a crash":
        stack.host.engine._end(vpn, 139)
    else:
        stack.host.engine.handle("POST", f"/containers/{vpn.id}/restart")
    stack.later(5)
    said = "shop-inside-1 was left behind: shop-vpn-1, whose namespace it uses, was started again"
    assert stack.probe()["drift"] == [{"service": "inside", "what": said}]
    [change] = stack.plan(wanted)["changes"]
    assert (change["service"], change["action"], change["because"]) == ("inside", "restarted", [f"drift: {said}"])
    kept = stack.ids("vpn", "other")
    ended = stack.deploy(wanted)
    assert (ended.report["outcome"], ended.report["touched"], stack.ids("vpn", "other")) == (
        "repaired", ["inside"], kept)  # fmt: skip
    assert stack.probe()["drift"] == []
    assert stack.deploy(wanted).report["outcome"] == "unchanged"


@webs
def test_more_replicas_of_a_dependency_leave_its_dependents_alone(stack: Simulation, web: dict[str, Any]) -> None:
    stack.deploy(release(stack, "1", web, {}))
    fronts = stack.ids("web")
    more = release(stack, "1", web, {})
    api = {**more["compose"]["services"]["api"], "deploy": {"replicas": 3}}
    grown = stack.release({**more["compose"]["services"], "api": api}, more["services"])
    assert stack.deploy(grown).report["touched"] == ["api"]
    assert stack.ids("web") == fronts


@apis
@webs
@pytest.mark.parametrize("mode", ["sick", "exit"])
def test_a_dependency_that_fails_comes_back_with_its_dependents(
    stack: Simulation, web: dict[str, Any], api: dict[str, Any], mode: str
) -> None:
    stack.deploy(release(stack, "1", web, api))
    assert stack.deploy(release(stack, "2", web, api, mode)).code == 1
    serves(stack, web, "1")
    assert web["strategy"] == "recreate" or stack.witness.seen == []


@apis
@webs
def test_a_failure_after_the_dependents_followed_takes_them_back_too(
    stack: Simulation, web: dict[str, Any], api: dict[str, Any]
) -> None:
    stack.deploy(release(stack, "1", web, api))
    bad = stack.service(environment={"MODE": "sick"}, depends_on={"web": {"condition": "service_healthy"}})
    assert stack.deploy(release(stack, "2", web, api, last=bad)).code == 1
    serves(stack, web, "1")
    assert web["strategy"] == "recreate" or stack.witness.seen == []


@apis
@webs
def test_killed_at_any_point_the_next_run_has_the_dependents_follow(
    stack: Simulation, web: dict[str, Any], api: dict[str, Any]
) -> None:
    stack.deploy(release(stack, "reference-1", web, api))
    stack.deploy(release(stack, "reference-2", web, api))
    every = range(len(stack.points))
    for where in sample(every):
        assert stack.deploy(release(stack, f"{where}", web, api), kill_at=where).code == KILLED
        assert stack.deploy(release(stack, f"{where}", web, api)).code == 0
        serves(stack, web, f"{where}")
        assert web["strategy"] == "recreate" or stack.witness.seen == [], where
    assert len(every) > 5
