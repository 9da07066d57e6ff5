"""Facts and a wanted release in, step names out: one file per case under cases/."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from case_values import cases, container, live, proof, service

from slipway.agent.deploy.plan import Plan, WantedRelease, converge, deployment
from slipway.agent.drift import drift
from slipway.agent.strategies import find
from slipway.agent.strategies.graph import levels
from slipway.agent.strategies.service import Routed
from slipway.agent.strategies.steps import Drain, KeepOld, Remove, ShiftTraffic, Step, name_of
from slipway.contract.problems import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

PLANS = cases("plan")
DRIFTS = cases("drift")
BACK = cases("back")


def planned(case: dict[str, Any]) -> Plan:
    wanted = WantedRelease(
        release=case.get("release", "r-1"),
        convergence=case.get("convergence", ""),
        services={name: service(name, **values) for name, values in case["services"].items()},
        migrations=tuple(case.get("migrations", ())),
        smoke=tuple(case.get("smoke", ())),
        fleet=case.get("fleet", False),
        resumed=case.get("resumed", False),
    )
    containers = [container(**each) for each in case["containers"]]
    return deployment(wanted, containers, live(case["live"]), case.get("missing_images", ()), routed(case))


def names(steps: Iterable[Step]) -> list[str]:
    return [name_of(step) for step in steps]


def routed(case: dict[str, Any]) -> Routed:
    given = case.get("routed", {})
    return Routed(given.get("weights", {}), frozenset(given.get("stale", ())), given.get("edge", ""))


@pytest.mark.parametrize("name", PLANS)
def test_plan(name: str) -> None:
    case = PLANS[name]
    plan = planned(case)
    assert names(plan.steps) == case["steps"]
    assert list(plan.touched) == case["touched"]
    if "removes" in case:
        removed = {step.service: list(step.containers) for step in plan.steps if isinstance(step, Remove)}
        assert removed == case["removes"]
    if "retires" in case:
        retired = {name_of(step): list(step.containers) for step in plan.steps if isinstance(step, (Drain, KeepOld))}
        assert retired == case["retires"]
    if "shifts" in case:
        shifted = {
            name_of(step): [list(step.old), list(step.without)] for step in plan.steps if isinstance(step, ShiftTraffic)
        }
        assert shifted == case["shifts"]


@pytest.mark.parametrize("name", PLANS)
def test_step_names_of_a_plan_are_unique_so_that_a_crash_has_one_place(name: str) -> None:
    found = names(planned(PLANS[name]).steps)
    assert len(found) == len(set(found))


@pytest.mark.parametrize("name", BACK)
def test_going_back(name: str) -> None:
    case = BACK[name]
    services = {each: service(each, **values) for each, values in case["services"].items()}
    proofs = {each: proof(config=values["config"]) for each, values in case["services"].items()}
    containers = [container(**each) for each in case["containers"]]
    courses = converge(services, containers, proofs, routed=routed(case), back=True)
    found = {"first": names(courses.first), "steps": names(courses.steps)}
    assert {**found, "late": names(courses.late)} == case["courses"]


@pytest.mark.parametrize("name", DRIFTS)
def test_drift(name: str) -> None:
    case = DRIFTS[name]
    found = drift(
        {service: proof(**values) for service, values in case["proofs"].items()},
        [container(**each) for each in case["containers"]],
    )
    assert [f"{each['service']}: {each['what']}" for each in found] == case["drift"]


def test_circle_of_dependencies_is_named() -> None:
    with pytest.raises(DocumentError, match="a → b → a"):
        levels({"a": ["b"], "b": ["a"], "c": []})


def test_unknown_strategy_is_named_with_the_known_ones() -> None:
    with pytest.raises(DocumentError, match="strategy rainbow") as caught:
        find("rainbow", "api")
    assert "recreate" in caught.value.problems[0].meaning
