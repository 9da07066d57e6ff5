"""`slipway pr`: what it refuses, which environments a sweep ends, and what of them it finds on a host."""

from __future__ import annotations

import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from slipway.cli.commands.deploy import pr
from slipway.cli.deploy import pr_environment
from slipway.cli.deploy.pr_environment import Environment, environments
from slipway.cli.main import app
from slipway.contract.problems import SlipwayError
from slipway.releases.engine import Engine

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    "words",
    [
        ["pr"], ["pr", "up"], ["pr", "down"], ["pr", "sweep", "7"], ["pr", "up", "0"], ["pr", "up", "../x"],
        ["pr", "down", "7", "--", "--refresh"], ["pr", "up", "7", "--days", "3"], ["pr", "away", "7"],
    ],
)  # fmt: skip
def test_wrong_usage(words: list[str]) -> None:
    assert CliRunner().invoke(app, words).exit_code == 2


def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stack_file: str = "", **answers: Any) -> Engine:
    """One whose configuration and answers are these."""
    (tmp_path / "example").mkdir()
    (tmp_path / "Pulumi.yaml").write_text("name: slipway")
    (tmp_path / "Pulumi.pr.yaml").write_text(stack_file)
    found = Engine(root=tmp_path, stack="acme/slipway/pr", environment={}, options=["--stack", "acme/slipway/pr"])

    def run(_: Engine, *words: str, given: str = "") -> subprocess.CompletedProcess[str]:
        del given
        return subprocess.CompletedProcess(words, 0, json.dumps(answers.get(words[0], "")), "")

    monkeypatch.setattr(Engine, "run", run)
    return found


def test_the_environments_are_the_templates_numbered_stacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["pr", "pr-9", "acme/slipway/pr-10", "pr-x", "spr-1", "pr-1-2", "production"]
    listed = [{"name": name, "lastUpdate": "2026-11-30T01:02:03.000Z"} for name in names]
    listed.append({"name": "pr-11", "updateInProgress": True})
    found = environments(engine(tmp_path, monkeypatch, stack=listed))
    assert [(each.number, each.stack, each.busy) for each in found] == [
        (9, "pr-9", False), (10, "pr-10", False), (11, "pr-11", True),
    ]  # fmt: skip
    assert [each.updated is None for each in found] == [False, False, True]


@pytest.mark.parametrize(
    ("stated", "lacks"),
    [
        ("", "does not say the application's name"),
        ("config: {'slipway:name': shop}", "has no domain"),
        ("config: {'slipway:name': shop, 'slipway:domain': pr.example.com}", "has no password for its routes"),
        (
            "config: {'slipway:name': shop, 'slipway:domain': pr.example.com, 'other:basicAuth': ''}",
            "has no password for its routes",
        ),
    ],
)
def test_a_template_that_lets_everybody_in_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stated: str, lacks: str
) -> None:
    """The engine's answer has the defaults of Pulumi.yaml, too; only the stack file shows what was said."""
    domain = {"slipway:domain": {"value": "pr.example.com" if "domain" in stated else ""}}
    name = {"slipway:name": {"value": "shop" if "name" in stated else ""}}
    given = {
        **name,
        **domain,
        "slipway:basicAuth": {"value": ""},
        "slipway:hosts": {"value": '[{"name": "a", "address": "local"}]'},
    }
    template = engine(tmp_path, monkeypatch, stated, config=given)
    with pytest.raises(SlipwayError, match=lacks):
        pr_environment.bring_up(template, 7)


@pytest.mark.parametrize(
    ("days", "idle", "opened", "token", "ends"),
    [
        (0, 99, True, "t", ""),
        (0, 99, False, "t", "the pull request is closed"),
        (0, 99, False, "", ""),
        (14, 13, True, "t", ""),
        (14, 14, True, "t", "not deployed for 14 days"),
        (14, 14, True, "", "not deployed for 14 days"),
        (14, None, True, "t", ""),
        (14, None, False, "t", "the pull request is closed"),
    ],
)
def test_a_sweep_ends_what_is_closed_or_old(
    monkeypatch: pytest.MonkeyPatch, *, days: int, idle: int | None, opened: bool, token: str, ends: str
) -> None:
    class Asked:
        def __init__(self, name: str, _: object) -> None:
            assert name == "acme/shop"

        def pull_request_is_open(self, number: int) -> bool:
            assert number == 7
            return opened

    monkeypatch.setattr("slipway.releases.github.Repository", Asked)
    monkeypatch.setenv("GITHUB_TOKEN", token)
    monkeypatch.delenv("GH_TOKEN", raising=False)
    updated = None if idle is None else NOW - timedelta(days=idle, minutes=1)
    reason = pr._why_ended(Environment(7, "pr-7", updated, busy=False), days, pr._github("acme/shop"))
    assert reason.startswith(ends)
    assert bool(reason) == bool(ends)


def test_what_is_left_is_what_has_the_name_of_a_pull_request_without_a_stack() -> None:
    inventory = """\
container shop-pr-7 shop-pr-7-web-1
container shop-pr-8 shop-pr-8-web-1
container shop-production web
container  stray
volume shop-pr-77 data
volume shop-pr-7-x data
network shop-pr-9 shop-pr-9_default
file shop-pr-7 shop-pr-7
file shop-pr-12 ../edge/routes/shop-pr-12.tls.yaml
"""
    strays = pr_environment._strays(inventory, re.compile(r"shop-pr-\d+"), {"shop-pr-8", "shop-pr-77"})
    assert list(strays) == [
        "container shop-pr-7-web-1", "network shop-pr-9_default", "file shop-pr-7",
        "file ../edge/routes/shop-pr-12.tls.yaml",
    ]  # fmt: skip
