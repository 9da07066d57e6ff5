"""The test hosts themselves: what other tests take for granted about them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from traces import group_roots

from dev.testhosts.hosts import HostError, TestHost, TestHosts, remove_leftovers, unavailable
from dev.toolchain.cache import cache_root

if TYPE_CHECKING:
    from collections.abc import Iterator

VALKEY = "valkey/valkey:8"  # the smallest image that every registry of a test session has


@pytest.fixture(scope="module")
def host(test_hosts: TestHosts) -> Iterator[TestHost]:
    with test_hosts.create() as made:
        yield made


def traces(owner: int) -> dict[str, list[str]]:
    """Everything of process `owner`'s hosts that this machine still shows."""

    def lines(*argv: str) -> list[str]:
        return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()

    word = f"slwt{owner}"
    mark = f"slwt-{owner}-"
    found = {
        "interfaces": [line for line in lines("ip", "-brief", "link") if word in line],
        "mounts": [line for line in Path("/proc/self/mounts").read_text().splitlines() if mark in line],
        "rules": [line for table in ("filter", "nat") for line in lines("iptables-save", "-t", table) if mark in line],
        "loops": [line for line in lines("losetup", "--all") if mark in line],
        "groups": [str(group) for root in group_roots() for group in root.glob(f"{mark}*")],
        "folders": [str(path) for path in (cache_root() / "testhosts").glob(f"{mark}*")],
        "processes": [],
    }
    for process in Path("/proc").glob("[0-9]*"):
        try:
            inside = mark in (process / "cgroup").read_text() or mark in (process / "mountinfo").read_text()
        except OSError:
            continue
        if inside:
            found["processes"].append(process.name)
    return {kind: items for kind, items in found.items() if items}


def test_ssh_reaches_deploy_and_root_with_the_pinned_key(host: TestHost) -> None:
    before = host.connections()
    assert host.run("id --user --name").strip() == "deploy"
    assert host.run("id --user --name", user="root").strip() == "root"
    assert host.run("hostname").strip() == host.name
    assert host.connections() == before + 3
    assert f"Connection from {host.address.rpartition('.')[0]}.1" in host.sshd_log()


def test_a_failing_command_tells_its_exit_code_and_words(host: TestHost) -> None:
    with pytest.raises(HostError, match=r"exited 7: out of luck"):
        host.run("echo out of luck >&2; exit 7")


def test_engine_pulls_through_the_mirror_and_runs(host: TestHost) -> None:
    assert host.run(f"docker run --rm {VALKEY} valkey-server --version", seconds=120).startswith("Valkey server")


def test_the_same_reference_works_on_the_machine_and_on_the_host(host: TestHost, registry: str) -> None:
    reference = f"{registry}/slipway-test/valkey:{os.getpid()}"
    try:
        subprocess.run(["docker", "tag", VALKEY, reference], check=True)
        subprocess.run(["docker", "push", "--quiet", reference], check=True, capture_output=True)
    finally:
        subprocess.run(["docker", "rmi", reference], check=False, capture_output=True)
    host.run(f"docker pull --quiet {reference}", seconds=120)
    host.run(f"docker rmi {reference}")


def test_health_checks_run_inside_the_container(host: TestHost) -> None:
    host.run(
        f"docker run --detach --name healthy --health-cmd 'valkey-cli ping' --health-interval 1s"
        f" --health-start-period 5s --health-start-interval 100ms {VALKEY}"
    )
    deadline = time.monotonic() + 20
    while (status := host.run("docker inspect --format '{{.State.Health.Status}}' healthy").strip()) != "healthy":
        assert time.monotonic() < deadline, status
        time.sleep(0.1)
    host.run("docker rm --force --volumes healthy")


def test_a_published_port_answers_from_outside(host: TestHost) -> None:
    host.run(f"docker run --detach --name published --publish 6379:6379 {VALKEY}")
    said = subprocess.run(
        ["docker", "run", "--rm", "--network", "host", VALKEY, "valkey-cli", "-h", host.address, "ping"],
        capture_output=True,
        text=True,
        check=False,
    )
    host.run("docker rm --force --volumes published")
    assert said.stdout.strip() == "PONG", said.stderr


def test_an_unknown_name_fails_at_once(host: TestHost) -> None:
    host.run(f"docker pull --quiet {VALKEY}", seconds=120)
    begun = time.monotonic()
    host.inside(["docker", "network", "create", "lookup"])
    host.inside(["docker", "run", "--rm", "--network", "lookup", VALKEY, "getent", "hosts", "example.org"], check=False)
    host.inside(["docker", "network", "rm", "lookup"])
    assert time.monotonic() - begun < 5


def test_power_cut_keeps_the_disk_and_nothing_else(host: TestHost) -> None:
    host.run(f"echo kept > note && docker run --detach --name kept --restart always {VALKEY} && touch /tmp/gone")
    host.power_cut()
    assert not host.running
    with pytest.raises(HostError):
        host.run("true", seconds=10)
    host.boot()
    assert host.run("cat note").strip() == "kept"
    assert host.run("docker inspect --format '{{.State.Running}}' kept").strip() == "true"
    assert host.run("ls /tmp").strip() == ""
    host.run("docker rm --force --volumes kept")


