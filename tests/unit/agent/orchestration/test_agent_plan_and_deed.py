"""What a plan says is what happens: every service, its reason, and what is interrupted."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_machine import World
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import Simulation
from strategies import CANARY
from thorough import THOROUGH

from slipway.agent.deploy.planned import unlike_plan
from slipway.agent.state.kept_generations import Keeping
from slipway.compose.schema_check import checked
from slipway.hosts.plans import change_of

if TYPE_CHECKING:
    from collections.abc import Mapping

NEEDS = st.fixed_dictionaries(
    {"condition": st.sampled_from(["service_started", "service_healthy"]), "restart": st.booleans()}
)
WEB = st.fixed_dictionaries(
    {
        "strategy": st.sampled_from(["rolling", "blue-green", "canary", "recreate"]),
        "replicas": st.integers(0, 3),
        "keep": st.sampled_from([0, 0, 30]),
        "path": st.sampled_from(["/", "/", "/shop"]),
        "version": st.integers(0, 2),
        "needs": st.none() | NEEDS,
    }
)
PLAIN = st.fixed_dictionaries({"version": st.integers(0, 1), "replicas": st.integers(0, 2), "needs": st.none() | NEEDS})
RELEASES = st.fixed_dictionaries(
    {
        "web": st.none() | WEB,
        "api": st.none() | PLAIN,
        "db": PLAIN,
        "stopped": st.none() | st.sampled_from(["api", "db"]),
    }
)


def release(stack: Simulation, change: Mapping[str, Any]) -> dict[str, Any]:
    services, slipway = {}, {}
    for name, other in (("db", ""), ("api", "db"), ("web", "api")):
        own = change[name]
        if own is None:
            continue
        needs = {other: own["needs"]} if other and own["needs"] and change[other] else {}
        more = {"depends_on": needs, "deploy": {"replicas": own["replicas"]}}
        if name == "web":
            routed = stack.web("1", strategy=own["strategy"], replicas=own["replicas"], keep=own["keep"],
                               canary=CANARY if own["strategy"] == "canary" else None)  # fmt: skip
            slipway["web"] = routed["services"]["web"]
            slipway["web"]["routes"] = [{**each, "path": own["path"]} for each in slipway["web"]["routes"]]
            more = {**routed["compose"]["services"]["web"], **more}
        services[name] = stack.service(**{**more, "environment": {"VERSION": str(own["version"])}})
    return stack.release(services, slipway)


@settings(max_examples=100 if THOROUGH else 10, deadline=None, derandomize=True)
@given(releases=st.lists(RELEASES, min_size=3, max_size=4))
def test_what_a_plan_says_is_what_happens(releases: list[dict[str, Any]]) -> None:
    home = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    world = World()
    with pytest.MonkeyPatch.context() as patch:
        world.install(patch)
        stack = Simulation(world.host("one", home))
        try:
            for change in releases:
                wanted = release(stack, change)
                if change["stopped"] and (stopped := stack.containers(change["stopped"])):
                    stack.host.engine.handle("POST", f"/containers/{stopped[0].id}/stop?t=1")
                    stack.later(2)
                before = containers(stack)
                plan = checked("plan", stack.plan(wanted))
                assert containers(stack) == before, "a plan changes nothing"
                ended = stack.deploy(wanted)
                assert ended.code == 0, ended.error
                assert "defect" not in ended.err
                planned = [change_of(each) for each in plan["changes"]]
                assert unlike_plan(planned, before, containers(stack)) == [], plan
                assert not set(plan["unchanged"]) & {each.service for each in planned}
                again = stack.plan(wanted)
                assert (again["changes"], again["steps"]) == ([], []), ended.out.said
                stack.later(40)
        finally:
            world.time.bury()
            shutil.rmtree(home)


def containers(stack: Simulation) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    kept = Keeping(stack.folder).containers
    for each in stack.containers():
        if each.id[:12] not in kept:
            found.setdefault(each.labels["com.docker.compose.service"], []).append(each.id)
    return found
