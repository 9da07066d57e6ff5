"""Hosts that cannot be reached or lack something: one clear error, in time, before anything is built or started."""

from __future__ import annotations

import base64
import contextlib
import subprocess
from typing import TYPE_CHECKING

import pytest
from applications import shop
from remote_stack import machine_settings, refusing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from remote_stack import RemoteStack

    from dev.testhosts.hosts import TestHosts
    from dev.testhosts.server import TestHost

HOSTS = 2
ADDRESS_OF_NOBODY = "198.18.255.254"  # in the range of test hosts, and never given to one
BOUNDED_SECONDS = 60  # on a busy machine; each connection attempt ends after 15


@pytest.fixture(scope="module")
def stack(deployable: Callable[..., RemoteStack], host: TestHost) -> RemoteStack:
    """A deployed webshop on the first host; tests change how it is reached, not what runs."""
    stack = deployable(host)
    stack.up()
    return stack


@contextlib.contextmanager
def reached_as(stack: RemoteStack, host: TestHost, **changed: object) -> Iterator[dict[str, str]]:
    """The stack with other ways to its host; nothing may be touched there. Gives what runs."""
    before = stack.ids_on(host)
    stack.settings["hosts"] = [machine_settings(host, **changed)]
    try:
        yield before
    finally:
        stack.on(host)
    assert stack.ids_on(host) == before


def key_pair(folder: Path) -> tuple[str, str]:
    """A new private key and its public half."""
    argv = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(folder / "other")]
    subprocess.run(argv, check=True, timeout=30)
    return (folder / "other").read_text(), " ".join((folder / "other.pub").read_text().split()[:2])


def test_another_host_key_than_the_pinned_one_stops_everything(
    stack: RemoteStack, host: TestHost, tmp_path: Path
) -> None:
    stack.secrets["TOKEN"] = "canary-never-sent-5d1c"
    before = host.connections()
    with reached_as(stack, host, hostKey=key_pair(tmp_path)[1]):
        for run in (stack.preview(expect_failure=True), stack.up(expect_failure=True)):
            assert f"host {host.name}: {host.address} shows another host key than the pinned one" in run.problem
            assert "nothing was sent to it" in run.problem
            assert f"ssh-keyscan -p 22 {host.address}" in run.problem
    assert host.connections() == before, "nobody may have logged in"
    stack.secrets["TOKEN"] = "a-token-of-the-tests"


def test_wrong_private_key_is_told_with_the_mend(stack: RemoteStack, host: TestHost, tmp_path: Path) -> None:
    right = stack.private_key
    stack.private_key, _ = key_pair(tmp_path)
    with reached_as(stack, host):
        problem = stack.up(expect_failure=True).problem
    stack.private_key = right
    assert f"host {host.name}: deploy@{host.address}:22 refuses the key in sshKey" in problem
    assert "ssh-copy-id" in problem


def test_key_is_taken_from_the_stack_file_too(stack: RemoteStack) -> None:
    key, stack.private_key = stack.private_key, ""
    stack.pulumi("config", "set", "--secret", "sshKey", stdin=key)
    assert not stack.preview().changes
    stack.private_key = key


def test_unreachable_hosts_are_told_together_in_bounded_time(
    stack: RemoteStack, host: TestHost, hosts: list[TestHost]
) -> None:
    cut, refusing = hosts
    with reached_as(stack, host):
        stack.settings["hosts"] += [
            machine_settings(host, name="nobody", address=ADDRESS_OF_NOBODY),
            machine_settings(refusing, name="closed", port=2222),
        ]
        cut.cut_network()
        try:
            run = stack.preview(expect_failure=True)
        finally:
            cut.fix_network()
    told = [" — ".join(problem) for problem in run.problems]
    assert len(told) == 3, told
    for name, address in (
        (cut.name, f"{cut.address}:22"),
        ("nobody", f"{ADDRESS_OF_NOBODY}:22"),
        ("closed", f"{refusing.address}:2222"),
    ):
        [problem] = [each for each in told if f"host {name}: deploy@{address} cannot be reached" in each]
        assert "nothing is changed" in problem
    assert run.seconds < BOUNDED_SECONDS


def test_destroy_of_a_host_that_refuses_fails_and_works_later(
    deployable: Callable[..., RemoteStack], hosts: list[TestHost]
) -> None:
    other = hosts[1]
    stack = deployable(other)
    stack.up()
    with refusing(other):
        run = stack.destroy(expect_failure=True)
    assert run.seconds < BOUNDED_SECONDS
    assert stack.version_on(other) == "1"
    stack.destroy()
    assert not stack.containers_on(other)


TALK = "echo 'Welcome to {}'; printf 'no end of line'\n"


