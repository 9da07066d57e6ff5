"""The emulated Hetzner Cloud through the provider's own code: a program's resources are made, left alone, changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hetzner_fake import TOKEN, FakeHetzner, serving_hetzner
from test_hetzner_client import KEY, uploadable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pulumi_project import Outcome, Project

PROGRAM = """
import pulumi_hcloud as hcloud
provider = hcloud.Provider("hetzner", poll_interval="20ms")
opts = pulumi.ResourceOptions(provider=provider)
name, labels = given["name"], {"slipway": "test"}
key = hcloud.SshKey("key", name=name, public_key=given["key"], labels=labels, opts=opts)
wall = hcloud.Firewall("wall", name=name, labels=labels, rules=[
    hcloud.FirewallRuleArgs(direction="in", protocol="tcp", port=port, source_ips=["0.0.0.0/0", "::/0"])
    for port in given["ports"]
], opts=opts)
net = hcloud.Network("net", name=name, ip_range="10.0.0.0/16", labels=labels, opts=opts)
sub = hcloud.NetworkSubnet(
    "sub", network_id=net.id.apply(int), type="cloud", network_zone="eu-central", ip_range="10.0.1.0/24", opts=opts
)
group = hcloud.PlacementGroup("group", name=name, type="spread", labels=labels, opts=opts)
address = hcloud.PrimaryIp(
    "address", name=name, type="ipv4", location="fsn1", auto_delete=False, labels=labels, opts=opts
)
server = hcloud.Server(
    "server", name=name, server_type=given["type"], image="debian-13", location="fsn1", labels=labels, keep_disk=True,
    ssh_keys=[key.id], user_data="#cloud-config", firewall_ids=[wall.id.apply(int)],
    placement_group_id=group.id.apply(int),
    public_nets=[hcloud.ServerPublicNetArgs(ipv4_enabled=True, ipv4=address.id.apply(int), ipv6_enabled=True)],
    backups=given["backups"], opts=opts,
)
joined = hcloud.ServerNetwork(
    "joined", server_id=server.id.apply(int), subnet_id=sub.id, ip="10.0.1.5", opts=opts
)
volume = hcloud.Volume(
    "volume", name=name, size=given["size"], format="ext4", location="fsn1", delete_protection=given["protect"],
    labels=labels, opts=opts,
)
hcloud.VolumeAttachment(
    "attached", volume_id=volume.id.apply(int), server_id=server.id.apply(int), automount=False, opts=opts
)
hcloud.Rdns("reverse", primary_ip_id=address.id.apply(int), ip_address=address.ip_address, dns_ptr="web.it.example",
            opts=opts)
