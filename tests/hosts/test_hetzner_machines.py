"""Servers of the emulated Hetzner Cloud are real machines: reached at their address, with volumes that outlive them."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest
from hcloud import Client
from hcloud.firewalls.domain import FirewallRule
from hcloud.images.domain import Image
from hcloud.locations.domain import Location
from hcloud.networks.domain import NetworkSubnet
from hcloud.server_types.domain import ServerType
from hcloud.servers.domain import ServerCreatePublicNetwork
from hetzner_fake import TOKEN, FakeHetzner, serving_hetzner
from hetzner_machines import SEED, HostMachines
from stack_harness import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from dev.testhosts.hosts import TestHosts

PLACE = Location(name="fsn1")
USER_DATA = "#cloud-config\nhostname: web\n"


@pytest.fixture(scope="module")
def machines(test_hosts: TestHosts) -> Iterator[HostMachines]:
    with HostMachines(test_hosts, docker=False) as made:
        yield made


@pytest.fixture(scope="module")
def hetzner(machines: HostMachines) -> Iterator[FakeHetzner]:
    with serving_hetzner(machines) as fake:
        yield fake


@pytest.fixture(scope="module")
def client(hetzner: FakeHetzner) -> Client:
    return Client(TOKEN, api_endpoint=hetzner.url, poll_interval=0.1, poll_max_retries=600)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("key") / "key"
    made = asyncssh.generate_private_key("ssh-ed25519")
    made.write_private_key(file)
    made.write_public_key(file.with_suffix(".pub"))
    file.chmod(0o600)
    return file


def server(client: Client, name: str, **given: Any) -> Any:
    kind, image = ServerType("cx23"), Image(name="debian-13")
    answer = client.servers.create(name, kind, image, location=PLACE, **given)
    for action in (answer.action, *answer.next_actions):
        action.wait_until_finished()
    return client.servers.get_by_name(name)


def said(address: str, key: Path, command: str) -> str:
    options = (
        "-F",
        "none",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "BatchMode=yes",
    )
    argv = [
        "ssh",
        *options,
        "-o",
        "ConnectTimeout=3",
        "-o",
        "LogLevel=ERROR",
        "-i",
        str(key),
        f"root@{address}",
        command,
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
    return done.stdout.strip() if done.returncode == 0 else f"failed: {done.stderr.strip()}"


def reached(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=1):
        return True
    return False


def test_a_firewall_lets_in_what_its_rules_say(client: Client, machines: HostMachines) -> None:
    ours = ["0.0.0.0/0", "::/0"]
    wall = client.firewalls.create("wall", rules=[FirewallRule("in", "tcp", ours, port="80-443")]).firewall
    guarded = server(client, "guarded", firewalls=[wall])
    address = guarded.public_net.ipv4.ip
    host = machines.running[guarded.id]
    for port in (80, 443, 8080):
        host.inside(["sh", "-c", f"socat TCP-LISTEN:{port},fork,reuseaddr SYSTEM:true >/dev/null 2>&1 &"])
    eventually(lambda: reached(address, 80) and reached(address, 443))
    assert not reached(address, 22)
    assert not reached(address, 8080)
    other = server(client, "other")
    ask = f"socat -u OPEN:/dev/null TCP:{address}:%d,connect-timeout=1 && echo open || echo closed"
    inside = machines.running[other.id].inside
    assert [inside(["sh", "-c", ask % port]).strip() for port in (80, 8080)] == ["open", "closed"]

    (action,) = wall.set_rules([FirewallRule("in", "tcp", [f"{machines._hosts.gateway}/32"], port="22")])
    action.wait_until_finished()
    assert (reached(address, 22), reached(address, 80)) == (True, False)
    assert inside(["sh", "-c", ask % 22]).strip() == "closed"
    for made in (guarded, other):
        made.delete().wait_until_finished()
    wall.delete()
    assert address not in subprocess.run(["iptables-save"], capture_output=True, text=True, check=True).stdout


def test_a_server_is_reached_and_its_volume_and_address_outlive_it(
    client: Client, machines: HostMachines, key: Path
) -> None:
    login = client.ssh_keys.create("login", key.with_suffix(".pub").read_text().strip())
    address = client.primary_ips.create("ipv4", "kept", location=PLACE).primary_ip
    network = client.networks.create("inside", "10.7.0.0/16", [NetworkSubnet("10.7.1.0/24", "cloud", "eu-central")])
    made = client.volumes.create(10, "data", location=PLACE, format="ext4")
    made.action.wait_until_finished()
    volume = client.volumes.get_by_id(made.volume.id)
    public = ServerCreatePublicNetwork(ipv4=address, enable_ipv6=False)
    given = {"ssh_keys": [login], "public_net": public, "user_data": USER_DATA}

    web = server(client, "web", volumes=[volume], networks=[network], **given)
    assert web.public_net.ipv4.ip == address.ip
    assert said(address.ip, key, f"hostname; cat {SEED}/user-data") == f"web\n{USER_DATA}".strip()
    assert "10.7.1.2/16" in said(address.ip, key, "ip -o -4 address show dev eth0")
    assert said(address.ip, key, "id deploy 2>/dev/null || echo none") == "none"
    mount = f"mkdir -p /data && mount {volume.linux_device} /data"
    assert said(address.ip, key, f"{mount} && echo kept > /data/file && sync; echo its own > /root/file") == ""

    web.power_off().wait_until_finished()
    assert said(address.ip, key, "true").startswith("failed")
    web.power_on().wait_until_finished()
    assert said(address.ip, key, f"cat /root/file; {mount} && cat /data/file") == "its own\nkept"

    web.rebuild(Image(name="debian-12")).action.wait_until_finished()
    assert said(address.ip, key, f"ls /root/file 2>/dev/null; {mount} && cat /data/file") == "kept"

    web.delete().wait_until_finished()
    assert said(address.ip, key, "true").startswith("failed")
    again = server(client, "again", **given)
    volume.attach(again).wait_until_finished()
    assert said(address.ip, key, f"hostname; {mount} && cat /data/file") == "again\nkept"
    volume.detach().wait_until_finished()
    assert said(address.ip, key, f"test -e {volume.linux_device} || echo gone") == "gone"
    again.delete().wait_until_finished()
    volume.delete()
    assert machines.running == {}
    assert not list(machines._folder.iterdir())
