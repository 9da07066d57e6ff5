"""A stack's machines at Hetzner: the component, through the provider's own code, against Hetzner's API."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hcloud import Client
from hetzner_fake import TOKEN, serving_hetzner

from slipway.hosts.key_pair import new_key_pair

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hetzner_fake import FakeHetzner
    from pulumi_project import Outcome, Project

ROOT = Path(__file__).resolve().parents[2]
KEY = new_key_pair()

PROGRAM = """
from pathlib import Path
from pydantic import SecretStr
from slipway.settings.engine_errors import reported_to_pulumi
with reported_to_pulumi():
    from components.hetzner import HetznerServers, HetznerServersArgs
    from slipway.hosts.hetzner.look import look_at_cloud
    from slipway.settings.model import Settings
    kept = given.pop("kept", "")
    settings = Settings(stack="test", application=Path("."), **given)
    token = {"hetzner_token": SecretStr(kept or "TOKEN"), "hetzner_token_kept": bool(kept)}
    settings = settings.model_copy(update=token)
    cloud = look_at_cloud(settings, "shop-test")
    if cloud:
        servers = HetznerServers("shop-test", HetznerServersArgs(settings=settings, cloud=cloud))
        pulumi.export("machines", servers.machines)
    class Host(pulumi.ComponentResource):
        def __init__(self, name):
            super().__init__("slipway:host:Host", name)
            self.register_outputs({})
    for name in settings.hetzner.machines:
        Host(name)
