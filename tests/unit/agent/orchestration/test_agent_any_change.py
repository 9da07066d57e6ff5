"""Whatever is deployed after whatever, and wherever it is cut off: the promises hold after each of it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from fake_machine import World
from hypothesis import given, settings
from hypothesis import strategies as st
from simulation import KILLED, Simulation
from strategies import CANARY
from thorough import THOROUGH

MODES = st.sampled_from(["", "", "", "stubborn", "slow", "exit", "sick", "smoke"])
WEB = st.fixed_dictionaries(
    {
        "strategy": st.sampled_from(["rolling", "blue-green", "canary"]),
        "replicas": st.integers(1, 3),
        "parallelism": st.integers(0, 2),
        "keep": st.sampled_from([0, 0, 30]),
        "mode": MODES,
        "version": st.integers(0, 2),
    }
)
PLAIN = st.fixed_dictionaries({"mode": MODES.filter(lambda mode: mode != "smoke"), "version": st.integers(0, 2)})
CHANGES = st.fixed_dictionaries(
    {
        "web": WEB,
        "api": st.none() | PLAIN,
        "db": st.none() | PLAIN,
        "cut": st.none() | st.tuples(st.sampled_from(["kill", "term"]), st.floats(0, 8)),
        "wait": st.sampled_from([0, 0, 2, 40]),
    }
)


def release(stack: Simulation, change: dict[str, Any]) -> dict[str, Any]:
    web = change["web"]
    services, slipway = {}, {}
    routed = stack.web(
        str(web["version"]),
        strategy=web["strategy"],
        replicas=web["replicas"],
        keep=web["keep"],
        canary=CANARY if web["strategy"] == "canary" else None,
        update={"parallelism": web["parallelism"]},
        environment={"MODE": web["mode"]},
    )
    services["web"] = routed["compose"]["services"]["web"]
    slipway["web"] = routed["services"]["web"]
    for name in ("db", "api"):
        plain = change[name]
        if plain is not None:
            needs = {"db": {"condition": "service_healthy"}} if name == "api" and change["db"] else {}
            environment = {"VERSION": str(plain["version"]), "MODE": plain["mode"]}
            services[name] = stack.service(environment=environment, depends_on=needs)
    return stack.release(services, slipway)


def deployed(stack: Simulation, wanted: dict[str, Any], cut: tuple[str, float] | None) -> int:
    """Deploy, cut off where that is wanted; how it ended."""
    process, ended = stack.begin(wanted)
    if cut is not None:
        how, seconds = cut
        stack.later(seconds)
        if process.alive and how == "kill":
            stack.world.kill(process)
        elif process.alive and process.signals:
            stack.world.terminate(process)
    return ended().code


def holds(stack: Simulation) -> None:
    """What runs is exactly the release that is live, and stays so."""
    stack.later(6)
    probe = stack.probe()
    assert probe["interrupted"] is None
    assert probe["drift"] == []
    live = probe["live"]
    for name, each in (live["services"] if live else {}).items():
        assert len(each["containers"]) == each["replicas"], (name, each)
    if live and live["services"]["web"]["replicas"]:
        assert stack.visit()[0] == 200


@settings(max_examples=50 if THOROUGH else 8, deadline=None, derandomize=True)
@given(changes=st.lists(CHANGES, min_size=2, max_size=4))
def test_whatever_is_deployed_wherever_it_is_cut_off_what_was_proven_serves(changes: list[dict[str, Any]]) -> None:
    home = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    world = World()
    with pytest.MonkeyPatch.context() as patch:
        world.install(patch)
        stack = Simulation(world.host("one", home))
        try:
            for change in changes:
                code = deployed(stack, release(stack, change), change["cut"])
                if code != KILLED:
                    holds(stack)
                stack.later(change["wait"])
            good = dict(changes[-1], web={**changes[-1]["web"], "mode": ""}, api=None, db=None)
            assert deployed(stack, release(stack, good), None) == 0
            holds(stack)
            assert stack.witness.seen == []
        finally:
            world.time.bury()
            shutil.rmtree(home)