uploaded = hcloud.UploadedCertificate(
    "uploaded", name=name, certificate=given["certificate"], private_key=given["private_key"], labels=labels, opts=opts
)
managed = hcloud.ManagedCertificate(
    "managed", name=name + "-managed", domain_names=["it.example"], labels=labels, opts=opts
)
balancer = hcloud.LoadBalancer(
    "balancer", name=name, load_balancer_type="lb11", location="fsn1", labels=labels, opts=opts
)
inside = hcloud.LoadBalancerNetwork("inside", load_balancer_id=balancer.id.apply(int), subnet_id=sub.id, opts=opts)
hcloud.LoadBalancerTarget(
    "target", type="server", load_balancer_id=balancer.id.apply(int), server_id=server.id.apply(int),
    use_private_ip=True, opts=pulumi.ResourceOptions(provider=provider, depends_on=[inside, joined]),
)
hcloud.LoadBalancerService(
    "https", load_balancer_id=balancer.id, protocol="https", listen_port=443, destination_port=80,
    http=hcloud.LoadBalancerServiceHttpArgs(certificates=[managed.id.apply(int)], redirect_http=True),
    health_check=hcloud.LoadBalancerServiceHealthCheckArgs(
        protocol="http", port=80, interval=15, timeout=10, retries=3,
        http=hcloud.LoadBalancerServiceHealthCheckHttpArgs(path="/health", status_codes=["2??"]),
    ), opts=opts,
)
zone = hcloud.Zone("zone", name="it.example", mode="primary", ttl=3600, labels=labels, opts=opts)
hcloud.ZoneRrset(
    "record", zone=zone.name, name="www", type="A", ttl=given["ttl"], labels=labels,
    records=[hcloud.ZoneRrsetRecordArgs(value=address.ip_address)], opts=opts,
)
pulumi.export("address", server.ipv4_address)
"""

pytestmark = pytest.mark.usefixtures("hcloud_plugin")


@pytest.fixture
def hetzner() -> Iterator[FakeHetzner]:
    with serving_hetzner() as fake:
        yield fake


@pytest.fixture
def stack(project: Project, hetzner: FakeHetzner) -> Project:
    project.env.update({"HCLOUD_TOKEN": TOKEN, "HCLOUD_ENDPOINT": hetzner.url})
    return project


def changes(outcome: Outcome) -> dict[str, str]:
    """Resource → operation, of those that change."""
    return {name: step for step, name in outcome.steps if step != "same"}


def test_everything_is_made_left_alone_changed_and_destroyed(stack: Project, hetzner: FakeHetzner) -> None:
    certificate, key = uploadable()
    given: dict[str, Any] = {
        "name": "it", "key": KEY, "ports": ["22", "80"], "type": "cx23", "backups": False, "size": 10, "protect": False,
        "ttl": 300, "certificate": certificate, "private_key": key,
    }  # fmt: skip
    made = stack.up(PROGRAM, **given)
    assert {*changes(made).values()} == {"create"}, changes(made)
    server = hetzner.named("servers", "it")
    address = hetzner.named("primary_ips", "it")
    assert stack.outputs["address"] == address["ip"] == server["public_net"]["ipv4"]["ip"]
    assert hetzner.rrsets("it.example") == {"www/A": [address["ip"]]}
    assert hetzner.violations == []

    before = len(hetzner.written)
    assert changes(stack.up(PROGRAM, **given)) == {}
    refreshed = stack.pulumi("refresh", "--yes", "--skip-preview", "--expect-no-changes")
    assert {step for step, _ in refreshed.steps} <= {"refresh", "same"}, refreshed.text
    assert changes(stack.up(PROGRAM, **given)) == {}
    assert len(hetzner.written) == before

    more = {"ports": ["22", "80", "443"], "type": "cx33", "backups": True, "size": 20, "protect": True, "ttl": 60}
    changed = stack.up(PROGRAM, **given | more)
    assert changes(changed) == dict.fromkeys(("wall", "server", "volume", "record"), "update")
    server = hetzner.named("servers", "it")
    assert (server["server_type"]["name"], server["primary_disk_size"], server["status"]) == ("cx33", 40, "running")
    assert (server["backup_window"], hetzner.named("volumes", "it")["size"]) == ("22-02", 20)
    assert len(hetzner.named("firewalls", "it")["rules"]) == 3

    assert "protected" in stack.destroy(fails=True).text
    stack.up(PROGRAM, **given | more | {"protect": False})
    stack.destroy()
    left = [kind for kind in ("servers", "volumes", "primary_ips", "networks", "zones") if hetzner.names(kind)]
    assert left == []
    assert TOKEN not in stack.state


SERVER = """
import pulumi_hcloud as hcloud
opts = pulumi.ResourceOptions(provider=hcloud.Provider("hetzner", poll_interval="20ms"))
hcloud.Server("server", name="it", image="debian-13", location="fsn1", server_type=given["type"], opts=opts)
"""


def test_what_hetzner_refuses_is_said_and_the_next_run_goes_on(stack: Project, hetzner: FakeHetzner) -> None:
    def refused(**given: Any) -> str:
        outcome = stack.up(SERVER, **{"type": "cx23", **given}, fails=True)
        assert hetzner.names("servers") == []
        return outcome.errors

    hetzner.limits["servers"] = 0
    assert "server limit exceeded (resource_limit_exceeded" in refused()
    del hetzner.limits["servers"]
    hetzner.unavailable.add(("cx23", "fsn1"))
    assert "resource_unavailable" in refused()
    hetzner.unavailable.clear()
    assert "server type cx99 not found" in refused(type="cx99")
    hetzner.fail("server_error", "it broke", path="/servers", method="POST")
    assert "it broke (server_error" in refused()
    hetzner.tokens[TOKEN] = "read"
    assert "token_readonly" in refused()
    hetzner.tokens[TOKEN] = "read and write"

    hetzner.fail("conflict", path="/servers$", method="POST")
    hetzner.fail("rate_limit_exceeded", path="/servers$", method="POST")
    hetzner.fail("", status=502, path="/server_types")
    hetzner.slow_action("start_server", 1.5)
    assert changes(stack.up(SERVER, type="cx23")) == {"server": "create"}
    assert hetzner.named("servers", "it")["status"] == "running"


def test_a_server_whose_first_start_failed_is_made_anew(stack: Project, hetzner: FakeHetzner) -> None:
    hetzner.fail_action("start_server", "server_error", "the machine is broken")
    assert "the machine is broken" in stack.up(SERVER, type="cx23", fails=True).errors
    stack.up(SERVER, type="cx23")
    assert hetzner.names("servers") == ["it"]
