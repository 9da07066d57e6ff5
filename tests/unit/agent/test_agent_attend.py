"""What a driver hears of a deployment on a host whose agent says its phases, or dies: two real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

ATTEND = """
from slipway.agent.fleet import attend
from slipway.agent.output import Output
from slipway.agent.state.stack_dir import StackFolder

attend(StackFolder("shop-test"), Output("web-1"))
"""
DEPLOY = """
import sys
from slipway.agent.fleet import Fleet
from slipway.agent.state.lock import lock
from slipway.agent.state.stack_dir import StackFolder

folder = StackFolder("shop-test")
with lock(folder.lock, owner="", reason="", wait=5):
    fleet = Fleet(folder, "d-1", active=True)
    fleet.open()
    for phase in sys.argv[1:]:
        fleet.publish(phase)
        print(phase, flush=True)
        sys.stdin.readline()
"""


@pytest.mark.parametrize(
    ("phases", "heard"),
    [
        (["prepared"], ["prepared", "failed: its agent was killed or crashed"]),
        (["prepared", "migrated"], ["prepared", "migrated", "failed: its agent was killed or crashed"]),
        (["prepared", "failed"], ["prepared", "failed: "]),
        (["proven", "done"], ["proven", "done"]),
    ],
)
def test_an_agent_that_is_killed_is_heard_of(tmp_path: Path, phases: list[str], heard: list[str]) -> None:
    environment = {**os.environ, "SLIPWAY_HOME": str(tmp_path)}

    def start(program: str, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )  # fmt: skip

    def said(event: dict[str, Any]) -> str:
        return f"failed: {event['reason']}" if event["phase"] == "failed" else str(event["phase"])

    stale = tmp_path / "stacks/shop-test/control/status.json"  # of another deployment, or another driver's
    stale.parent.mkdir(parents=True)
    stale.write_text(json.dumps({"deployment": "d-0", "session": "earlier", "phase": "done", "reason": ""}))
    with start(ATTEND) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None
        with start(DEPLOY, *phases) as agent:
            assert agent.stdin is not None
            assert agent.stdout is not None
            listened = []
            for phase in phases:
                assert agent.stdout.readline() == f"{phase}\n"
                listened.append(said(json.loads(driver.stdout.readline())))
                if phase != phases[-1]:
                    agent.stdin.write("\n")
                    agent.stdin.flush()
            agent.kill()
        if len(heard) > len(phases):
            listened.append(said(json.loads(driver.stdout.readline())))
        driver.stdin.close()
        listened += [said(json.loads(line)) for line in driver.stdout]
    assert listened == heard
