"""HetznerServers: what it asks of pulumi-hcloud; nothing secret in the clear."""

from pathlib import Path
from typing import Any

import pulumi
import pytest
from pydantic import SecretStr
from recorded import Recorded, is_secret, open_strings, plain, program
from samples import settings

from components import hetzner
from components.hetzner import HetznerServers, HetznerServersArgs
from slipway.hosts.hetzner.keys import key_of_label
from slipway.hosts.hetzner.look import CloudView
from slipway.hosts.hetzner.machines import Machine, Machines

PUBLIC = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJEMr86GiJ7BP5FPxxx"
TOKEN = "t" * 64
WEB = {"name": "web", "type": "cx23", "location": "fsn1"}
NOBODY = Machines({}, {}, frozenset(), "", "")


class _Hetzner(Recorded):
    """Ids of its own kind: numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.options: dict[tuple[str, str], pulumi.ResourceOptions] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        _, outputs = super().new_resource(args)
        return str(1000 + len(self.resources)), {**outputs, "ipAddress": "192.0.2.7", "ip": "10.10.0.2"}


def made(folder: Path, *servers: dict[str, Any], **more: Any) -> tuple[_Hetzner, dict[str, dict[str, str]], list[Any]]:
    """What the engine was asked for, the machines, and what was given with each resource."""
    engine = _Hetzner()
    cloud = {"machines": NOBODY, "pending": {}, "public_key": PUBLIC, "key": "slipway-ab", **more.pop("cloud", {})}
    token = {"hetzner_token": SecretStr(TOKEN), "hetzner_token_kept": more.pop("kept", True)}
    block = {"servers": [*servers], "sshFrom": ["192.0.2.1", "2001:db8::/32"], **more}
    stack = settings(folder, hetzner=block).model_copy(update=token)
    options: list[Any] = []

    def transformed(args: pulumi.ResourceTransformationArgs) -> None:
        options.append((args.type_.rpartition(":")[2], args.name, args.opts))

    def build() -> Any:
        args = HetznerServersArgs(settings=stack, cloud=CloudView(project="shop-test", **cloud))
        given = pulumi.ResourceOptions(transformations=[transformed])
        return HetznerServers("shop-test", args, given).machines

    return engine, program(engine, build), options


def of(engine: Recorded, kind: str) -> dict[str, dict[str, Any]]:
    return {name: each for (typ, name), each in engine.resources.items() if typ.endswith(f":{kind}")}


def options_of(options: list[Any], kind: str, name: str) -> pulumi.ResourceOptions:
    return next(each for its, called, each in options if (its, called) == (kind, name))


def test_a_server_comes_with_addresses_of_its_own_one_firewall_and_a_key_that_is_known(tmp_path: Path) -> None:
    engine, machines, options = made(tmp_path, WEB)
    server = of(engine, "Server")["web"]
    assert (server["serverType"], server["location"], server["image"]) == ("cx23", "fsn1", "debian-13")
    assert server["keepDisk"] is True
    assert server["sshKeys"] == ["slipway-ab"]
    assert len(server["firewallIds"]) == 1
    assert not {"datacenter", "networks"} & server.keys()
    addresses = of(engine, "PrimaryIp")
    assert {name: each["type"] for name, each in addresses.items()} == {"web-ipv4": "ipv4", "web-ipv6": "ipv6"}
    assert all(each["autoDelete"] is False and "datacenter" not in each for each in addresses.values())
    assert all("assigneeType" not in each and "assigneeId" not in each for each in addresses.values())
    assert not of(engine, "FirewallAttachment")
    assert all("applyTos" not in each for each in of(engine, "Firewall").values())
    host_key = key_of_label(server["labels"]["slipway-host-key"])
    assert machines == {"web": {"address": "192.0.2.7", "hostKey": host_key}}
    assert server["labels"]["slipway"] == "shop-test"
    assert options_of(options, "Server", "web").delete_before_replace


def test_user_data_and_token_are_secret(tmp_path: Path) -> None:
    engine, _, _ = made(tmp_path, WEB)
    data = of(engine, "Server")["web"]["userData"]
    assert is_secret(data)
    assert "PRIVATE KEY" in plain(data)
    shown = [text for each in engine.resources.values() for text in open_strings(each)]
    assert not any("PRIVATE KEY" in text or TOKEN in text for text in shown)
    assert plain(engine.resources["pulumi:providers:hcloud", "shop-test-hcloud"]["token"]) == TOKEN


def test_a_token_of_the_environment_stays_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HCLOUD_TOKEN", TOKEN)
    engine, _, _ = made(tmp_path, WEB, kept=False)
    assert "token" not in engine.resources["pulumi:providers:hcloud", "shop-test-hcloud"]


def test_only_who_is_named_reaches_ssh_and_everybody_the_edge(tmp_path: Path) -> None:
    engine, _, _ = made(tmp_path, WEB)
    rules = of(engine, "Firewall")["shop-test"]["rules"]
    assert {rule.get("port", "-"): rule["sourceIps"] for rule in rules} == {
        "22": ["192.0.2.1/32", "2001:db8::/32"],
        "80": ["0.0.0.0/0", "::/0"],
        "443": ["0.0.0.0/0", "::/0"],
        "-": ["0.0.0.0/0", "::/0"],
    }
    assert {rule["direction"] for rule in rules} == {"in"}


@pytest.mark.parametrize("protect", [True, False])
def test_a_volume_outlives_its_server_unless_the_stack_says_otherwise(tmp_path: Path, *, protect: bool) -> None:
    engine, _, options = made(tmp_path, {**WEB, "volume": {"size": 10, "path": "/data", "protect": protect}})
    volume = of(engine, "Volume")["web"]
    assert (volume["size"], volume["format"], volume["deleteProtection"]) == (10, "ext4", protect)
    assert "serverId" not in volume
    assert of(engine, "VolumeAttachment")["web"]["automount"] is False
    assert options_of(options, "VolumeAttachment", "web").retain_on_delete, "never pulled from a server that runs"
    given = options_of(options, "Volume", "web")
    assert given.retain_on_delete is protect
    assert {"location", "format"} <= {*(given.ignore_changes or ())}
    number = next(str(1001 + at) for at, (typ, _) in enumerate(engine.resources) if typ.endswith(":Volume"))
    assert f"scsi-0HC_Volume_{number}" in plain(of(engine, "Server")["web"]["userData"])


def test_a_volume_of_an_earlier_life_is_taken_up_again_as_it_is(tmp_path: Path) -> None:
    _, _, options = made(tmp_path, {**WEB, "volume": {"size": 10}}, cloud={"volumes": {"web": "77"}})
    given = options_of(options, "Volume", "web")
    assert given.import_ == "77"
    assert {"size", "labels", "deleteProtection"} <= {*(given.ignore_changes or ())}


def _known(**more: Any) -> dict[str, Any]:
    key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    machine = Machine("192.0.2.7", key, "cx23", "debian-12", "fsn1", used=True)
    return {"machines": NOBODY._replace(servers={"web": machine}), **more}


def test_what_counts_at_birth_alone_changes_no_server_that_is_there(tmp_path: Path) -> None:
    engine, machines, options = made(tmp_path, WEB, cloud=_known())
    given = options_of(options, "Server", "web").ignore_changes or ()
    assert {*given} == {"userData", "image", "location", "sshKeys", "placementGroupId", "serverType"}
    assert "userData" not in of(engine, "Server")["web"]
    assert machines["web"]["hostKey"] == _known()["machines"].servers["web"].host_key


def test_the_type_changes_where_it_is_that_servers_turn_after_it_has_shut_down(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    down: list[str] = []

    def after_shutdown(_: Any, host: str) -> Any:
        return lambda kind: [down.append(host), kind][1]

    monkeypatch.setattr(hetzner, "after_shutdown", after_shutdown)
    _, _, options = made(tmp_path, {**WEB, "type": "cx33"}, cloud=_known(pending={"web": "resized"}))
    assert "serverType" not in (options_of(options, "Server", "web").ignore_changes or ())
    assert down == ["web"]


def test_a_server_that_is_built_anew_gets_another_host_key_and_keeps_its_addresses(tmp_path: Path) -> None:
    engine, machines, options = made(tmp_path, WEB, cloud=_known(pending={"web": "rebuilt"}))
    assert not options_of(options, "Server", "web").ignore_changes
    assert machines["web"]["hostKey"] != _known()["machines"].servers["web"].host_key
    assert "PRIVATE KEY" in plain(of(engine, "Server")["web"]["userData"])


def test_several_of_a_kind_are_kept_apart_and_more_of_them_rename_none(tmp_path: Path) -> None:
    engine, machines, _ = made(tmp_path, {**WEB, "count": 3})
    assert [*machines] == ["web", "web-2", "web-3"]
    assert of(engine, "PlacementGroup")["shop-test-web"]["type"] == "spread"
    assert [*made(tmp_path, {**WEB, "count": 1})[1]] == ["web"]
    assert not of(made(tmp_path, WEB)[0], "PlacementGroup")


def test_a_group_holds_ten_as_hetzner_says(tmp_path: Path) -> None:
    engine, _, _ = made(tmp_path, {**WEB, "count": 21})
    assert {*of(engine, "PlacementGroup")} == {"shop-test-web", "shop-test-web.2", "shop-test-web.3"}
    groups = [each["placementGroupId"] for each in of(engine, "Server").values()]
    assert sorted(map(groups.count, {*groups})) == [1, 10, 10]


def test_a_private_network_reaches_every_server(tmp_path: Path) -> None:
    engine, machines, _ = made(tmp_path, {**WEB, "count": 2}, network="10.10.0.0/16", cloud={"zone": "eu-central"})
    assert of(engine, "Network")["shop-test"]["ipRange"] == "10.10.0.0/16"
    assert of(engine, "NetworkSubnet")["shop-test"]["networkZone"] == "eu-central"
    assert {*of(engine, "ServerNetwork")} == {"web", "web-2"}
    assert machines["web"]["private"] == "10.10.0.2"


def test_a_key_that_the_project_has_is_used_and_not_made(tmp_path: Path) -> None:
    assert not of(made(tmp_path, WEB, cloud={"foreign_key": True})[0], "SshKey")
    assert of(made(tmp_path, WEB)[0], "SshKey")["slipway-ab"]["publicKey"] == PUBLIC
