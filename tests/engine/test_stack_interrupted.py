"""Deployments that somebody or something ends half-way, and two at once: the next one needs no hand."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from stack_harness import eventually

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from stack_harness import Stack


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack]) -> Stack:
    """A deployed shop that is patient with a service that is not healthy yet."""
    stack = make_stack(healthDeadline=60, variables={"START_PERIOD": "60s"})
    stack.up()
    return stack


def _agents(stack: Stack) -> list[int]:
    """The processes of the agent that deploy this stack now: who works before who only waits for it."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                argv = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            if argv[0].endswith("python3") and {"deploy", stack.project} <= set(argv):
                found.append(int(folder.name))
    return sorted(found, reverse=True)


def _waits_for_a_sick_service(stack: Stack) -> bool:
    """Whether the deployment is past the point where the old container is gone."""
    web = [each for each in stack.every_container() if each.service == "web"]
    return len(web) == 1 and web[0].environment.get("MODE") == "sick" and web[0].running


def _converges(stack: Stack, version: str) -> None:
    """The next `up`, and nothing else, brings this version."""
    stack.variables.pop("MODE", None)
    stack.application.version("web", version)
    stack.up()
    assert stack.serves(version)
    assert all(container.running for container in stack.containers().values())


def test_agent_killed_in_the_middle_is_told_and_the_next_up_converges(stack: Stack) -> None:
    stack.variables["MODE"] = "sick"
    process = stack.start("up", "--yes", "--skip-preview")
    eventually(lambda: _waits_for_a_sick_service(stack), 60)
    for agent in eventually(lambda: _agents(stack)):
        with contextlib.suppress(ProcessLookupError):  # one that the first of them had started, and that ended with it
            os.kill(agent, signal.SIGKILL)
    text, _ = process.communicate(timeout=60)
    assert process.returncode != 0, text
    assert "Traceback" not in text

    stack.variables.pop("MODE")
    preview = stack.preview()
    assert preview.changes == {f"{stack.project}-local": "update"}
    assert "a deployment was interrupted" in preview.said("warning")
    _converges(stack, "after-a-killed-agent")
    again = stack.preview()
    assert set(again.steps.values()) == {"same"}
    assert not again.said("warning")


def _killed_engine(stack: Stack) -> subprocess.Popen[str]:
    """An update's engine, killed while the agent migrates; the live release serves on."""
    live = stack.get()["version"]
    stack.variables["MODE"] = "slow-migration"
    process = stack.start("up", "--yes", "--skip-preview")
    eventually(lambda: _agents(stack), 60)
    process.kill()
    process.communicate(timeout=60)
    assert stack.serves(live)
    return process


def test_engine_killed_in_the_middle_needs_only_its_own_lock_removed(stack: Stack) -> None:
    _killed_engine(stack)
    stack.pulumi("cancel", "--yes")
    _converges(stack, "after-a-killed-engine")


def test_after_a_killed_engine_slipway_up_takes_its_lock_and_finishes_what_the_host_had_begun(stack: Stack) -> None:
    killed = _killed_engine(stack)
    stack.variables.pop("MODE")
    stack.application.version("web", "after-slipway-up")
    said = stack.slipway("up", "--stack", stack.name)
    assert f"(pid {killed.pid})" in said.errors
    assert stack.serves("after-slipway-up")
    assert stack.history()[0]["message"] == said.errors.strip()


def test_cancelled_up_leaves_the_old_release_serving_and_no_lock(stack: Stack) -> None:
    live = stack.get()["version"]
    stack.variables["MODE"] = "sick"
    process = stack.start("up", "--yes", "--skip-preview")
    eventually(lambda: _waits_for_a_sick_service(stack), 60)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=60)
    assert process.returncode != 0, text
    eventually(lambda: not _agents(stack), 30)
    assert stack.serves(live)
    _converges(stack, "after-a-cancelled-up")


def test_second_up_of_a_stack_waits_for_nobody_and_changes_nothing(stack: Stack) -> None:
    stack.variables["MODE"] = "slow-migration"
    first = stack.start("up", "--yes", "--skip-preview")
    eventually(lambda: _agents(stack), 60)
    second = stack.up(expect_failure=True)
    assert "currently locked" in second.text
    text, _ = first.communicate(timeout=60)
    assert first.returncode == 0, text
