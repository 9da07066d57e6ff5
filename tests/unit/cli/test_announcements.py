"""Who is told what a command does, and that nothing of it depends on whether they can be reached."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hook_server import hook_server
from samples import settings
from test_up_command import STEPS, SUMMARY, Engine
from test_up_command import engine as engine  # noqa: PLC0414  # the fixture
from test_up_story import _HOST, ERROR, end, say
from typer.testing import CliRunner

from slipway.cli.announcements import Announcements
from slipway.cli.deploy.update import deploy
from slipway.cli.main import app
from slipway.contract.problems import SlipwayError
from slipway.notify import sending
from slipway.releases import engine as engine_module

STACK = "urn:pulumi:s::p::pulumi:pulumi:Stack::p-s"
CANARY = "hunter2-9fXyZ0123456"
Deployed = Callable[..., tuple[int, list[dict[str, Any]]]]


def stack_event(kind: str, before: str, now: str) -> dict[str, Any]:
    sides = {"old": {"outputs": {"release": before}}, "new": {"outputs": {"release": now}}}
    return {kind: {"metadata": {"op": "same", "urn": STACK, "type": "pulumi:pulumi:Stack", **sides}}}


BEGINS, ENDS = stack_event("resourcePreEvent", "r-1", "r-1"), stack_event("resOutputsEvent", "r-1", "r-2")
CHANGES = [(BEGINS, 0.0), *STEPS, (end(_HOST, "update"), 0.2), (ENDS, 0.0), (SUMMARY, 0.0)]
FAILS = [(BEGINS, 0.0), *STEPS, (say(_HOST, f"{ERROR} {CANARY}\n"), 0.2)]


@pytest.fixture
def told(engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    """Deploy with the engine's events; its exit code, and what the hook was told."""

    def deployed(*events: Any, code: int = 0, url: str = "", **given: Any) -> tuple[int, list[dict[str, Any]]]:
        folder = engine(*events, code=code)
        with hook_server() as hook:
            (tmp_path / "Pulumi.staging.yaml").write_text("config: {shop:notify: {ops: {to: webhook}}}")
            target = {"to": "webhook", "url": url or hook.url, "events": given.pop("events", [])}
            found = settings(tmp_path, production=True, notify={"ops": target}, secrets={"TOKEN": CANARY})
            stack = engine_module.Stack(settings=found, application="shop", project="shop-staging")
            monkeypatch.setattr(engine_module, "stack_of", lambda _: stack)
            monkeypatch.setenv("GITHUB_RUN_ID", "12")
            monkeypatch.setenv("GITHUB_REPOSITORY", "acme/shop")
            monkeypatch.setattr(sending, "SECONDS", 1.0)
            ran = deploy(engine_module.Engine(
                root=folder, stack="staging", environment=engine_module._environment(folder), options=[]
            ), **given)  # fmt: skip
            return ran, hook.came

    return deployed


def test_a_deployment_is_told_when_it_begins_and_when_it_is_done(told: Deployed) -> None:
    code, came = told(*CHANGES)
    assert code == 0
    assert [each["event"] for each in came] == ["started", "succeeded"]
    done = came[1]
    assert (done["environment"], done["release"]) == ("shop-staging", "r-2")
    assert done["run"] == "https://github.com/acme/shop/actions/runs/12"
    assert done["command"] == "slipway rollback --to r-1 --stack staging"
    assert done["seconds"] > 0


def test_a_failure_says_why_and_how_to_roll_back_and_no_secret(told: Deployed) -> None:
    code, came = told(*FAILS, code=255)
    assert code == 255
    assert [each["event"] for each in came] == ["started", "failed"]
    assert came[1]["reason"] == f"{ERROR.removeprefix('slipway: error: ')} [TOKEN]"
    assert came[1]["command"] == "slipway rollback --to r-1 --stack staging"
    assert CANARY not in json.dumps(came)


def test_a_rollback_says_so_and_of_which_release(told: Deployed, tmp_path: Path) -> None:
    release = tmp_path / "release.json"
    release.write_text(json.dumps({"id": "r-2", "commit": "c0ffee"}))
    kind = {"SLIPWAY_RELEASE": str(release), "SLIPWAY_KIND": "rollback"}
    _, came = told(*CHANGES, settings=kind, message="rollback to r-2: checks failed")
    assert [each["event"] for each in came] == ["started", "rolled-back"]
    assert (came[0]["commit"], came[1]["commit"], came[1]["release"]) == ("c0ffee", "c0ffee", "r-2")
    assert came[1]["reason"] == "rollback to r-2: checks failed"
    assert came[0]["release"] == "r-2", "which is known before"


def test_an_update_that_changes_nothing_is_told_nobody(told: Deployed) -> None:
    assert told((BEGINS, 0.0), (ENDS, 0.0), (SUMMARY, 0.0)) == (0, [])


@pytest.mark.parametrize(("events", "code"), [(CHANGES, 0), (FAILS, 255)])
def test_what_is_no_deployment_is_told_nobody(
    told: Deployed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    *, events: list[Any], code: int,
) -> None:  # fmt: skip
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    assert told(*events, code=code, announced=False) == (code, [])
    assert not re.search("^(release|ready:)", capsys.readouterr().out, re.MULTILINE)
    assert not (tmp_path / "summary").exists()


def test_only_wanted_events_are_told(told: Deployed) -> None:
    _, came = told(*CHANGES, events=["succeeded"])
    assert [each["event"] for each in came] == ["succeeded"]