@pytest.fixture(params=["bash", "tcsh"])
def talkative(request: pytest.FixtureRequest, hosts: list[TestHost], tmp_path: Path) -> Iterator[TestHost]:
    """A host whose deploy user has this shell, and start-up files that print something."""
    host, shell, home = hosts[1], str(request.param), "/home/deploy"
    if shell == "tcsh":
        subprocess.run(["apt-get", "-q", "download", shell], cwd=tmp_path, check=False, capture_output=True, timeout=60)
        packages = list(tmp_path.glob("tcsh_*.deb"))
        if not packages:
            pytest.skip("tcsh cannot be had here")
        subprocess.run(["dpkg", "-x", str(packages[0]), str(tmp_path / "root")], check=True, timeout=60)
        program = base64.b64encode((tmp_path / "root/bin/tcsh").read_bytes()).decode()
        host.inside(["sh", "-c", "base64 -d > /bin/tcsh && chmod 755 /bin/tcsh"], stdin=program)
    host.inside(["sh", "-c", f"cp {home}/.bashrc {home}/before; cat > {home}/.{shell}rc"], stdin=TALK.format(shell))
    host.inside(["usermod", "--shell", f"/bin/{shell}", "deploy"])
    yield host
    host.inside(["usermod", "--shell", "/bin/bash", "deploy"])
    host.inside(["sh", "-c", f"rm -f {home}/.tcshrc; mv {home}/before {home}/.bashrc || rm {home}/.bashrc"])


def test_a_login_shell_that_talks_or_is_no_sh_deploys_all_the_same(
    deployable: Callable[..., RemoteStack], talkative: TestHost
) -> None:
    stack, folder = deployable(talkative), "/home/deploy/.local"
    talkative.inside(
        ["sh", "-c", f"mkdir -p {folder} && chown root {folder} && chmod 755 {folder} && rm -rf {folder}/share"]
    )
    problem = stack.up(expect_failure=True).problem
    assert (
        f"host {talkative.name}: {folder}/share cannot be written (Permission denied; {folder} belongs to root)"
        in problem
    )
    command = f"chown -R deploy {folder}"
    assert f"on the host, as root: {command}" in problem
    talkative.inside(command.split())
    stack.up()
    assert stack.version_on(talkative) == "1"
    assert stack.slipway("exec", "web", "--", "printf", "%s", "all of it").out == "all of it"
    assert "agent of another version" not in stack.slipway("doctor", expect=None).text
    stack.destroy()
    assert not stack.containers_on(talkative)


def test_host_behind_a_bastion(deployable: Callable[..., RemoteStack], hosts: list[TestHost], tmp_path: Path) -> None:
    target, bastion = hosts
    stack = deployable(target)
    way = {"address": bastion.address, "user": bastion.user, "port": bastion.port, "hostKey": bastion.host_key}
    # what does not come from the bastion is refused: nothing can go past it
    target.inside(["iptables", "-I", "INPUT", "-p", "tcp", "--dport", "22", "!", "-s", bastion.address, "-j", "DROP"])
    try:
        stack.settings["hosts"] = [machine_settings(target, bastion=way)]
        stack.up()
        assert stack.version_on(target) == "1"
        _, other = key_pair(tmp_path)
        stack.settings["hosts"] = [machine_settings(target, bastion={**way, "hostKey": other})]
        problem = stack.preview(expect_failure=True).problem
        assert f"host {target.name} (bastion): {bastion.address} shows another host key" in problem
        stack.settings["hosts"] = [machine_settings(target, bastion=way)]
        stack.destroy()
        assert not stack.containers_on(target)
    finally:
        target.inside(["iptables", "-D", "INPUT", "1"])


def test_everything_that_hosts_lack_is_told_at_once_before_anything_is_built(
    deployable: Callable[..., RemoteStack], hosts: list[TestHost], test_hosts: TestHosts
) -> None:
    with (
        test_hosts.create("no-docker", docker=False) as no_docker,
        test_hosts.create("no-python", docker=False, python=False) as no_python,
    ):
        good, stopped = hosts
        stack = deployable(good, stopped, no_docker, no_python, application=shop)
        no_group = good  # a user who may log in and may not use the engine
        no_group.inside(["useradd", "--create-home", "--shell", "/bin/bash", "guest"])
        no_group.inside(["cp", "-a", "/home/deploy/.ssh", "/home/guest/"])
        no_group.inside(["chown", "-R", "guest:guest", "/home/guest"])
        stack.settings["hosts"][0]["user"] = "guest"
        stopped.kill_dockerd()
        try:
            run = stack.up(expect_failure=True)
        finally:
            stopped.start_dockerd()
            no_group.inside(["userdel", "--remove", "guest"], check=False)
        told = {tuple(problem[0].split(": ", 1)): problem[-1] for problem in run.problems}
        expected = {
            good.name: ("this user may not use Docker", "usermod -aG docker"),
            stopped.name: ("Docker is not running", "systemctl start docker"),
            no_docker.name: ("Docker is not installed", "get.docker.com"),
            no_python.name: ("python3 is missing", "apt-get install -y python3"),
        }
        for name, (what, fix) in expected.items():
            assert any(who == f"host {name}" and what in said and fix in how for (who, said), how in told.items()), told
        assert {who for who, _ in told} == {f"host {name}" for name in expected}
        assert "Traceback" not in run.text
        assert not run.changes, "nothing may have been built"
        assert not stack.tags("shop-web")


def test_too_little_disk_of_every_host_is_told_before_anything_is_built(
    deployable: Callable[..., RemoteStack], hosts: list[TestHost]
) -> None:
    stack = deployable(*hosts, application=shop, diskMinimumMb=10**6)
    run = stack.up(expect_failure=True)
    assert [problem[0].split(":")[0] for problem in run.problems] == [f"host {host.name}" for host in hosts]
    assert all("MB are free" in what and "diskMinimumMb" in what for what, _, _ in run.problems)
    assert not stack.tags("shop-web")
    assert not any(stack.containers_on(host) for host in hosts)
