"""`slipway lock`: what it shows, the document behind it, and what it takes away."""

import json
import os
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from typer.testing import CliRunner

import cli
from cli.backend.store import open_store
from cli.locks import machine
from cli.locks.records import Record, Records, new_record
from cli.main import app

_SCHEMA = Path(cli.__file__).parent / "contract" / "lock.schema.json"
Hold = Callable[..., Record]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a backend; commands run beside its program."""
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path / 'state'}")
    monkeypatch.delenv("PULUMI_STACK", raising=False)
    monkeypatch.setattr(machine.Machine, "sees_all", True)  # tests may run in a container
    monkeypatch.setattr("cli.stack.ensure_pulumi", dict)  # no engine is run here
    return tmp_path / "state"


@pytest.fixture
def hold(state: Path) -> Hold:
    """Make a record of this process, changed so."""

    def hold(**changed: Any) -> Record:
        record = new_record("rollback", "to r-0123456789ab", {}).model_copy(update=changed)
        assert Records(open_store(f"file://{state}"), "shop", "staging").begin(record)
        return record

    return hold


def _gone() -> int:
    with subprocess.Popen(["true"]) as ended:
        pass
    return ended.pid


def _lock(state: Path, content: str) -> None:
    folder = state / ".pulumi/locks/organization/shop/staging"
    folder.mkdir(parents=True)
    (folder / "0c.json").write_text(content)


def _engine(hostname: str = "elsewhere", pid: int = 4711) -> str:
    said = {"pid": pid, "username": "ann", "hostname": hostname, "timestamp": "2026-11-20T14:02:11.123456789Z"}
    return json.dumps(said)


def _run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["lock", "--stack", "staging", *arguments])
    if done.exception and not isinstance(done.exception, SystemExit):
        return 1, str(done.exception)
    return done.exit_code, done.output


def _document() -> tuple[int, dict[str, Any]]:
    code, text = _run("--json")
    document = json.loads(text)
    validator = jsonschema_rs.validator_for(json.loads(_SCHEMA.read_text()))
    assert [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(document)] == []
    return code, document


@pytest.mark.usefixtures("state")
def test_a_free_stack_is_said_to_be_free() -> None:
    assert _run() == (0, "stack staging of project shop: free\n")
    code, document = _document()
    assert (code, document["state"], document["operation"], document["locks"]) == (0, "free", None, [])


def test_who_has_it_what_why_and_since_when(hold: Hold) -> None:
    record = hold(since=datetime.now(UTC) - timedelta(minutes=3))
    code, text = _run()
    assert code == 1
    first, _, who, why, since, seen, lives, _, fix = text.splitlines()
    assert first == "stack staging of project shop: held"
    assert who == f"  rollback by {record.actor} (pid {os.getpid()} on {record.hostname})"
    assert why == "    why    to r-0123456789ab"
    assert since.endswith(" UTC (3 min ago)")
    assert seen.startswith("    seen   ")
    assert lives == "    held: its process lives on this machine"
    assert fix.startswith("wait for it to end")


def test_the_document_of_a_held_stack(hold: Hold, state: Path) -> None:
    record = hold()
    _lock(state, _engine())
    code, document = _document()
    assert (code, document["state"]) == (1, "held")
    assert document["operation"]["record"]["why"] == "to r-0123456789ab"
    assert document["operation"]["record"]["pid"] == record.pid
    [lock] = document["locks"]
    assert (lock["state"], lock["owner"]) == ("unknown", {"user": "ann", "hostname": "elsewhere", "pid": 4711})
    assert lock["since"] == "2026-11-20T14:02:11Z"


def test_a_dead_operation_is_orphaned_and_can_be_released(hold: Hold, state: Path) -> None:
    hold(pid=_gone())
    code, text = _run()
    assert code == 1
    assert text.startswith("stack staging of project shop: orphaned\n")
    assert text.splitlines()[-1].endswith("slipway lock --release --stack staging")
    code, text = _run("--release")
    assert code == 0
    assert text.startswith("took over the lock of ")
    assert _run("--release") == (0, "stack staging of project shop: free, nothing to release\n")
    assert [file for file in state.rglob("*") if file.is_file()] == []


def test_what_lives_is_not_released(hold: Hold) -> None:
    hold()
    code, text = _run("--release")
    assert code == 1
    assert "slipway: error: stack staging is held by " in text
    assert _document()[1]["state"] == "held"


def test_an_engine_elsewhere_is_unknown_and_not_released(state: Path) -> None:
    _lock(state, _engine())
    code, text = _run()
    assert code == 1
    assert text.startswith("stack staging of project shop: unknown\n")
    assert "  pulumi by ann@elsewhere (pid 4711)\n" in text
    assert text.splitlines()[-1].endswith("pulumi cancel --yes --stack staging")
    code, text = _run("--release")
    assert code == 1
    assert "once you are sure that it is gone: pulumi cancel --yes --stack staging" in text
    assert _document()[1]["state"] == "unknown"


def test_rubbish_is_shown_as_such(state: Path) -> None:
    (state / ".slipway/operations/shop").mkdir(parents=True)
    (state / ".slipway/operations/shop/staging.json").write_text("{")
    _lock(state, "\x1b[2J")
    code, document = _document()
    assert (code, document["state"], document["operation"]["record"]) == (1, "held", None)
    assert document["locks"][0]["owner"] is None
    _, text = _run()
    assert "a record that cannot be read: .slipway/operations/shop/staging.json" in text
    assert "a lock of pulumi that cannot be read: .pulumi/locks/organization/shop/staging/0c.json" in text


def test_what_a_record_says_cannot_repaint_the_terminal(hold: Hold) -> None:
    hold(why="\x1b[2Jgone", actor="\x07ann")
    assert "\x1b" not in _run()[1]
    assert "\x07" not in _run()[1]


@pytest.mark.usefixtures("state")
def test_at_pulumi_cloud_it_says_that_it_cannot_see_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_BACKEND_URL", "https://api.pulumi.com")
    code, text = _run()
    assert code == 1
    assert "the state of stack staging is at Pulumi Cloud, which keeps the lock itself" in text


@pytest.mark.usefixtures("state")
def test_releasing_and_json_do_not_go_together() -> None:
    code, text = _run("--release", "--json")
    assert code == 2
    assert "--release changes it" in text