""".replace("TOKEN", TOKEN)
WEB: dict[str, Any] = {"name": "web", "type": "cx23", "location": "fsn1"}
VOLUME = {"size": 10, "path": "/data"}


@pytest.fixture(name="hetzner")
def _hetzner() -> Iterator[FakeHetzner]:
    with serving_hetzner() as fake:
        yield fake


@pytest.fixture(name="stack")
def _stack(project: Project, hetzner: FakeHetzner, hcloud_plugin: None) -> Project:  # noqa: ARG001  # it is there
    project.env.update({"PYTHONPATH": str(ROOT), "HCLOUD_TOKEN": TOKEN, "HCLOUD_ENDPOINT": hetzner.url})
    return project


def given(*servers: dict[str, Any], **more: Any) -> dict[str, Any]:
    kept = {"kept": more.pop("kept")} if "kept" in more else {}
    return {"ssh_key": KEY.private, "hetzner": {"servers": [*servers], "sshFrom": ["0.0.0.0/0"], **more}, **kept}


def changes(outcome: Outcome) -> dict[str, str]:
    """Resource → operation, of those that change."""
    begun = [event["resourcePreEvent"]["metadata"] for event in outcome.events if "resourcePreEvent" in event]
    return {
        f"{step['type'].rpartition(':')[2]} {step['urn'].rpartition('::')[2]}": step["op"]
        for step in begun
        if step["type"].startswith("hcloud:") and step["op"] not in ("same", "read")
    }


def names(hetzner: FakeHetzner, kind: str) -> set[str]:
    return {each["name"] for each in hetzner.records[kind].values()}


def test_all_is_made_once_labelled_and_nothing_secret_is_in_the_clear(stack: Project, hetzner: FakeHetzner) -> None:
    wanted = given({**WEB, "volume": VOLUME, "backups": True, "count": 2}, network="10.10.0.0/16")
    made = stack.up(PROGRAM, **wanted)
    assert set(changes(made).values()) == {"create"}
    assert names(hetzner, "servers") == {"web", "web-2"}
    assert names(hetzner, "volumes") == {"shop-test-web", "shop-test-web-2"}
    for kind in ("servers", "volumes", "primary_ips", "firewalls", "networks", "ssh_keys", "placement_groups"):
        assert {each["labels"]["slipway"] for each in hetzner.records[kind].values()} == {"shop-test"}
    assert all(each["protection"]["delete"] for each in hetzner.records["volumes"].values())
    assert all(each["server"] for each in hetzner.records["volumes"].values())
    assert all(not each["auto_delete"] and each["assignee_id"] for each in hetzner.records["primary_ips"].values())
    shown = stack.state + made.text + json.dumps(made.events)
    assert TOKEN not in shown + stack.decrypted
    assert "OPENSSH PRIVATE KEY" not in shown
    machines = stack.outputs["machines"]
    assert {each["private"].rpartition(".")[0] for each in machines.values()} == {"10.10.0"}
    before = len(hetzner.asked)
    assert changes(stack.up(PROGRAM, **wanted)) == {}
    assert len(hetzner.asked) == before, "an update that changes no machine needs no answer of Hetzner's"
    assert stack.outputs["machines"] == machines
    stack.pulumi("refresh", "--yes", "--skip-preview")
    assert changes(stack.up(PROGRAM, **wanted)) == {}


def test_a_token_of_the_stack_file_is_encrypted_in_the_state(stack: Project) -> None:
    del stack.env["HCLOUD_TOKEN"]
    made = stack.up(PROGRAM, **given(WEB, kept=TOKEN))
    assert TOKEN not in stack.state + made.text + json.dumps(made.events)
    assert TOKEN in stack.decrypted, "it shows what is encrypted"


def test_more_and_fewer_servers_touch_no_other_and_a_protected_volume_stays(
    stack: Project, hetzner: FakeHetzner
) -> None:
    web = {**WEB, "volume": VOLUME}
    stack.up(PROGRAM, **given(web))
    [before] = hetzner.records["servers"]
    more = changes(stack.up(PROGRAM, **given({**web, "count": 2})))
    assert more["Server web-2"] == "create"
    assert not [each for each in more if each.endswith((" web", " web-ipv4", " web-ipv6"))]
    before_fewer = len(hetzner.asked)
    fewer = changes(stack.up(PROGRAM, **given(web)))
    assert fewer["Server web-2"] == "delete"
    assert not any("actions/detach" in str(each) for each in hetzner.asked[before_fewer:])
    assert [*hetzner.records["servers"]] == [before]
    assert names(hetzner, "volumes") == {"shop-test-web", "shop-test-web-2"}

    stack.destroy()
    stack.destroy()
    assert {kind: names(hetzner, kind) for kind in ("servers", "primary_ips", "firewalls", "ssh_keys")} == {
        "servers": set(), "primary_ips": set(), "firewalls": set(), "ssh_keys": set(),
    }  # fmt: skip
    assert names(hetzner, "volumes") == {"shop-test-web", "shop-test-web-2"}

    kept = {each["name"]: each["id"] for each in hetzner.records["volumes"].values()}
    assert changes(stack.up(PROGRAM, **given(web)))["Volume web"] == "import"
    assert {each["name"]: each["id"] for each in hetzner.records["volumes"].values()} == kept
    grown = changes(stack.up(PROGRAM, **given({**web, "volume": {**VOLUME, "size": 20, "protect": False}})))
    assert grown == {"Volume web": "update"}
    stack.destroy()
    assert names(hetzner, "volumes") == {"shop-test-web-2"}


def test_what_counts_at_birth_replaces_no_server_until_it_is_named(stack: Project, hetzner: FakeHetzner) -> None:
    web = {**WEB, "volume": VOLUME}
    stack.up(PROGRAM, **given(web))
    machines, [server] = stack.outputs["machines"], hetzner.records["servers"]
    other = {**web, "image": "ubuntu-24.04"}
    warned = stack.up(PROGRAM, **given(other))
    assert changes(warned) == {}
    assert "web was created with image debian-13, not ubuntu-24.04" in warned.logged
    assert "pulumi config set --path 'hetzner.rebuild' web" in warned.logged
    assert [*hetzner.records["servers"]] == [server]
    before = len(hetzner.asked)

    rebuilt = stack.up(PROGRAM, **given(other, rebuild="web"))
    assert {each for each in changes(rebuilt) if not each.startswith(("Server", "VolumeAttachment"))} == set()
    [new] = hetzner.records["servers"].values()
    assert new["id"] != server
    assert new["image"]["name"] == "ubuntu-24.04"
    assert stack.outputs["machines"]["web"]["address"] == machines["web"]["address"]
    assert stack.outputs["machines"]["web"]["hostKey"] != machines["web"]["hostKey"]
    [volume] = hetzner.records["volumes"].values()
    assert volume["server"] == new["id"]
    asked = [*map(str, hetzner.asked[before:])]
    assert any("actions/shutdown" in each for each in asked)
    assert not any("actions/detach" in each for each in asked), "a disk is not pulled from a server that runs"
    assert changes(stack.up(PROGRAM, **given(other, rebuild="web"))) == {}


def test_another_type_changes_the_server_in_place_and_its_disk_stays(stack: Project, hetzner: FakeHetzner) -> None:
    stack.up(PROGRAM, **given(WEB))
    [before] = [dict(each) for each in hetzner.records["servers"].values()]
    resized = stack.up(PROGRAM, **given({**WEB, "type": "cx33"}))
    assert changes(resized) == {"Server web": "update"}
    assert "switched off" in resized.logged
    [after] = hetzner.records["servers"].values()
    assert (after["id"], after["primary_disk_size"]) == (before["id"], before["primary_disk_size"])
    assert after["server_type"]["name"] == "cx33"
    actions = [each.rpartition("/")[2] for each in hetzner.written if each.endswith(("/shutdown", "/poweroff"))]
    assert actions == ["shutdown"], "its power is not cut"
    assert changes(stack.up(PROGRAM, **given(WEB))) == {"Server web": "update"}


def test_a_server_that_was_deleted_by_hand_comes_back_with_its_address_and_volume(
    stack: Project, hetzner: FakeHetzner
) -> None:
    web = {**WEB, "volume": VOLUME}
    stack.up(PROGRAM, **given(web))
    address = stack.outputs["machines"]["web"]["address"]
    client = Client(token=TOKEN, api_endpoint=hetzner.url)
    found = client.servers.get_by_name("web")
    assert found
    found.delete().wait_until_finished()
    stack.pulumi("refresh", "--yes", "--skip-preview")
    stack.up(PROGRAM, **given(web))
    assert stack.outputs["machines"]["web"]["address"] == address
    [server] = hetzner.records["servers"].values()
    [volume] = hetzner.records["volumes"].values()
    assert volume["server"] == server["id"]


@pytest.mark.parametrize("broken", ["quota", "out of stock", "failed action", "server error"])
def test_what_the_api_refuses_is_said_in_its_words_and_the_next_update_leads_on(
    stack: Project, hetzner: FakeHetzner, broken: str
) -> None:
    words = {
        "quota": "resource_limit_exceeded",
        "out of stock": "resource_unavailable",
        "failed action": "action_failed",
        "server error": "server_error",
    }[broken]
    if broken == "quota":
        hetzner.limits["servers"] = 0
    elif broken == "out of stock":
        hetzner.unavailable.add(("cx23", "fsn1"))
    elif broken == "failed action":
        hetzner.fail_action("start_server")
    else:
        hetzner.fail("server_error", method="POST", path="/servers$", times=20)
    failed = stack.up(PROGRAM, **given({**WEB, "volume": VOLUME}), fails=True)
    assert words in failed.errors
    assert TOKEN not in failed.text
    hetzner.limits.clear()
    hetzner.unavailable.clear()
    hetzner._faults.clear()
    stack.up(PROGRAM, **given({**WEB, "volume": VOLUME}))
    assert names(hetzner, "servers") == {"web"}
    assert len(hetzner.records["volumes"]) == 1
