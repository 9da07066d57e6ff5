"""What is wrong with machines at Hetzner is said before anything is made; asked of the API as Hetzner describes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
import pytest
from hcloud import Client
from hcloud.images import Image
from hcloud.locations import Location
from hcloud.server_types import ServerType
from hetzner_fake import READ_ONLY, TOKEN, serving_hetzner
from pydantic import SecretStr

from slipway.contract.problems import SlipwayError
from slipway.hosts import records
from slipway.hosts.hetzner import machines as of_state
from slipway.hosts.hetzner.keys import new_host_key, public_half
from slipway.hosts.hetzner.look import look_at_cloud
from slipway.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hetzner_fake import FakeHetzner

    from slipway.hosts.hetzner.look import CloudView

WEB = {"name": "web", "type": "cx23", "location": "fsn1"}
KEY = new_host_key().private
_COMPONENT = "urn:pulumi:test::slipway::slipway:hetzner:HetznerServers"


@pytest.fixture(name="hetzner")
def _hetzner(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHetzner]:
    with serving_hetzner() as fake:
        monkeypatch.setenv("HCLOUD_ENDPOINT", fake.url)
        monkeypatch.setattr(records, "outputs_in_state", lambda _: {})
        yield fake


@pytest.fixture(name="said")
def _said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    lines: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", lines.append)
    monkeypatch.setattr(pulumi.log, "info", lines.append)
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: True)
    return lines


def looked(*, token: str = TOKEN, **server: Any) -> CloudView:
    block = {"servers": [{**WEB, **server}], "sshFrom": ["::/0"]}
    settings = Settings(stack="test", hetzner=block, ssh_key=KEY)  # type: ignore[arg-type, call-arg]
    view = look_at_cloud(settings.model_copy(update={"hetzner_token": SecretStr(token)}), "shop-test")
    assert view
    return view


def refused(**given: Any) -> str:
    with pytest.raises(SlipwayError) as raised:
        looked(**given)
    assert TOKEN not in str(raised.value)
    return str(raised.value)


@pytest.mark.usefixtures("hetzner")
def test_what_hetzner_does_not_have_is_refused_with_what_it_has(said: list[str]) -> None:
    assert "Hetzner has no server type cx24" in refused(type="cx24")
    assert "cx23" in refused(type="cx24")
    wrong = refused(location="fsn2", image="debian-99")
    assert "Hetzner has no location fsn2" in wrong
    assert "fsn1" in wrong
    assert "Hetzner has no image debian-99" in wrong
    assert not [line for line in said if "deprecated" in line]


@pytest.mark.usefixtures("hetzner")
def test_a_wrong_token_is_refused(said: list[str]) -> None:
    assert "Hetzner's API refuses the token" in refused(token="x" * 64)
    assert said == []


@pytest.mark.usefixtures("hetzner")
def test_a_token_that_may_only_read_is_enough_for_a_preview_and_not_for_an_update(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert looked(token=READ_ONLY).pending == {"web": "created"}
    assert any("may read only" in line for line in said)
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: False)
    assert "may read only" in refused(token=READ_ONLY)


def test_looking_changes_nothing(hetzner: FakeHetzner, said: list[str]) -> None:
    view = looked(count=2, volume={"size": 10})
    assert view.pending == {"web": "created", "web-2": "created"}
    assert (view.zone, view.foreign_key) == ("eu-central", False)
    for kind in ("servers", "ssh_keys", "volumes", "firewalls", "primary_ips"):
        assert not hetzner.records[kind]
    assert any("a month net" in line for line in said)


@pytest.mark.usefixtures("said")
def test_a_key_that_is_there_is_used_and_a_name_that_is_taken_refused(hetzner: FakeHetzner) -> None:
    client = Client(token=TOKEN, api_endpoint=hetzner.url)
    client.ssh_keys.create("of-ann", public_half(KEY))
    view = looked()
    assert (view.key, view.foreign_key) == ("of-ann", True)
    client.servers.create("web", ServerType(name="cx23"), Image(name="debian-13"))
    assert "there is a server web at Hetzner already" in refused()


@pytest.mark.usefixtures("said")
def test_a_volume_of_an_earlier_life_is_found_and_none_shrinks(
    hetzner: FakeHetzner, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(token=TOKEN, api_endpoint=hetzner.url)
    labels = {"slipway": "shop-test"}
    made = client.volumes.create(20, "shop-test-web", labels=labels, location=Location(name="fsn1"), format="ext4")
    client.volumes.create(20, "other", labels=labels, location=Location(name="fsn1"))
    assert looked(volume={"size": 20}).volumes == {"web": str(made.volume.id)}
    known = {f"{_COMPONENT}$hcloud:index/volume:Volume::web": {"size": 20}}
    monkeypatch.setattr(records, "outputs_in_state", lambda _: known)
    assert "the volume of web has 20 GB, and 10 are asked for" in refused(volume={"size": 10})
    assert looked(volume={"size": 30}).volumes == {}


@pytest.mark.usefixtures("said", "hetzner")
def test_a_server_does_not_move_to_another_location(monkeypatch: pytest.MonkeyPatch) -> None:
    known = {f"{_COMPONENT}$hcloud:index/server:Server::web": {"location": "fsn1", "serverType": "cx23"}}
    monkeypatch.setattr(records, "outputs_in_state", lambda _: known)
    said = refused(location="nbg1")
    assert "hetzner.servers[0]: web is in fsn1, not in nbg1" in said
    assert "pulumi config set --path 'hetzner.servers[0].location' fsn1" in said


def test_no_answer_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HCLOUD_ENDPOINT", "http://127.0.0.1:9/v1")
    monkeypatch.setattr(records, "outputs_in_state", lambda _: {})
    assert "Hetzner's API does not answer" in refused()


@pytest.mark.usefixtures("said", "hetzner")
def test_a_preview_without_the_private_key_takes_the_public_one_of_the_state(monkeypatch: pytest.MonkeyPatch) -> None:
    stack = Settings(stack="test", hetzner={"servers": [WEB], "sshFrom": ["::/0"]})  # type: ignore[arg-type, call-arg]
    stack = stack.model_copy(update={"hetzner_token": SecretStr(TOKEN)})
    known = {f"{_COMPONENT}::shop-test": {"stated": of_state.stated(stack, "ssh-ed25519 AAAA"), "key": "slipway-ab"}}
    monkeypatch.setattr(records, "outputs_in_state", lambda _: known)
    view = look_at_cloud(stack, "shop-test")
    assert view
    assert view.public_key == "ssh-ed25519 AAAA"
    known.clear()
    assert look_at_cloud(stack, "shop-test")
