"""`slipway cost` from the command line: what it prints, and ends with."""

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from samples import settings

from slipway.cli.main import main
from slipway.hosts.hetzner import api
from slipway.releases import engine

SCHEMA = json.loads((Path(__file__).parents[3] / "slipway/cli/schemas/cost.schema.json").read_text())
PRICING: dict[str, Any] = {
    "currency": "EUR",
    "vat_rate": "19.00",
    "server_types": [{"name": "cx23", "prices": [{"location": "fsn1", "price_monthly": {"net": "3.4900"}}]}],
    "primary_ips": [{"type": "ipv4", "prices": [{"location": "fsn1", "price_monthly": {"net": "0.5000"}}]}],
    "volume": {"price_per_gb_month": {"net": "0.0440"}},
    "server_backup": {"percentage": "20.00"},
}
WEB = {"name": "web", "type": "cx23", "location": "fsn1"}


def ran(monkeypatch: pytest.MonkeyPatch, folder: Path, servers: list[dict[str, Any]], *options: str) -> int:
    stack = settings(folder, hetzner={"servers": servers, "sshFrom": ["::/0"]})
    monkeypatch.setattr(engine, "engine_of", lambda _: None)
    monkeypatch.setattr(engine, "settings_of", lambda _: stack)
    monkeypatch.setattr(api.Api, "read", lambda _self, path: {path: PRICING})
    monkeypatch.setattr(sys, "argv", ["slipway", "cost", *options])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(ended.value.code or 0)


def test_every_part_is_shown_and_the_sum(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(monkeypatch, tmp_path, [{**WEB, "backups": True, "volume": {"size": 100}}]) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["web", "server,", "cx23", "in", "fsn1", "3.49"] in lines
    assert ["web", "backups,", "20", "%", "of", "the", "server", "0.70"] in lines
    assert lines[-1] == ["sum", "without", "VAT", "of", "19", "%", "9.09"]


def test_json_is_as_the_schema_says(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(monkeypatch, tmp_path, [WEB], "--json") == 0
    document = json.loads(capsys.readouterr().out)
    jsonschema_rs.validator_for(SCHEMA).validate(document)
    assert (document["monthly"], document["complete"]) == ("3.99", True)


def test_a_price_that_is_not_known_is_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(monkeypatch, tmp_path, [WEB, {**WEB, "name": "db", "type": "cx99"}]) == 1
    assert "db: Hetzner has no price for a cx99 in fsn1" in capsys.readouterr().err


def test_a_stack_without_machines_there_costs_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ran(monkeypatch, tmp_path, []) == 0
    assert "has no machines at Hetzner" in capsys.readouterr().out