def test_a_target_that_is_down_fails_no_deployment_and_is_named(
    told: Deployed, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = told(*CHANGES, url=f"http://127.0.0.1:1/{CANARY}")
    assert code == 0
    error = capsys.readouterr().err
    assert "slipway: warning: notify.ops (webhook): nothing listens there" in error
    assert "slipway notify test --stack staging" in error
    assert CANARY not in error


def test_settings_that_cannot_be_read_are_told_nobody_and_fail_nothing(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: object) -> None:
        raise SlipwayError("hosts: the list is empty", "", "")

    folder = engine()
    (folder / "Pulumi.s.yaml").write_text("config: {shop:notify: {}, shop:x: 1}")
    monkeypatch.setattr(engine_module, "stack_of", broken)
    monkeypatch.setenv("SLIPWAY_NOTIFY", "{}")
    made = engine_module.Engine(root=folder, stack="s", environment={"SLIPWAY_NOTIFY": "{}"}, options=[])
    began = time.monotonic()
    with Announcements(made) as people:
        people.say("failed")
    assert time.monotonic() - began < 5


def test_a_bug_in_telling_is_none_of_the_deployment(
    told: Deployed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("slipway.cli.announcements.message_of", lambda *_, **__: 1 / 0)
    assert told(*CHANGES) == (0, [])
    assert "slipway: warning: a bug in Slipway (ZeroDivisionError)" in capsys.readouterr().err


# --- slipway notify


@pytest.mark.parametrize(
    ("arguments", "answer", "code", "printed"),
    [
        (["test"], 204, 0, "ops (slack): answered 204"),
        (["test"], 404, 1, "ops (slack): answered 404"),
        (["approval-needed", "--reason", "1.2.0"], 204, 0, "ops (slack): answered 204"),
        (["approval-needed"], 404, 0, "ops (slack): answered 404"),
        (["succeeded"], 204, 0, "nobody wants to be told of succeeded"),
    ],
)
def test_a_message_can_be_sent_by_hand(  # noqa: PLR0917 - a case is one line
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], answer: int, code: int, printed: str
) -> None:
    with hook_server(answer) as hook:
        found = settings(tmp_path, notify={"ops": {"to": "slack", "url": hook.url}})
        stack = engine_module.Stack(settings=found, application="shop", project="shop-staging")
        made = engine_module.Engine(root=tmp_path, stack="staging", environment={}, options=[])
        monkeypatch.setattr(engine_module, "engine_of", lambda *_: made)
        monkeypatch.setattr(engine_module, "stack_of", lambda _: stack)
        ran = CliRunner().invoke(app, ["notify", *arguments])
    assert printed in ran.stdout
    assert (1 if ran.exception and not isinstance(ran.exception, SystemExit) else ran.exit_code) == code
    assert "9fXyZ" not in ran.output + str(ran.exception)
    if code:
        assert str(ran.exception).endswith("--path 'notify.ops.url' --stack staging < /dev/tty")


REVIEWERS = {"protection_rules": [{"type": "wait_timer"}, {"type": "required_reviewers"}]}


@pytest.mark.parametrize(
    ("token", "answer", "sent"),
    [
        ("t", REVIEWERS, True),
        ("t", {"protection_rules": [{"type": "branch_policy"}]}, False),
        ("t", {"protection_rules": []}, False),
        ("t", None, True),  # there is none yet: GitHub makes it when the job begins
        ("t", SlipwayError("GitHub refuses it", "", ""), True),
        ("", {"protection_rules": []}, True),
    ],
)
def test_an_approval_that_nobody_has_to_give_is_told_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, token: str, answer: Any, sent: bool  # noqa: FBT001
) -> None:  # fmt: skip
    asked = []

    def read(_: object, path: str, *_words: str) -> Any:
        asked.append(path)
        if isinstance(answer, SlipwayError):
            raise answer
        return answer

    monkeypatch.setattr("slipway.releases.github.Repository.read", read)
    with hook_server(204) as hook:
        given = {"notify": {"ops": {"to": "slack", "url": hook.url}}, "githubRepository": "acme/shop"}
        stack = engine_module.Stack(settings=settings(tmp_path, **given), application="shop", project="shop-staging")
        made = engine_module.Engine(
            root=tmp_path, stack="acme/shop/live", environment={"GITHUB_TOKEN": token}, options=[]
        )
        monkeypatch.setattr(engine_module, "engine_of", lambda *_: made)
        monkeypatch.setattr(engine_module, "stack_of", lambda _: stack)
        ran = CliRunner().invoke(app, ["notify", "approval-needed"])
    assert ran.exit_code == 0
    assert ("answered 204" in ran.stdout) is sent, ran.stdout
    assert asked == (["/repos/acme/shop/environments/live"] if token else [])


@pytest.mark.parametrize(("event", "code"), [("test", 1), ("approval-needed", 0)])
def test_nobody_to_tell_fails_a_test_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, event: str, code: int
) -> None:
    stack = engine_module.Stack(settings=settings(tmp_path), application="shop", project="shop-staging")
    made = engine_module.Engine(root=tmp_path, stack="staging", environment={}, options=[])
    monkeypatch.setattr(engine_module, "engine_of", lambda *_: made)
    monkeypatch.setattr(engine_module, "stack_of", lambda _: stack)
    ran = CliRunner().invoke(app, ["notify", event])
    assert ran.exit_code == code
