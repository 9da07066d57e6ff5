"""Machines at Hetzner as a stack says them: what is refused, and the way out."""

import json
from pathlib import Path
from typing import Any

import pytest

from slipway.contract.problems import SlipwayError
from slipway.settings.blocks.hetzner import ServerSettings
from slipway.settings.load import load_settings
from slipway.settings.model import Settings

TOKEN = "t" * 64
WEB = {"name": "web", "type": "cx23", "location": "fsn1"}
GOOD: dict[str, Any] = {"servers": [WEB], "sshFrom": ["192.0.2.0/24"]}
KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----"


def loaded(root: Path, block: dict[str, Any], *, hosts: str = "[]", token: str = TOKEN, plain: str = "") -> Settings:
    (root / "example").mkdir(exist_ok=True)
    stated = {"slipway:hosts": hosts, "slipway:hetzner": json.dumps(block)}
    return load_settings(
        project="slipway",
        stack="test",
        configuration={**stated, **({"hcloud:token": plain} if plain else {})},
        encrypted=(),
        root=root,
        environment={"SLIPWAY_SSH_KEY": KEY, **({"HCLOUD_TOKEN": token} if token else {})},
    )


def said(root: Path, block: dict[str, Any], **more: Any) -> str:
    with pytest.raises(SlipwayError) as raised:
        loaded(root, block, **more)
    return str(raised.value)


def test_servers_are_hosts_beside_those_that_exist(tmp_path: Path) -> None:
    there = '[{"name": "old", "address": "local"}]'
    settings = loaded(tmp_path, {**GOOD, "servers": [{**WEB, "count": 2}]}, hosts=there)
    assert [(host.name, host.made) for host in settings.hosts] == [("old", True), ("web", False), ("web-2", False)]
    assert settings.hosts[1].user == "deploy"


@pytest.mark.parametrize(
    ("count", "names"), [(0, []), (1, ["web"]), (2, ["web", "web-2"]), (3, ["web", "web-2", "web-3"])]
)
def test_another_count_renames_no_server(count: int, names: list[str]) -> None:
    assert ServerSettings.model_validate({**WEB, "count": count}).names == names


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({**GOOD, "sshFrom": []}, "hetzner.sshFrom: not set"),
        ({**GOOD, "sshFrom": ["everywhere"]}, "is neither an address nor a network"),
        ({**GOOD, "network": "172.20.0.0/16"}, "overlaps with 172.16.0.0/12, from which Docker takes its networks"),
        ({**GOOD, "network": "8.8.0.0/16"}, "is not a private IPv4 network"),
        ({**GOOD, "rebuild": "wbe"}, "there is no server wbe"),
        ({**GOOD, "servers": [WEB, WEB]}, "the name 'web' is used twice"),
        ({**GOOD, "servers": [{**WEB, "volume": {"size": 5}}]}, "hetzner.servers[0].volume.size"),
        (
            {**GOOD, "servers": [{**WEB, "volume": {"size": 10, "path": "data"}}]},
            "is not the absolute path of a folder",
        ),
        ({**GOOD, "servers": [{**WEB, "kind": "cx23"}]}, "hetzner.servers[0].kind: unknown key"),
        ({**GOOD, "servers": [{"name": "web", "type": "cx23"}]}, "hetzner.servers[0].location"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path: Path, block: dict[str, Any], words: str) -> None:
    assert words in said(tmp_path, block)


def test_a_token_is_needed_whole_and_encrypted_and_never_printed(tmp_path: Path) -> None:
    assert "there is no token for Hetzner's API" in said(tmp_path, GOOD, token="")
    short = said(tmp_path, GOOD, token="abc-secret")
    assert "has 10 characters, not 64" in short
    assert "abc-secret" not in short
    plain = said(tmp_path, GOOD, plain=TOKEN)
    assert "'hcloud:token' is stored in plain text" in plain
    assert "pulumi config set --secret hcloud:token" in plain
    assert TOKEN not in plain
    assert TOKEN not in loaded(tmp_path, GOOD).redactor().text(f"a {TOKEN}")


def test_without_servers_nobody_asks_for_a_token(tmp_path: Path) -> None:
    loaded(tmp_path, {}, hosts='[{"name": "old", "address": "local"}]', token="")
