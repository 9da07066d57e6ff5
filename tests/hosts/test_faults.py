"""A host that fails in the middle of a deployment: the old or the new release serves, and the next `up` converges."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from remote_stack import end_tree, finish
from stack_harness import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from remote_stack import RemoteStack
    from workload import Images

    from dev.testhosts.server import TestHost

HOSTS = 1
SLOW = "6"  # seconds that the new release takes to listen: long enough to break something meanwhile


@pytest.fixture(scope="module")
def stack(deployable: Callable[..., RemoteStack], host: TestHost) -> RemoteStack:
    """A deployed webshop; every test takes what it finds live as its start."""
    stack = deployable(host, lockWait=30)
    stack.up()
    return stack


def converges(stack: RemoteStack, host: TestHost, version: str) -> None:
    """The next `up` makes `version` live without a hand, and the data is there."""
    volumes = stack.volumes_on(host)
    stack.variables |= {"VERSION": version, "START": "0"}
    stack.up()
    assert stack.version_on(host) == version
    assert all(each.running for each in stack.containers_on(host).values())
    assert stack.ask(host)["data/migrations"].split().count(version) == 1
    assert stack.volumes_on(host) == volumes


@contextlib.contextmanager
def deploying(stack: RemoteStack, host: TestHost, version: str, step: str = "await") -> Iterator[list[str]]:
    """A deployment of `version` under way, at `step`; at the end the list holds what the engine printed."""
    stack.variables |= {"VERSION": version, "START": SLOW}
    output: list[str] = []
    process = stack.start("up", "--yes", "--skip-preview")
    try:
        stack.await_step(host, step)
        yield output
        output.append(finish(process))
    finally:
        if process.poll() is None:
            end_tree(process)
            stack.pulumi("cancel", "--yes")  # one failure here is not the next test's
    output.append(str(process.returncode))


def test_full_disk_during_the_pull_leaves_the_old_release(stack: RemoteStack, host: TestHost, images: Images) -> None:
    live, before = stack.version_on(host), stack.ids_on(host)
    stack.settings["diskMinimumMb"] = 0
    stack.variables |= {"VERSION": "big", "IMAGE": images.big}
    host.fill_disk(leave_bytes=40_000_000)
    try:
        problem = stack.up(expect_failure=True).problem
        assert "no space for image" in problem
        assert images.big.partition("@")[2] in problem
        assert "docker system df" in problem
        assert stack.ids_on(host) == before
        assert stack.version_on(host) == live
    finally:
        host.free_disk()
    converges(stack, host, "big")


def test_disk_without_a_byte_left_fails_clearly(stack: RemoteStack, host: TestHost) -> None:
    live = stack.version_on(host)
    stack.settings["diskMinimumMb"] = 0
    stack.variables["VERSION"] = "no-byte"
    host.fill_disk()
    try:
        run = stack.up(expect_failure=None)
        assert "Traceback" not in run.text
        assert bool(run.code) == bool(run.problems)
        assert stack.version_on(host) == (live if run.code else "no-byte")
    finally:
        host.free_disk()
    converges(stack, host, "no-byte")


def test_registry_that_a_host_cannot_reach_leaves_the_old_release(
    stack: RemoteStack, host: TestHost, images: Images
) -> None:
    port = images.one.partition("/")[0].partition(":")[2]
    stack.deploy("before", IMAGE=images.one)
    host.inside(["docker", "image", "rm", images.big])
    before = stack.ids_on(host)
    rule = ["OUTPUT", "-p", "tcp", "--dport", port, "-j", "REJECT", "--reject-with", "tcp-reset"]
    stack.variables |= {"VERSION": "during", "IMAGE": images.big}
    host.inside(["iptables", "-I", *rule])  # the driver still reaches it, and sees nothing wrong
    try:
        problem = stack.up(expect_failure=True).problem
    finally:
        host.inside(["iptables", "-D", *rule])
    assert f"registry 127.0.0.1:{port} cannot be reached from this host" in problem
    assert stack.ids_on(host) == before
    stack.variables["IMAGE"] = images.one
    converges(stack, host, "after")


def test_killed_agent_is_made_good_by_the_next_up(stack: RemoteStack, host: TestHost) -> None:
    """Every other moment is tried on the simulated machine."""
    live = stack.version_on(host)
    with deploying(stack, host, "killed", "await") as output:
        for agent in stack.agents_on(host):
            host.inside(["kill", "-KILL", str(agent)], check=False)
    assert output[-1] != "0"
    eventually(lambda: stack.version_on(host) in (live, "killed"), 30)
    converges(stack, host, "after-killed")


def test_killed_driver_leaves_a_finished_deployment(stack: RemoteStack, host: TestHost) -> None:
    stack.variables |= {"VERSION": "driver-killed", "START": SLOW}
    process = stack.start("up", "--yes", "--skip-preview")
    stack.await_step(host, "await")
    end_tree(process)
    eventually(lambda: not stack.agents_on(host), 60)
    assert stack.version_on(host) == "driver-killed"
    assert stack.ledger_on(host)[-1]["outcome"] == "deployed"
    stack.pulumi("cancel", "--yes")  # the engine's own lock; the host's is free
    converges(stack, host, "driver-again")


def test_interrupted_slipway_up_has_the_host_go_back(stack: RemoteStack, host: TestHost) -> None:
    live = stack.version_on(host)
    stack.variables |= {"VERSION": "unwanted", "START": "30"}
    stack.slipway("ps")  # the settings above are written
    command = [str(Path(sys.executable).parent / "slipway"), "up", "--stack", stack.name]
    with subprocess.Popen(
        command, cwd=stack.folder, env=stack.environment, stdout=-1, stderr=subprocess.STDOUT, text=True
    ) as process:
        stack.await_step(host, "await")
        process.send_signal(signal.SIGINT)
        text = finish(process)
    assert process.returncode != 0
    assert not stack.agents_on(host), text
    assert f"release {stack.live_on(host)} is live" in " ".join(text.split()), text
    assert stack.version_on(host) == live
    assert stack.ledger_on(host)[-1]["outcome"] == "failed"
    converges(stack, host, "wanted")


def test_cut_network_does_not_stop_the_agent(stack: RemoteStack, host: TestHost) -> None:
    with deploying(stack, host, "cut-off") as output:
        host.cut_network()
        eventually(lambda: not stack.agents_on(host), 60)
        host.fix_network()
    assert output
    eventually(lambda: stack.version_on(host) == "cut-off")
    assert stack.ledger_on(host)[-1]["outcome"] == "deployed"
    converges(stack, host, "fixed")


def test_engine_that_is_killed_in_the_middle(stack: RemoteStack, host: TestHost) -> None:
    with deploying(stack, host, "engine-killed"):
        host.kill_dockerd()
        host.start_dockerd()
    converges(stack, host, "after-engine")


def test_power_cut_is_made_good_by_the_next_up(stack: RemoteStack, host: TestHost) -> None:
    live = stack.version_on(host)
    with deploying(stack, host, "dark", "await") as output:
        host.power_cut()
        host.boot()
    assert output[-1] != "0"
    eventually(lambda: stack.version_on(host) in (live, "dark"), 30)  # its containers come back by themselves
    converges(stack, host, "bright")
    assert set(stack.up().steps.values()) == {"same"}, "after all of it there is nothing left to do"
