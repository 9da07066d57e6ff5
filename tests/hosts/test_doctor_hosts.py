"""What `slipway doctor` and `slipway init` see of real hosts, and that looking leaves nothing there."""

from __future__ import annotations

import contextlib
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from remote_stack import HOME, machine_settings
from stack_harness import eventually

from slipway.cli.doctor import host_checks
from slipway.cli.init.host_keys import HostKey, SshAddress, shown_keys
from slipway.compose.application import read_application
from slipway.settings.model import Settings
from slipway.settings.values import one_host_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dev.testhosts.server import TestHost
    from slipway.cli.doctor.check_result import CheckResult

HOSTS = 1
_PID = "/tmp/listener-of-a-test"
COMPOSE = "name: looked-at\nservices: {web: {image: nginx, x-slipway: {route: /, port: 80}}}\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "compose.yaml").write_text(COMPOSE)
    return tmp_path


def looked_at(folder: Path, *machines: dict[str, Any], key: str) -> list[CheckResult]:
    """What a doctor finds of these hosts."""
    settings = Settings.model_validate(
        {"stack": "doctor", "application": folder, "hosts": list(machines), "sshKey": key}
    )
    return host_checks.hosts(settings, read_application(settings))


def private_key(host: TestHost) -> str:
    return host.key_file.read_text()


@contextlib.contextmanager
def listening(host: TestHost, port: int) -> Iterator[None]:
    """A program of somebody else's on a port of the host."""
    program = f"import http.server as h; h.HTTPServer(('', {port}), h.SimpleHTTPRequestHandler).serve_forever()"
    command = f"echo $$ > {_PID}; exec timeout 60 python3 -c {shlex.quote(program)}"
    process = subprocess.Popen([*host.ssh("root"), command], stdin=subprocess.DEVNULL)
    pattern = f":{port:04X} .* 0A "
    try:
        eventually(lambda: host.inside(["sh", "-c", f"grep '{pattern}' /proc/net/tcp || true"]))
        yield
    finally:
        host.inside(["sh", "-c", f"kill $(cat {_PID})"])
        process.kill()
        process.wait(10)


def test_a_host_that_has_everything_is_well_and_nothing_is_left_there(host: TestHost, folder: Path) -> None:
    findings = looked_at(folder, machine_settings(host), key=private_key(host))
    assert {each.state for each in findings} == {"ok"}, findings
    whats = [each.what for each in findings]
    assert f"{host.user}@{host.address}:{host.port} shows the pinned key and accepts the login" in whats
    assert "its clock is right" in whats
    assert "no agent yet: the first deployment installs it" in whats
    assert "port 80: free for the edge" in whats
    assert not host.path(f"{HOME}/stacks/looked-at-doctor").exists()


def test_a_port_that_somebody_else_listens_on_is_told_before_the_edge_meets_it(host: TestHost, folder: Path) -> None:
    with listening(host, 80):
        findings = looked_at(folder, machine_settings(host), key=private_key(host))
    (wrong,) = [each for each in findings if each.state != "ok"]
    assert (wrong.state, wrong.what) == ("wrong", "port 80 is taken by another program")


def test_each_host_is_told_by_itself_whatever_the_others_are(host: TestHost, folder: Path) -> None:
    other = folder / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", other], check=True, timeout=30)
    machines = (
        machine_settings(host, name="good"),
        machine_settings(host, name="closed", port=2222),
        machine_settings(host, name="posed", address=host.address, hostKey=other.with_suffix(".pub").read_text()),
    )
    findings = looked_at(folder, *machines, key=private_key(host))
    told = {name: [each for each in findings if each.host == name] for name in ("good", "closed", "posed")}
    assert {each.state for each in told["good"]} == {"ok"}
    assert "cannot be reached" in told["closed"][0].what
    assert "shows another host key than the pinned one" in told["posed"][0].what
    (refused,) = looked_at(folder, machine_settings(host), key=other.read_text())
    assert "refuses the key in sshKey" in refused.what
    assert all(each.fix for each in (*told["closed"], *told["posed"], refused))


def test_docker_that_is_down_on_a_host_is_told(host: TestHost, folder: Path) -> None:
    host.kill_dockerd()
    try:
        findings = looked_at(folder, machine_settings(host), key=private_key(host))
    finally:
        host.start_dockerd()
    (wrong,) = [each for each in findings if each.state == "wrong"]
    assert "Docker" in wrong.what
    assert wrong.fix


def test_init_is_shown_the_key_by_which_deployments_know_the_host(host: TestHost) -> None:
    place = SshAddress(host.address, host.port)
    found = shown_keys([place])[place]
    assert isinstance(found, HostKey)
    assert found.key == one_host_key(host.host_key)
    printed = host.inside(["ssh-keygen", "-lf", found.file])
    assert found.fingerprint in printed
