"""The emulated Hetzner Cloud is accepted by Hetzner's own Python client, and refuses what Hetzner refuses."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hcloud import APIException, Client
from hcloud.actions.domain import ActionFailedException
from hcloud.firewalls.domain import FirewallRule
from hcloud.images.domain import Image
from hcloud.load_balancer_types.domain import LoadBalancerType
from hcloud.load_balancers.domain import (
    LoadBalancerHealthCheck,
    LoadBalancerService,
    LoadBalancerTarget,
)
from hcloud.locations.domain import Location
from hcloud.networks.domain import NetworkRoute, NetworkSubnet
from hcloud.server_types.domain import ServerType
from hcloud.servers.domain import ServerCreatePublicNetwork
from hcloud.zones.domain import ZoneRecord
from hetzner_fake import READ_ONLY, TOKEN, FakeHetzner, serving_hetzner
from hetzner_lists import selects

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"
PLACE = Location(name="fsn1")


@pytest.fixture
def hetzner() -> Iterator[FakeHetzner]:
    with serving_hetzner() as fake:
        yield fake


@pytest.fixture
def client(hetzner: FakeHetzner) -> Client:
    return client_of(hetzner)


def client_of(hetzner: FakeHetzner, token: str = TOKEN) -> Client:
    return Client(token, api_endpoint=hetzner.url, poll_interval=0.01, poll_max_retries=500)


def server(client: Client, name: str = "web-1", **given: Any) -> Any:
    options = {"server_type": ServerType("cx23"), "image": Image(name="debian-13"), "location": PLACE, **given}
    answer = client.servers.create(name=name, **options)
    for action in (answer.action, *answer.next_actions):
        action.wait_until_finished()
    return client.servers.get_by_name(name)


def uploadable() -> tuple[str, str]:
    key, begin = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC).replace(tzinfo=None)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop.example")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), begin)
    made = builder.not_valid_after(begin + dt.timedelta(days=1)).sign(key, hashes.SHA256())
    encoding = serialization.Encoding.PEM
    form = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return made.public_bytes(encoding).decode(), key.private_bytes(encoding, *form).decode()


def refusal(call: Any) -> str:
    with pytest.raises(APIException) as raised:
        call()
    return str(raised.value.code)


# --- every kind: made, found by id and name, listed, changed, deleted


def made_ssh_key(client: Client) -> Any:
    return client.ssh_keys.create("it", KEY)


def made_firewall(client: Client) -> Any:
    rule = FirewallRule("in", "tcp", ["0.0.0.0/0", "::/0"], port="22")
    made = client.firewalls.create("it", rules=[rule]).firewall
    (action,) = made.set_rules([rule, FirewallRule("in", "icmp", ["0.0.0.0/0"])])
    action.wait_until_finished()
    return made


def made_network(client: Client) -> Any:
    made = client.networks.create("it", "10.0.0.0/16")
    made.add_subnet(NetworkSubnet("10.0.1.0/24", "cloud", "eu-central")).wait_until_finished()
    route = NetworkRoute("10.9.0.0/16", "10.0.1.2")
    made.add_route(route).wait_until_finished()
    made.delete_route(route).wait_until_finished()
    return made


def made_volume(client: Client) -> Any:
    answer = client.volumes.create(10, "it", location=PLACE, format="ext4")
    answer.action.wait_until_finished()
    answer.volume.resize(20).wait_until_finished()
    return answer.volume


def made_primary_ip(client: Client) -> Any:
    made = client.primary_ips.create("ipv4", "it", location=PLACE).primary_ip
    made.change_dns_ptr(made.ip, "web.example.com").wait_until_finished()
    return made


def made_placement_group(client: Client) -> Any:
    return client.placement_groups.create("it", "spread").placement_group


def made_server(client: Client) -> Any:
    return server(client, "it", ssh_keys=[made_ssh_key(client)], user_data="#cloud-config\n")


def made_load_balancer(client: Client) -> Any:
    health = LoadBalancerHealthCheck("tcp", 80, 15, 10, 3)
    service = LoadBalancerService("tcp", 80, 80, proxyprotocol=False, health_check=health)
    target = LoadBalancerTarget("server", server=server(client), use_private_ip=False)
    kind = LoadBalancerType(name="lb11")
    answer = client.load_balancers.create("it", kind, location=PLACE, services=[service], targets=[target])
    answer.action.wait_until_finished()
    return answer.load_balancer


def made_certificate(client: Client) -> Any:
    certificate, key = uploadable()
    return client.certificates.create("it", certificate, key)


def made_zone(client: Client) -> Any:
    answer = client.zones.create(name="it.example", mode="primary")
    answer.action.wait_until_finished()
    return answer.zone


KINDS = {
    "ssh_keys": made_ssh_key,
    "firewalls": made_firewall,
    "networks": made_network,
    "volumes": made_volume,
    "primary_ips": made_primary_ip,
    "placement_groups": made_placement_group,
    "servers": made_server,
    "load_balancers": made_load_balancer,
    "certificates": made_certificate,
    "zones": made_zone,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_made_found_listed_changed_and_deleted(client: Client, hetzner: FakeHetzner, kind: str) -> None:
    api, made = getattr(client, kind), KINDS[kind](client)
    found = api.get_by_name(made.name) if kind != "zones" else api.get(made.name)
    assert (found.id, api.get_by_id(made.id).name if kind != "zones" else found.name) == (made.id, made.name)
    made.update(labels={"slipway": "test"})
    assert [each.id for each in api.get_all(label_selector="slipway=test")] == [made.id]
    assert api.get_all(label_selector="slipway!=test") == []
    if hasattr(made, "change_protection") and kind != "servers":
        made.change_protection(delete=True).wait_until_finished()
        assert refusal(made.delete) == "protected"
        made.change_protection(delete=False).wait_until_finished()
    ended = made.delete()
    if hasattr(ended, "wait_until_finished") or hasattr(ended, "action"):
        getattr(ended, "action", ended).wait_until_finished()
    assert made.name not in hetzner.names(kind)


# --- servers


def test_a_server_has_what_it_is_born_with_and_takes_its_own_along_when_it_goes(
    client: Client, hetzner: FakeHetzner
) -> None:
    kept = client.primary_ips.create("ipv4", "kept", location=PLACE).primary_ip
    volume, network, wall = made_volume(client), made_network(client), made_firewall(client)
    group = made_placement_group(client)
    public = ServerCreatePublicNetwork(ipv4=kept, enable_ipv6=True)
    given = {"volumes": [volume], "networks": [network], "firewalls": [wall], "placement_group": group}
    found = server(client, public_net=public, ssh_keys=[made_ssh_key(client)], user_data="#cloud-config\n", **given)
    assert (found.status, found.public_net.ipv4.ip, found.private_net[0].ip) == ("running", kept.ip, "10.0.1.2")
    assert [each.id for each in found.volumes] == [volume.id]
    assert [each.firewall.id for each in found.public_net.firewalls] == [wall.id]
    assert client.placement_groups.get_by_id(group.id).servers == [found.id]
    assert [each.id for each in client.networks.get_by_id(network.id).servers] == [found.id]
    assert refusal(wall.delete) == "resource_in_use"
    assert refusal(volume.delete) == "resource_in_use"
    assert refusal(kept.delete) == "resource_in_use"
    assert len(hetzner.names("primary_ips")) == 2

    found.delete().wait_until_finished()
    assert hetzner.names("primary_ips") == ["kept"]
    assert client.volumes.get_by_id(volume.id).server is None
    assert client.firewalls.get_by_id(wall.id).applied_to == []


def test_a_type_is_changed_while_it_is_off_and_its_disk_never_shrinks(client: Client) -> None:
    found = server(client)
    assert refusal(lambda: found.change_type(ServerType("cx33"), upgrade_disk=False)) == "server_not_stopped"
    found.power_off().wait_until_finished()
    found.change_type(ServerType("cx33"), upgrade_disk=True).wait_until_finished()
    found.reload()
    assert (found.server_type.name, found.primary_disk_size, found.status) == ("cx33", 80, "running")
    found.power_off().wait_until_finished()
    assert refusal(lambda: found.change_type(ServerType("cx23"), upgrade_disk=True)) == "invalid_server_type"
    found.power_on().wait_until_finished()
    assert client.servers.get_by_id(found.id).status == "running"


def test_protection_and_backups_of_a_server(client: Client) -> None:
    found = server(client)
    found.change_protection(delete=True, rebuild=True).wait_until_finished()
    assert refusal(found.delete) == "protected"
    assert refusal(lambda: found.rebuild(Image(name="debian-12"))) == "protected"
    found.change_protection(delete=False, rebuild=False).wait_until_finished()
    found.rebuild(Image(name="debian-12")).action.wait_until_finished()
    found.enable_backup().wait_until_finished()
    found.reload()
    assert (found.image.name, found.backup_window, found.status) == ("debian-12", "22-02", "running")
    found.disable_backup().wait_until_finished()
    assert client.servers.get_by_id(found.id).backup_window is None


def test_an_address_moves_only_between_servers_that_are_off(client: Client) -> None:
    found = server(client)
    address = client.primary_ips.get_by_id(found.public_net.primary_ipv4.id)
    assert refusal(address.unassign) == "server_not_stopped"
    found.power_off().wait_until_finished()
    address.unassign().wait_until_finished()
    found.reload()
    assert found.public_net.ipv4 is None
    address.assign(found.id, "server").wait_until_finished()
    assert client.servers.get_by_id(found.id).public_net.ipv4.ip == address.ip


# --- names and certificates


def test_records_of_a_zone_are_set_added_and_removed(client: Client, hetzner: FakeHetzner) -> None:
    zone = made_zone(client)
    zone.create_rrset(name="www", type="A", records=[ZoneRecord("203.0.113.1")]).action.wait_until_finished()
    rrset = zone.get_rrset("www", "A")
    zone.add_rrset_records(rrset, [ZoneRecord("203.0.113.2", comment="two")]).wait_until_finished()
    assert hetzner.rrsets("it.example") == {"www/A": ["203.0.113.1", "203.0.113.2"]}
    zone.set_rrset_records(rrset, [ZoneRecord("203.0.113.3")]).wait_until_finished()
    zone.change_rrset_ttl(rrset, 60).wait_until_finished()
    assert hetzner.rrsets("it.example") == {"www/A": ["203.0.113.3"]}
    assert refusal(lambda: zone.create_rrset(name="www", type="CNAME", records=[ZoneRecord("a.")])) == "invalid_input"
    assert refusal(lambda: zone.create_rrset(name="v6", type="AAAA", records=[ZoneRecord("::0:1")])) == "invalid_input"
    assert refusal(lambda: zone.create_rrset(name="t", type="TXT", records=[ZoneRecord("bare")])) == "invalid_input"
    zone.delete_rrset(rrset).action.wait_until_finished()
    assert hetzner.rrsets("it.example") == {}


def test_a_managed_certificate_is_issued_by_an_action(client: Client) -> None:
    answer = client.certificates.create_managed("web", ["shop.example", "*.shop.example"])
    assert answer.certificate.status.issuance == "pending"
    answer.action.wait_until_finished()
    found = client.certificates.get_by_id(answer.certificate.id)
    assert (found.status.issuance, found.domain_names) == ("completed", ["shop.example", "*.shop.example"])
    assert "BEGIN CERTIFICATE" in found.certificate


# --- what is offered


def test_what_is_offered_is_listed_with_prices_and_deprecation(client: Client) -> None:
    assert [each.name for each in client.locations.get_all()] == ["fsn1", "nbg1", "hel1", "ash"]
    kinds = {each.name: each for each in client.server_types.get_all()}
    assert kinds["cx22"].deprecation is not None
    assert {each["location"] for each in kinds["cx23"].prices} == {"fsn1", "nbg1", "hel1", "ash"}
    assert "debian-11" not in {each.name for each in client.images.get_all()}
    assert "debian-11" in {each.name for each in client.images.get_all(include_deprecated=True)}
    assert client.images.get_by_name_and_architecture("debian-13", "arm").architecture == "arm"
    assert [each.name for each in client.load_balancer_types.get_all()] == ["lb11", "lb21"]
    assert len(client.datacenters.get_all()) == 4
    prices = client.request("GET", "/pricing")["pricing"]
    assert (prices["currency"], prices["server_backup"]["percentage"][:2]) == ("EUR", "20")


def test_lists_come_in_pages(client: Client) -> None:
    for number in range(60):
        client.placement_groups.create(f"group-{number:02}", "spread")
    page = client.placement_groups.get_list(page=2, per_page=50)
    assert (len(page.placement_groups), page.meta.pagination.total_entries) == (10, 60)
    assert page.meta.pagination.next_page is None
    assert len(client.placement_groups.get_all()) == 60
    assert client.placement_groups.get_list(sort=["name:desc"]).placement_groups[0].name == "group-59"


@pytest.mark.parametrize(
    ("selector", "chosen"),
    [
        *(("a", True), ("!a", False), ("b", False), ("!b", True), ("a=1", True), ("a==1", True), ("a!=1", False)),
        *(("b!=1", True), ("a in (1,2)", True), ("a notin (1, 2)", False), ("b notin (1)", True), ("a,c=3", True)),
        *(("a in (1,2),!c", False), ("a=1,b", False)),
    ],
)
def test_label_selectors_select(selector: str, chosen: bool) -> None:  # noqa: FBT001
    assert selects(selector, {"a": "1", "c": "3"}) is chosen


# --- what goes wrong


def test_errors_have_the_vendors_codes(client: Client, hetzner: FakeHetzner) -> None:
    refused = client_of(hetzner, "wrong".ljust(64, "x"))
    assert refusal(refused.servers.get_all) == "unauthorized"
    reader = client_of(hetzner, READ_ONLY)
    assert reader.servers.get_all() == []
    assert refusal(lambda: made_ssh_key(reader)) == "token_readonly"
    key = made_ssh_key(client)
    assert refusal(lambda: client.ssh_keys.create("it", KEY)) == "uniqueness_error"
    assert refusal(lambda: client.ssh_keys.create("other", KEY)) == "uniqueness_error"
    assert refusal(lambda: client.ssh_keys.create("other", "ssh-ed25519 nonsense")) == "invalid_input"
    key.delete()
    assert refusal(lambda: client.ssh_keys.get_by_id(key.id)) == "not_found"
    assert refusal(lambda: server(client, server_type=ServerType("cx99"))) == "not_found"
    assert refusal(lambda: server(client, server_type=ServerType("cax11"), image=Image(1000))) == "invalid_input"
    assert refusal(lambda: server(client, "not_a_host_name")) == "invalid_input"
    assert refusal(lambda: client.networks.create("wide", "203.0.113.0/24")) == "invalid_input"
    hetzner.unavailable.add(("cx23", "fsn1"))
    assert refusal(lambda: server(client)) == "resource_unavailable"
    hetzner.limits["servers"] = 1
    server(client, "one", location=Location("nbg1"))
    assert refusal(lambda: server(client, "two", location=Location("nbg1"))) == "resource_limit_exceeded"


def test_used_up_requests_are_said_with_their_headers(client: Client, hetzner: FakeHetzner) -> None:
    hetzner.remaining = 1
    client.locations.get_by_id(1)
    impatient = client_of(hetzner)
    impatient._client._retry_max_retries = 0
    with pytest.raises(APIException) as raised:
        impatient.locations.get_by_id(1)
    assert raised.value.code == "rate_limit_exceeded"
    assert hetzner.remaining < 1
    assert client.locations.get_by_id(1).name == "fsn1", "asked again when one is left"


def test_actions_are_slow_locked_or_fail_as_ordered(client: Client, hetzner: FakeHetzner) -> None:
    found = server(client)
    hetzner.slow_action("stop_server", 0.5)
    action = found.power_off()
    assert action.status == "running"
    assert refusal(found.power_on) == "locked"
    assert client.servers.get_by_id(found.id).status == "running"
    action.wait_until_finished()
    assert client.servers.get_by_id(found.id).status == "off"
    hetzner.fail_action("start_server", "server_error", "host is down")
    with pytest.raises(ActionFailedException, match="host is down"):
        found.power_on().wait_until_finished()
    assert client.servers.get_by_id(found.id).status == "off"


def test_faults_come_as_ordered_and_pass(client: Client, hetzner: FakeHetzner) -> None:
    hetzner.fail("conflict", times=2, path="/ssh_keys$", method="POST")
    hetzner.fail("", status=502, path="/locations")
    hetzner.fail("server_error", "it broke", path="/volumes")
    assert client.locations.get_by_id(1).name == "fsn1"
    assert refusal(client.volumes.get_all) == "server_error"
    assert made_ssh_key(client).name == "it"
    assert hetzner.asked.count("POST /ssh_keys") == 3


# --- the fake itself


def test_what_hetzner_would_not_understand_is_a_violation(client: Client, hetzner: FakeHetzner) -> None:
    with pytest.raises(APIException, match="publik_key"):
        client.request(method="POST", url="/ssh_keys", json={"name": "it", "publik_key": KEY, "public_key": KEY})
    with pytest.raises(APIException):
        client.request(method="GET", url="/nonsense")
    assert [each.partition(":")[0] for each in hetzner.violations] == [
        "POST /ssh_keys",
        "GET /nonsense is not described, or not emulated",
    ]
    hetzner.violations.clear()


def test_what_hetzner_would_not_answer_is_a_violation(client: Client, hetzner: FakeHetzner) -> None:
    found = server(client)
    hetzner.records["servers"][found.id]["status"] = "splendid"
    client.servers.get_by_id(found.id)
    assert 'server.status: "splendid" is not one of' in hetzner.violations[-1]
    hetzner.violations.clear()
