"""`slipway host check` and `prepare` on a real host, and what is reached there afterwards."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import socket
from typing import TYPE_CHECKING

import pytest
from remote_stack import machine_settings
from routed import HARMLESS, answer, change, loaded, routed
from stack_harness import eventually

from slipway.cli.hosts.check import check_document, check_hosts, chosen
from slipway.cli.hosts.prepare import prepare
from slipway.contract.problems import SlipwayError
from slipway.hosts.preparation import script
from slipway.hosts.preparation.item import Wanted
from slipway.hosts.preparation.items import items
from slipway.hosts.preparation.on_host import bring_about
from slipway.settings.model import HostSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from remote_stack import RemoteStack

    from dev.testhosts.hosts import TestHosts
    from dev.testhosts.server import TestHost

VALKEY = "valkey/valkey:8"
PORT = 6379
METADATA = "169.254.169.254"
NEEDS_SYSTEMD = {"drain", "swap", "journal", "clock"}


@pytest.fixture(scope="module")
def host(test_hosts: TestHosts) -> Iterator[TestHost]:
    """A host of its own, because what is done to it stays; it reaches package servers."""
    with test_hosts.create(internet=True) as made:
        yield made


def settings_of(host: TestHost) -> Settings:
    return Settings.model_validate(
        {"stack": "prepared", "hosts": [machine_settings(host)], "sshKey": host.key_file.read_text()}
    )


def prepared(host: TestHost, *ssh_from: str) -> None:
    assert prepare(settings_of(host), "", login="root", ssh_from=ssh_from, yes=True)


def states(host: TestHost, login: str = "root", of: str = "state") -> dict[str, str]:
    settings = settings_of(host)
    document = check_document("prepared", check_hosts(chosen(settings, "", login), settings, ()))
    (one,) = document["hosts"]
    assert one["problems"] == []
    return {item["id"]: item[of] for item in one["items"]}


def as_root(host: TestHost) -> HostSettings:
    return HostSettings.model_validate({**machine_settings(host), "user": "root"})


def files(host: TestHost) -> str:
    """What a change would leave behind."""
    places = "/etc /usr /home /root /var/lib/dpkg"
    return host.inside(["sh", "-c", f"find {places} -type f -printf '%p %T@ %m\\n' | sort | sha256sum"])


def answers(host: TestHost, port: int) -> bool:
    """Whether a connection from outside gets through."""
    with contextlib.suppress(OSError), socket.create_connection((host.address, port), timeout=2) as opened:
        opened.sendall(b"PING\r\n")
        return opened.recv(5) == b"+PONG"
    return False


@contextlib.contextmanager
def published(host: TestHost, port: int, *options: str) -> Iterator[None]:
    publish = options or ("--publish", f"{port}:{PORT}")
    host.inside(["docker", "run", "--detach", "--name", f"at-{port}", *publish, VALKEY, "valkey-server", *(
        ("--port", str(port), "--protected-mode", "no") if options else ("--protected-mode", "no")
    )], seconds=120)  # fmt: skip
    try:
        host.inside(
            ["sh", "-c", f"until docker exec at-{port} valkey-cli -p {port if options else PORT} ping; do :; done"]
        )
        yield
    finally:
        host.inside(["docker", "rm", "--force", "--volumes", f"at-{port}"])


def test_a_check_changes_nothing_and_says_what_this_user_cannot_see(host: TestHost) -> None:
    before = files(host)
    assert states(host, "root")["sshd"] == "differs"
    seen = states(host, "deploy")
    assert (seen["sshd"], seen["firewall"], seen["docker"], seen["user"]) == ("unknown", "unknown", "ok", "ok")
    assert files(host) == before


def test_a_user_who_may_not_become_root_is_told_before_anything_changes(host: TestHost) -> None:
    before = files(host)
    with pytest.raises(SlipwayError, match=r"is not root.*slipway host prepare \S+ --login root"):
        prepare(settings_of(host), "", login="", ssh_from=(), yes=True)
    assert files(host) == before


def test_a_host_is_prepared_and_a_second_run_finds_nothing_to_do(
    host: TestHost, capsys: pytest.CaptureFixture[str]
) -> None:
    assert answers_ssh(host)
    prepared(host)
    found = states(host)
    assert {each for each, state in found.items() if state == "unknown"} == NEEDS_SYSTEMD
    assert {state for each, state in found.items() if each not in NEEDS_SYSTEMD} == {"ok"}
    daemon = json.loads(host.path("/etc/docker/daemon.json").read_text())
    assert daemon["registry-mirrors"]
    assert daemon["live-restore"] is True
    assert host.inside(["docker", "info", "--format", "{{.LiveRestoreEnabled}}"]).strip() == "true"
    assert host.run("id -un").strip() == "deploy"
    capsys.readouterr()
    before = files(host)
    prepared(host)
    assert "nothing to change" in capsys.readouterr().out
    assert files(host) == before


def answers_ssh(host: TestHost) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host.address, 22), timeout=2) as opened:
        return opened.recv(4) == b"SSH-"
    return False


def test_ports_that_containers_publish_are_closed_to_the_network_and_the_webs_are_open(host: TestHost) -> None:
    prepared(host)
    for port, options in ((80, ()), (443, ()), (PORT, ()), (8080, ()), (8081, ("--network", "host"))):
        with published(host, port, *options):
            assert answers(host, port) is (port in (80, 443)), port
            host.inside(["nft", "delete", "table", "inet", "slipway"])
            opened, plan = answers(host, port), states(host, of="text")["firewall"]
            host.inside(["nft", "-f", "/etc/slipway/firewall.nft"])
            assert opened, f"the firewall was not what closed {port}"
            assert (f"{port}/tcp" in plan) is (port not in (80, 443)), plan
    assert answers_ssh(host)


def test_what_is_opened_by_hand_stays_open(host: TestHost) -> None:
    prepared(host)
    file = host.path("/etc/slipway/open.nft")
    before = file.read_text()
    file.write_text(before.replace("{ 80, 443 }", "{ 80, 443, 8080 }"))
    try:
        host.inside(["nft", "-f", "/etc/slipway/firewall.nft"])
        assert states(host)["firewall"] == "ok"
        prepared(host)
        with published(host, 8080):
            assert answers(host, 8080)
    finally:
        file.write_text(before)
        host.inside(["nft", "-f", "/etc/slipway/firewall.nft"])


def test_containers_cannot_ask_for_the_machines_metadata(host: TestHost, test_hosts: TestHosts) -> None:
    prepared(host)
    with test_hosts.create() as provider:
        provider.inside(["ip", "address", "add", f"{METADATA}/32", "dev", "eth0"])
        host.inside(["ip", "route", "add", METADATA, "via", provider.address])
        ask = ["docker", "run", "--rm", VALKEY, "timeout", "5", "valkey-cli", "-h", METADATA, "ping"]
        with published(provider, PORT, "--network", "host"):
            assert "PONG" not in host.inside(ask, check=False)
            host.inside(["nft", "delete", "table", "inet", "slipway"])
            assert "PONG" in host.inside(ask)
            host.inside(["nft", "-f", "/etc/slipway/firewall.nft"])
        host.inside(["ip", "route", "delete", METADATA])


def test_a_firewall_that_would_lock_its_owner_out_is_put_back(host: TestHost) -> None:
    prepared(host)
    before = host.path("/etc/slipway/open.nft").read_text()
    with pytest.raises(SlipwayError, match=r"firewall.*put back.*slipway host prepare"):
        prepared(host, "192.0.2.0/24")
    assert host.path("/etc/slipway/open.nft").read_text() == before
    assert host.run("id -un").strip() == "deploy"
    assert not list(host.path("/run").glob("slipway-saved*"))
    prepared(host, f"{host.address}/24".replace(f"{host.address}/", f"{host.address.rpartition('.')[0]}.0/"))
    assert host.run("id -un").strip() == "deploy"
    with pytest.raises(SlipwayError, match="put back"):
        prepared(host, "192.0.2.0/24")
    assert states(host)["firewall"] == "ok"


def test_a_change_whose_maker_is_cut_off_is_put_back_by_the_host_itself(
    host: TestHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared(host)
    monkeypatch.setattr(script, "_WAIT_SECONDS", 3)
    (closed,) = (item for item in items(Wanted(ssh_from=("192.0.2.0/24",))) if item.id == "firewall")
    host.inside(["sh", "-s"], stdin=script.apply_script(closed))
    assert not answers_ssh(host)
    eventually(lambda: answers_ssh(host), 15)
    assert states(host)["firewall"] == "ok"
    assert not list(host.path("/run").glob("slipway-saved*"))


def test_an_sshd_that_would_lock_everybody_out_is_put_back(host: TestHost) -> None:
    prepared(host)
    (sshd,) = (item for item in items(Wanted()) if item.id == "sshd")
    for line, reason in (("AllowUsers nobody", "put back"), ("NoSuchSetting yes", "sshd refuses")):
        broken = dataclasses.replace(sshd, apply=sshd.apply.replace("X11Forwarding no", line))
        with pytest.raises(SlipwayError, match=rf"sshd: .*{reason}"):
            asyncio.run(bring_about(as_root(host), host.key_file.read_text(), [broken], print))
        assert host.run("id -un").strip() == "deploy"
        assert states(host)["sshd"] == "ok"


def test_settings_of_sshd_that_are_broken_already_stop_the_preparation_and_stay(host: TestHost) -> None:
    other = host.path("/etc/ssh/sshd_config.d/99-other.conf")
    other.write_text("NoSuchSetting yes\n")
    try:
        with pytest.raises(SlipwayError, match="refuses the settings that it has already"):
            prepared(host)
        assert host.run("id -un").strip() == "deploy"
        assert other.exists()
    finally:
        other.unlink()
    prepared(host)


def test_a_step_that_fails_names_itself_and_the_next_run_goes_on_from_there(
    test_hosts: TestHosts, capsys: pytest.CaptureFixture[str]
) -> None:
    with test_hosts.create(docker=False, python=False, internet=True) as bare:
        with pytest.raises(SlipwayError, match=r"Docker and Compose v2: .*Docker does not answer"):
            prepared(bare)  # the packages are there now, and no systemd that would start them
        said = capsys.readouterr().out
        assert "packages" in said
        bare.start_dockerd()
        prepared(bare)
        assert "things to change" in capsys.readouterr().out
        assert "differs" not in states(bare).values()
        assert bare.run("docker ps --quiet") == ""


def test_a_system_that_is_not_on_the_list_is_refused(host: TestHost) -> None:
    release = host.path("/usr/lib/os-release")
    before = release.read_text()
    release.write_text('ID=fedora\nVERSION_ID="41"\n')
    try:
        with pytest.raises(SlipwayError, match="fedora-41 cannot be prepared"):
            prepared(host)
    finally:
        release.write_text(before)


def test_a_prepared_host_loses_no_request_to_a_change_or_to_a_new_edge(
    host: TestHost, deployable: Callable[..., RemoteStack]
) -> None:
    prepared(host)
    stack = deployable(host, application=routed, variables=dict(HARMLESS), secrets={}, deadline=300)
    stack.up()
    edge = host.run("docker ps --quiet --filter label=dev.slipway.edge")
    stack.settings["trustedProxies"] = ["203.0.113.0/24"]  # it reads this at its start alone
    change(stack, "2")
    with loaded(host) as found:
        stack.up()
    (result,) = found
    assert not result.requests.failed | result.long.failed, result.describe()
    assert set(result.websockets.failed) <= {"reset"}, result.describe()  # they end with the old edge
    assert answer(host) == "2"
    assert host.run("docker ps --quiet --filter label=dev.slipway.edge") != edge
    assert states(host)["firewall"] == "ok"
