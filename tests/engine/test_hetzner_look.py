"""What is wrong with machines at Hetzner is said before anything is made; asked of the API as Hetzner describes it."""

from __future__ import annotations

import asyncio
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
from slipway.hosts.hetzner import power
from slipway.hosts.hetzner.look import look_at_cloud
from slipway.hosts.key_pair import new_key_pair, public_half
from slipway.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hetzner_fake import FakeHetzner

    from slipway.hosts.hetzner.look import CloudView

WEB = {"name": "web", "type": "cx23", "location": "fsn1"}
KEY = new_key_pair().private
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


def _state(monkeypatch: pytest.MonkeyPatch, *, protected: bool = True, public: str = "", **server: Any) -> None:
    """A server web of this stack that serves, with a volume."""
    found = {"location": "fsn1", "serverType": "cx23", "image": "debian-13", **server}
    known = {
        f"{_COMPONENT}::shop-test": {"stated": f'{{"key": "{public}"}}', "key": "slipway-ab"},
        f"{_COMPONENT}$hcloud:index/server:Server::web": found,
        f"{_COMPONENT}$hcloud:index/volume:Volume::web": {"size": 20, "deleteProtection": protected},
        "urn:pulumi:test::slipway::slipway:host:Host::web": {},
    }
    monkeypatch.setattr(records, "outputs_in_state", lambda _: known)


def _looked_at(block: dict[str, Any], **more: Any) -> CloudView | None:
    settings = Settings(stack="test", hetzner={"sshFrom": ["::/0"], **block}, ssh_key=KEY, **more)
    return look_at_cloud(settings.model_copy(update={"hetzner_token": SecretStr(TOKEN)}), "shop-test")


@pytest.mark.usefixtures("said", "hetzner")
@pytest.mark.parametrize("servers", [[], [{**WEB, "name": "app"}], [{**WEB, "count": 0, "volume": {"size": 20}}]])
def test_an_unprotected_volume_goes_only_where_it_is_named(
    monkeypatch: pytest.MonkeyPatch, said: list[str], servers: list[dict[str, Any]]
) -> None:
    _state(monkeypatch, protected=False)
    with pytest.raises(SlipwayError, match=r"volume of web would be deleted(.|\n)*hetzner.dropVolumes\[0\]' web"):
        _looked_at({"servers": servers})
    _looked_at({"servers": servers, "dropVolumes": ["web"]})
    _state(monkeypatch)
    _looked_at({"servers": servers})
    assert any("it stays at Hetzner with its data" in line for line in said)


@pytest.mark.usefixtures("said", "hetzner")
def test_a_volume_is_not_pulled_from_a_server_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    _state(monkeypatch)
    with pytest.raises(SlipwayError, match="not pulled from a server"):
        _looked_at({"servers": [WEB], "dropVolumes": ["web"]})
    assert _looked_at({"servers": [{**WEB, "image": "debian-12"}], "rebuild": "web"}), "it is deleted before"


@pytest.mark.parametrize(
    ("changed", "lead"),
    [
        ({"type": "cx33"}, "'hetzner.servers[0].type' cx23"),
        ({"type": "cx33", "image": "debian-12"}, "'hetzner.servers[0].type' cx23"),
        ({"image": "debian-12"}, "pulumi config rm --path 'hetzner.rebuild'"),
    ],
)
def test_what_cannot_be_had_now_takes_no_server_away_and_one_that_is_off_is_switched_on(
    hetzner: FakeHetzner, said: list[str], monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], lead: str
) -> None:
    client = Client(token=TOKEN, api_endpoint=hetzner.url)
    made = client.servers.create(
        "web", ServerType(name="cx23"), Image(name="debian-13"), location=Location(name="fsn1")
    )
    made.server.shutdown().wait_until_finished()
    hetzner.unavailable.add((changed.get("type", "cx23"), "fsn1"))
    _state(monkeypatch)
    block = {"servers": [{**WEB, "volume": {"size": 20}, **changed}]}
    block |= {"rebuild": "web"} if "image" in changed else {}
    with pytest.raises(SlipwayError, match="to give in fsn1 now") as raised:
        _looked_at(block)
    assert lead in str(raised.value)
    assert "host web is off at Hetzner" in str(raised.value)
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: False)
    with pytest.raises(SlipwayError, match="it is switched on now"):
        _looked_at(block)
    assert any(each.endswith("actions/poweron") for each in hetzner.written)
    hetzner.unavailable.clear()
    assert _looked_at(block)
    assert said


def test_a_server_is_shut_down_before_its_type_changes(
    hetzner: FakeHetzner, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = Client(token=TOKEN, api_endpoint=hetzner.url)
    client.servers.create("web", ServerType(name="cx23"), Image(name="debian-13"))
    settings = Settings(stack="test", hetzner={"servers": [WEB], "sshFrom": ["::/0"]})  # type: ignore[arg-type, call-arg]
    settings = settings.model_copy(update={"hetzner_token": SecretStr(TOKEN)})
    for _ in range(2):  # the second time it is off already
        assert asyncio.run(power.after_shutdown(settings, "web")("cx33")) == "cx33"
    assert [each.rpartition("/")[2] for each in hetzner.written].count("shutdown") == 1
    monkeypatch.setattr(power, "_OFF_SECONDS", -1)
    found = client.servers.get_by_name("web")
    assert found
    found.power_on().wait_until_finished()
    asyncio.run(power.after_shutdown(settings, "web")("cx33"))
    assert any("its power is cut" in line for line in said)


@pytest.mark.usefixtures("hetzner")
def test_a_run_with_the_key_of_github_alone_changes_no_login_key_and_makes_no_server(
    said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = public_half(new_key_pair().private)
    _state(monkeypatch, public=admin)
    monkeypatch.setenv("SLIPWAY_SSH_KEY", KEY)
    web = {**WEB, "volume": {"size": 20}}
    view = _looked_at({"servers": [web]}, github={"sshKey": True})
    assert view
    assert view.public_key == admin
    _looked_at({"servers": [{**web, "count": 2}]}, github={"sshKey": True})
    assert any("web-2 would be made with the key that GitHub alone has" in line for line in said)
    monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: False)
    with pytest.raises(SlipwayError, match="env -u SLIPWAY_SSH_KEY slipway up"):
        _looked_at({"servers": [{**web, "count": 2}]}, github={"sshKey": True})
    monkeypatch.delenv("SLIPWAY_SSH_KEY")
    view = _looked_at({"servers": [{**web, "count": 2}]}, github={"sshKey": True})
    assert view
    assert view.public_key == public_half(KEY)
