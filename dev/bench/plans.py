"""Plans beside deeds: random changes, on the fake Docker and on a real one, and what a preview takes beside an `up`."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from dev.bench.measures import interleaved, median
from dev.toolchain.progress import say
from slipway.agent.deploy.planned import unlike_plan
from slipway.hosts.plans import change_of

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(ROOT / "tests" / each) for each in ("fakes", "unit/fixtures", "unit/agent", "unit/agent/orchestration")
]

if TYPE_CHECKING:
    from stack_harness import Stack

    from dev.testhosts.server import TestHost

    Figures = tuple[dict[str, float], dict[str, list[float]]]

__all__ = ["on_the_fake", "on_the_real", "preview_beside_noop"]

_LISTS, _REAL = 80, 20


def preview_beside_noop(stack: Stack, runs: int) -> Figures:
    """A preview and an `up`, both with nothing to do."""
    stack.up()
    preview, noop = interleaved(runs, stack.preview, stack.up)
    return {"preview_vs_noop": median(preview) / median(noop)}, {"preview": preview, "noop_beside_preview": noop}


def on_the_fake() -> Figures:
    """Three or four random releases after one another, many times; every plan is held against what it became."""
    from test_agent_plan_and_deed import (  # type: ignore[import-not-found]  # noqa: PLC0415  # on the path since above
        RELEASES,
        mismatches,
    )

    say("random changes on the fake Docker, plan beside deed")
    count, wrong = 0, list[str]()
    quick = settings(
        max_examples=_LISTS, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
    )

    @quick
    @given(releases=st.lists(RELEASES, min_size=3, max_size=4))
    def held(releases: list[dict[str, Any]]) -> None:
        nonlocal count
        count += len(releases)
        wrong.extend(mismatches(releases))

    held()
    return {"plan_vs_deed_mismatches": float(len(wrong)), "plan_vs_deed_changes": float(count)}, {}


def on_the_real(stack: Stack, host: TestHost) -> Figures:
    """The example, changed at random: `slipway preview`, `up`, and the containers before and after."""
    say("random changes on the real Docker, plan beside deed")
    file = Path(stack.application.folder) / "compose.yaml"
    original, chance, wrong = file.read_text(), random.Random(7), list[str]()  # noqa: S311  # no secret
    for _ in range(_REAL):
        file.write_text(yaml.safe_dump(_changed(yaml.safe_load(original), chance), sort_keys=False))
        plan = json.loads(stack.slipway("preview", "--json").out)["hosts"][0]
        before = _containers(stack, host)
        stack.up()
        wrong += unlike_plan([change_of(each) for each in plan["changes"]], before, _containers(stack, host))
    file.write_text(original)
    for each in wrong:
        say(f"plan and deed differ: {each}")
    return {"plan_vs_deed_mismatches_real": float(len(wrong)), "plan_vs_deed_changes_real": float(_REAL)}, {}


def _changed(model: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """One to three services with another environment, label, number of containers, policy or time to stop."""
    services = model["services"]
    for name in chance.sample(sorted(services), chance.randint(1, 3)):
        kind = chance.choice(["environment", "label", "grace", "replicas", "nothing"])
        if kind == "environment":
            own = services[name].setdefault("environment", {})
            own.update({"BENCH": str(chance.randint(1, 3))}) if isinstance(own, dict) else own.append("BENCH=1")
        elif kind == "label":
            services[name]["labels"] = {"bench": str(chance.randint(1, 3))}
        elif kind == "grace":
            services[name]["stop_grace_period"] = f"{chance.randint(4, 9)}s"
        elif kind == "replicas" and not services[name].get("ports") and not services[name].get("volumes"):
            services[name].setdefault("deploy", {})["replicas"] = chance.randint(1, 2)
    return model


def _containers(stack: Stack, host: TestHost) -> dict[str, list[str]]:
    label, form = f"label=com.docker.compose.project={stack.project}", '{{.ID}} {{.Label "com.docker.compose.service"}}'
    listed = host.inside(["docker", "ps", "--all", "--filter", label, "--format", form]).splitlines()
    found: dict[str, list[str]] = {}
    for identifier, service in (line.split(maxsplit=1) for line in listed):
        found.setdefault(service, []).append(identifier)
    return found
