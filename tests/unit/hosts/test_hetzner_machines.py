"""What the state knows of machines at Hetzner, what happens to each, and what they cost."""

import asyncio
import base64
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as some
from samples import settings

from slipway.contract.problems import SlipwayError
from slipway.hosts import records
from slipway.hosts.connection import reached
from slipway.hosts.hetzner.keys import key_of_label, label_of
from slipway.hosts.hetzner.machines import machines_in_state, stated, with_machines
from slipway.hosts.hetzner.prices import COST, cost_of, difference, earlier
from slipway.hosts.key_pair import new_key_pair, public_half

WEB = {"name": "web", "type": "cx23", "location": "fsn1"}
KEY = new_key_pair()
_COMPONENT = "urn:pulumi:test::slipway::slipway:hetzner:HetznerServers"
PRICING: dict[str, Any] = {
    "currency": "EUR",
    "vat_rate": "19.00",
    "server_types": [{"name": "cx23", "prices": [{"location": "fsn1", "price_monthly": {"net": "3.0000"}}]}],
    "primary_ips": [{"type": "ipv4", "prices": [{"location": "fsn1", "price_monthly": {"net": "0.5000"}}]}],
    "volume": {"price_per_gb_month": {"net": "0.0440"}},
    "server_backup": {"percentage": "20.0000000000"},
}


def state(*, used: bool = True, **changed: Any) -> dict[str, dict[str, Any]]:
    server = {
        "ipv4Address": "192.0.2.7", "serverType": "cx23", "image": "debian-13", "location": "fsn1",
        "labels": {"slipway-host-key": label_of(KEY.public)}, **changed,
    }  # fmt: skip
    return {
        f"{_COMPONENT}::shop-test": {"stated": "{}", "key": "slipway-ab"},
        f"{_COMPONENT}$hcloud:index/server:Server::web": server,
        f"{_COMPONENT}$hcloud:index/volume:Volume::web": {"size": 20},
        **({"urn:pulumi:test::slipway::slipway:host:Host::web": {}} if used else {}),
    }


