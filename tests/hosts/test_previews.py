"""Previews without the hosts' key, planned against the stack's state, and those with a key that may only look."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from remote_stack import RemoteStack

    from dev.testhosts.server import TestHost

HOSTS = 1
FROM_STATE = "the host was not looked at, so drift would not show"


@pytest.fixture(scope="module")
def stack(deployable: Callable[..., RemoteStack], host: TestHost) -> RemoteStack:
    """A deployed webshop."""
    stack = deployable(host, variables={"START_PERIOD": "2s"}, preview="offline")
    first = stack.preview(SLIPWAY_SSH_KEY="")
    assert "has no deployment on it" in first.text
    assert "web   created: first deployment" in first.text
    stack.up()
    return stack


@pytest.fixture
def offline(stack: RemoteStack, host: TestHost) -> Iterator[RemoteStack]:
    """The stack for a job without the hosts' key; nothing may connect to the host."""
    key, stack.private_key = stack.private_key, ""
    before, variables, secrets = host.connections(), dict(stack.variables), dict(stack.secrets)
    yield stack
    stack.private_key, stack.variables, stack.secrets = key, variables, secrets
    assert host.connections() == before


def test_a_change_is_planned_as_on_the_host(offline: RemoteStack, host: TestHost) -> None:
    offline.variables["VERSION"] = "2"
    offline.secrets["TOKEN"] = "another-token-of-the-tests"
    run = offline.preview()
    assert "web  migration run: if this release has not run it yet" in run.text
    assert "web  recreated: environment VERSION, secret TOKEN; interrupted" in run.text
    assert "another-token" not in run.text
    assert run.services == {f"{host.name}/web": {"environment", "secretValues"}}
    shown = offline.slipway("preview", "--markdown").out
    assert "the host was not looked at" in shown


def test_what_failed_is_not_taken_for_proven_and_what_is_as_recorded_is_no_change(stack: RemoteStack) -> None:
    stack.variables |= {"VERSION": "bad", "MODE": "sick"}
    stack.up(expect_failure=True)
    run = stack.preview(SLIPWAY_SSH_KEY="")
    assert "web  recreated: environment MODE, environment VERSION" in run.text
    stack.variables |= {"VERSION": "1", "MODE": ""}
    run = stack.preview(SLIPWAY_SSH_KEY="")
    assert set(run.steps.values()) == {"same"}, run.text
    assert "nothing to do" in run.text
    assert FROM_STATE in run.text


def test_an_update_still_needs_the_key(offline: RemoteStack) -> None:
    assert "sshKey: no private key is set" in offline.up(expect_failure=True).text


def test_production_is_planned_offline_in_a_pull_request(stack: RemoteStack, host: TestHost) -> None:
    del stack.settings["preview"]
    stack.settings |= {"production": True}
    before = host.connections()
    assert FROM_STATE in stack.preview(GITHUB_EVENT_NAME="pull_request").text
    assert host.connections() == before
    assert FROM_STATE not in stack.preview(GITHUB_EVENT_NAME="push").text


def test_a_key_for_previews_may_look_and_nothing_else(stack: RemoteStack, host: TestHost, tmp_path: Path) -> None:
    stack.settings |= {"preview": "online"}
    stack.up()
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "look"], check=True)
    public = str(tmp_path / "look.pub")
    assert stack.slipway("host", "key", "--preview", "--add", public).out == f"{host.name}: added\n"
    assert stack.slipway("host", "key", "--preview", "--add", public).out == f"{host.name}: was there\n"
    line = stack.slipway("host", "key", "--preview", public).out
    assert host.inside(["cat", "/home/deploy/.ssh/authorized_keys"]).count(line) == 1

    own, stack.private_key = stack.private_key, (tmp_path / "look").read_text()
    assert set(stack.preview().steps.values()) == {"same"}
    stack.variables["VERSION"] = "looked-at"
    run = stack.preview()
    assert "web  recreated: environment VERSION" in run.text
    assert "not looked at" not in run.text
    before = stack.ids_on(host)
    assert "this key may look at the host for previews, and do nothing else" in stack.up(expect_failure=True).text
    ssh = ["ssh", "-F", "none", "-i", tmp_path / "look", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no",
           "-o", f"UserKnownHostsFile={tmp_path / 'known'}", f"deploy@{host.address}"]  # fmt: skip
    tried = subprocess.run([*ssh, "touch", "/tmp/pwned"], input="", capture_output=True, text=True, check=False)
    assert tried.returncode == 1
    assert not host.path("/tmp/pwned").exists()
    forwarded = subprocess.run([*ssh[:-1], "-W", "127.0.0.1:22", ssh[-1]], input="", capture_output=True, text=True,
                               timeout=30, check=False)  # fmt: skip
    assert "prohibited" in forwarded.stderr
    much = '{"a":' * 1_000_000
    greedy = subprocess.run([*ssh, f"exec plan --stack {stack.project}"], input=much, capture_output=True, text=True,
                            timeout=60, check=False)  # fmt: skip
    assert "is not JSON" in greedy.stderr
    assert not host.path(stack.stack_path("bug.txt")).exists()
    assert stack.ids_on(host) == before
    stack.private_key = own


def test_the_key_that_deploys_is_not_made_a_key_for_previews(stack: RemoteStack, tmp_path: Path) -> None:
    stack.private_key = stack.machines[0].key_file.read_text()
    public = tmp_path / "deploy.pub"
    public.write_text(subprocess.run(["ssh-keygen", "-y", "-f", stack.machines[0].key_file], check=True,
                                     capture_output=True, text=True).stdout)  # fmt: skip
    said = stack.slipway("host", "key", "--preview", "--add", str(public), expect=1)
    assert "is the key that deploys" in said.errors