def test_engine_can_be_killed_and_started(host: TestHost) -> None:
    host.kill_dockerd()
    assert not host.docker_answers()
    with pytest.raises(HostError, match="Cannot connect"):
        host.run("docker ps")
    host.start_dockerd()
    assert host.run(f"docker run --rm --memory 64m {VALKEY} echo up").strip() == "up"


def test_what_runs_on_a_host_is_in_its_control_groups(host: TestHost) -> None:
    lines = host.inside(["cat", "/proc/self/cgroup"]).splitlines()
    assert {line.rpartition(":")[2] for line in lines} == {"/"}


def test_full_disk_fails_a_pull_with_no_space_left(host: TestHost, registry: str) -> None:
    # by its own name: through a mirror the engine hides the failure behind that of Docker Hub, which it tries next
    reference = f"{registry}/{VALKEY}"
    host.inside(["docker", "system", "prune", "--all", "--force", "--volumes"])
    host.fill_disk(leave_bytes=40 * 1024 * 1024)
    with pytest.raises(HostError, match="no space left on device"):
        host.run(f"docker pull --quiet {reference}", seconds=120)
    with pytest.raises(HostError, match="No space left on device"):
        host.run("dd if=/dev/zero of=big bs=1M count=100")
    host.run("rm --force big")
    host.free_disk()
    host.run(f"docker pull --quiet {reference}", seconds=120)


def test_network_can_be_cut_and_mended(host: TestHost) -> None:
    host.cut_network()
    with pytest.raises(HostError):
        host.run("true", seconds=10)
    assert host.inside(["hostname"]).strip() == host.name
    host.fix_network()
    host.run("true", seconds=30)


def test_hosts_reach_each_other_and_boot_side_by_side(test_hosts: TestHosts) -> None:
    one, other = test_hosts.create_many(2)
    with one, other:
        assert one.address != other.address
        assert one.host_key != other.host_key
        banner = one.run(f"exec 3<>/dev/tcp/{other.address}/22 && head -c 4 <&3")
        assert banner == "SSH-"


def test_host_without_docker_or_python_lacks_them_and_can_get_them(test_hosts: TestHosts) -> None:
    with test_hosts.create(docker=False, python=False, internet=True) as bare:
        assert bare.run("command -v docker dockerd containerd python3 || echo none").strip() == "none"
        assert bare.run("getent group docker || echo none").strip() == "none"
        install = (
            "apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends"
        )
        bare.run(f"{install} docker.io docker-cli python3 >/dev/null", user="root", seconds=300)
        assert bare.run("python3 -c 'print(6 * 7)'").strip() == "42"
        bare.start_dockerd()
        bare.power_cut()
        bare.boot()
        assert bare.run("docker --version").startswith("Docker version 26")


def test_compose_waits_for_health_within_start_interval(host: TestHost) -> None:
    compose = f"""
        services:
          cache:
            image: {VALKEY}
            healthcheck: {{test: [CMD, valkey-cli, ping], interval: 10s, start_period: 10s, start_interval: 100ms}}
    """
    host.run("mkdir --parents app && cat > app/compose.yaml", stdin=textwrap.dedent(compose))
    begun = time.monotonic()
    host.run("cd app && docker compose up --detach --wait --quiet-pull", seconds=120)
    assert time.monotonic() - begun < 9
    host.run("cd app && docker compose down --volumes")


def test_nothing_is_left_after_a_session() -> None:
    if reason := unavailable():
        pytest.skip(reason)
    known = traces(os.getpid())
    with TestHosts() as session, session.create() as made:
        assert made.run("hostname").strip() == made.name
        assert len(traces(os.getpid())) == 6, "interfaces, rules, loops, groups, folders, processes; no mount"
    assert traces(os.getpid()) == known


OWNER = """
    import signal, sys, time
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without it
    sys.path.insert(0, sys.argv[1])
    from dev.testhosts.hosts import TestHosts
    with TestHosts() as session:
        session.create()
        print("up", flush=True)
        time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_dead_owner_leaves_no_process_and_the_next_start_removes_the_rest(how: signal.Signals) -> None:
    if reason := unavailable():
        pytest.skip(reason)
    argv = [sys.executable, "-c", textwrap.dedent(OWNER), str(Path(__file__).parent)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        owner.send_signal(how)
        try:
            owner.wait(timeout=30)
        finally:
            owner.kill()
    if how is signal.SIGKILL:
        deadline = time.monotonic() + 10
        while {"processes", "loops"} & set(traces(owner.pid)):
            assert time.monotonic() < deadline, traces(owner.pid)
            time.sleep(0.1)
        remove_leftovers()  # what the start of every session does; another session may already have done it
    assert traces(owner.pid) == {}