@pytest.fixture(name="known")
def _known(monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    found = state()
    monkeypatch.setattr(records, "outputs_in_state", lambda _: found)
    return found


@given(some.binary(min_size=32, max_size=32))
def test_a_host_key_comes_back_from_its_label(key: bytes) -> None:
    public = key_of_label(of_label := label_of(f"ssh-ed25519 {_blob(key)}"))
    assert public == f"ssh-ed25519 {_blob(key)}"
    assert len(of_label) <= 63
    assert of_label.isalnum()


def _blob(key: bytes) -> str:
    return base64.b64encode(b"\0\0\0\x0bssh-ed25519\0\0\0 " + key).decode()


@pytest.mark.parametrize("label", ["", "abc", "ä", "!" * 52])
def test_a_label_that_holds_no_key_gives_none(label: str) -> None:
    assert key_of_label(label) == ""


def test_a_new_key_is_one_of_openssh_and_another_each_time() -> None:
    assert public_half(KEY.private) == KEY.public
    assert new_key_pair() != KEY
    with pytest.raises(SlipwayError, match="sshKey cannot be used"):
        public_half("no key")


@pytest.mark.parametrize(
    ("found", "change", "expected"),
    [
        ({}, ({}, ""), {}),
        (state(used=False), ({}, ""), {"web": "created"}),
        (state(used=False), ({}, "web"), {"web": "rebuilt"}),  # it never became ready
        ({"none": {}}, ({}, "web"), {"web": "created"}),
        ({}, ({"type": "cx33"}, ""), {"web": "resized"}),
        ({}, ({"image": "debian-12"}, ""), {}),
        ({}, ({"image": "debian-12"}, "web"), {"web": "rebuilt"}),
        ({}, ({"image": "debian-12", "type": "cx33"}, "web"), {"web": "rebuilt"}),
        ({}, ({}, "web"), {}),
        ({}, ({"count": 2}, ""), {"web-2": "created"}),
    ],
)
def test_what_has_to_happen_before_a_machine_can_be_used(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    found: dict[str, Any],
    change: tuple[dict[str, Any], str],
    expected: dict[str, str],
) -> None:
    server, rebuild = change
    monkeypatch.setattr(records, "outputs_in_state", lambda _: found or state())
    stack = settings(tmp_path, hetzner={"servers": [{**WEB, **server}], "sshFrom": ["::/0"], "rebuild": rebuild})
    assert machines_in_state("test").pending(stack) == expected


@pytest.mark.parametrize("named", ["web", "web-2"])
def test_none_is_switched_off_while_another_is_built_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    found = state()
    found |= {f"{urn}-2": outputs for urn, outputs in found.items() if urn.endswith("::web")}
    monkeypatch.setattr(records, "outputs_in_state", lambda _: found)
    changed = {**WEB, "type": "cx33", "image": "debian-12", "count": 2}
    stack = settings(tmp_path, hetzner={"servers": [changed], "sshFrom": ["::/0"], "rebuild": named})
    assert machines_in_state("test").pending(stack) == {named: "rebuilt"}


def test_of_several_one_at_a_time_is_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = state()
    for kind in ("slipway:host:Host", f"{_COMPONENT.rpartition('::')[2]}$hcloud:index/server:Server"):
        first = next(each for each in found if each.endswith(f"{kind}::web"))
        found[f"{first}-2"] = found[first]
    monkeypatch.setattr(records, "outputs_in_state", lambda _: found)
    block = {"servers": [{**WEB, "type": "cx33", "count": 2}], "sshFrom": ["::/0"]}
    assert machines_in_state("test").pending(settings(tmp_path, hetzner=block)) == {"web": "resized"}
    found[next(each for each in found if each.endswith("Server::web"))] = {**found[first], "serverType": "cx33"}
    assert machines_in_state("test").pending(settings(tmp_path, hetzner=block)) == {"web-2": "resized"}


def test_only_what_is_there_and_stays_gets_its_address(tmp_path: Path, known: dict[str, Any]) -> None:
    block = {"servers": [{**WEB, "count": 2}], "sshFrom": ["::/0"]}
    stack = settings(tmp_path, hetzner=block)
    stack = stack.model_copy(update={"hosts": [*stack.hosts, *stack.hetzner.hosts()]})
    assert {host.name: (host.address, host.host_key) for host in with_machines(stack).hosts} == {
        "here": ("local", ""),
        "web": ("192.0.2.7", KEY.public),
        "web-2": ("", ""),
    }
    assert machines_in_state("test").volumes == {"web": 20}
    assert ("Server", "web") in machines_in_state("test").resources
    assert known


async def _reach(host: Any) -> None:
    async with reached(host, ""):
        pass


def test_a_machine_that_is_not_there_cannot_be_reached_and_the_way_out_is_named(tmp_path: Path) -> None:
    block = {"servers": [WEB], "sshFrom": ["::/0"]}
    [host] = settings(tmp_path, hetzner=block).hetzner.hosts()
    with pytest.raises(SlipwayError, match=r"host web does not exist yet(.|\n)*slipway up"):
        asyncio.run(_reach(host))


def test_the_cost_is_that_of_all_that_is_paid_for(tmp_path: Path) -> None:
    server = {**WEB, "count": 2, "backups": True, "volume": {"size": 100}}
    after = settings(tmp_path, hetzner={"servers": [server], "sshFrom": ["::/0"]})
    cost = cost_of(after.hetzner, PRICING)
    assert [(each.kind, each.monthly) for each in cost.items if each.host == "web"] == [
        ("server", Decimal("3.0000")),
        ("backups", Decimal("0.6")),
        ("volume", Decimal("4.4000")),
        ("address", Decimal("0.5000")),
    ]
    assert cost.monthly == Decimal(17)
    before = settings(tmp_path, hetzner={"servers": [WEB], "sshFrom": ["::/0"]})
    kept = earlier(stated(before, "ssh-ed25519 AAAA"))
    assert kept == before.hetzner
    assert difference(cost_of(kept, PRICING), cost) == f"{COST}3.50 → 17.00 EUR a month net (+13.50)"
    assert difference(cost, cost) == ""
    assert difference(cost_of(earlier(""), PRICING), cost).endswith("(+17.00)")


def test_what_has_no_price_is_named(tmp_path: Path) -> None:
    other = settings(tmp_path, hetzner={"servers": [{**WEB, "location": "sin"}], "sshFrom": ["::/0"]})
    cost = cost_of(other.hetzner, PRICING)
    assert [problem.what for problem in cost.unknown] == ["web: Hetzner has no price for a cx23 in sin"]
