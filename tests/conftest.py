"""Fixtures that tests of the engine and of hosts share: each once per session."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "engine"))  # the harness, also for tests in the folders beside it

from built_wheel import Installed, build_wheel, install
from stack_harness import Engine

from dev.toolchain.docker import ensure_docker
from dev.toolchain.pulumi import ensure_pulumi
from dev.toolchain.registry import ensure_registry
from dev.toolchain.stand_ins.images import ensure_images

# What a shell starts in the background ignores Ctrl-C, and so would every program that a test starts and interrupts.
# A handler, unlike being ignored, is not handed on to them.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


os.environ.pop("UV_RUN_RECURSION_DEPTH", None)  # what is printed does not depend on how the tests were started


_LONGEST = (
    *("test_traffic_agent", "test_stack_history", "test_fleet", "test_faults", "test_way_back", "test_traffic"),
    *("test_leaks", "test_stack_images", "test_stack_upkeep", "test_stack_locks", "test_fleet_changes"),
    *("test_agent_docker", "test_stack_failures", "test_reaching", "test_previews", "test_stack_interrupted"),
)
"""The files of engine and hosts that take longest. They come first, so that no worker ends long after the other."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What stands in `_LONGEST` first, all else in its order; xdist's own would go by the number of tests."""
    rank = {name: number for number, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Name a failure when it happens: a run of many minutes that is ended from outside never comes to its summary."""
    if report.failed and "PYTEST_XDIST_WORKER" not in os.environ:
        sys.stderr.write(f"\nFAILED {report.nodeid} ({report.when})\n{report.longreprtext[-3000:]}\n")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this source tree."""
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """That wheel, installed as a user has it."""
    return install(wheel, tmp_path_factory.mktemp("installed") / ".venv")


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Engine:
    """The real engine with its plugins, a copy of the program, the local registry; nothing is built twice."""
    machine = ensure_docker()
    os.environ.update(machine)
    machine |= ensure_pulumi()
    registry = os.environ.get("SLIPWAY_TEST_REGISTRY") or ensure_registry()
    mirror = os.environ.get("SLIPWAY_TEST_MIRROR") or ensure_images(registry).get("SLIPWAY_MIRROR", "")
    folder = tmp_path_factory.mktemp("program")
    return Engine.prepare(folder, machine=machine, registry=registry, mirror=mirror)
