"""`slipway lock`: what it shows, the document behind it, and what it takes away."""

import json
import socket
import subprocess
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from typer.testing import CliRunner

from slipway import cli as cli_module
from slipway.cli.main import app
from slipway.releases.locks import liveness

_SCHEMA = Path(cli_module.__file__).parent / "schemas" / "lock.schema.json"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a backend; commands run beside its program."""
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PULUMI_BACKEND_URL", f"file://{tmp_path / 'state'}")
    monkeypatch.delenv("PULUMI_STACK", raising=False)
    monkeypatch.setattr(liveness, "_sees_all_processes", lambda: True)  # tests may run in a container
    monkeypatch.setattr("slipway.releases.local_stack.tools", lambda _: {})  # no engine is run here
    return tmp_path / "state"


def _gone() -> int:
    with subprocess.Popen(["true"]) as ended:
        pass
    return ended.pid


def _lock(state: Path, content: str, name: str = "0c") -> None:
    folder = state / ".pulumi/locks/organization/shop/staging"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.json").write_text(content)


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
    assert (code, document["state"], document["locks"]) == (0, "free", [])


def test_a_stale_lock_is_shown_and_can_be_released(state: Path) -> None:
    _lock(state, _engine(socket.gethostname(), pid := _gone()))
    code, text = _run()
    assert code == 1
    first, _, who, since, stale, _, fix = text.splitlines()
    assert first == "stack staging of project shop: stale"
    assert who == f"  pulumi by ann@{socket.gethostname()} (pid {pid})"
    assert since.startswith("    since  2026-11-20 14:02:11 UTC (")
    assert stale == "    stale: its process is gone from this machine"
    assert fix.endswith("slipway lock --release --stack staging")
    code, text = _run("--release")
    assert code == 0
    assert text.startswith("took over the lock of ann@")
    assert _run("--release") == (0, "stack staging of project shop: free, nothing to release\n")
    assert [file for file in state.rglob("*") if file.is_file()] == []


def test_an_engine_elsewhere_is_unknown_and_not_released(state: Path) -> None:
    _lock(state, _engine())
    code, text = _run()
    assert code == 1
    assert text.startswith("stack staging of project shop: unknown\n")
    assert "  pulumi by ann@elsewhere (pid 4711)\n" in text
    assert text.splitlines()[-1].endswith("pulumi cancel --yes --stack staging")
    code, text = _run("--release")
    assert code == 1
    assert "once you are sure that it is gone — pulumi cancel --yes --stack staging" in text
    code, document = _document()
    assert (code, document["state"]) == (1, "unknown")
    [lock] = document["locks"]
    assert (lock["state"], lock["owner"]) == ("unknown", {"user": "ann", "hostname": "elsewhere", "pid": 4711})
    assert lock["since"] == "2026-11-20T14:02:11Z"


def test_a_stack_is_only_as_stale_as_the_least_of_its_locks(state: Path) -> None:
    _lock(state, _engine(socket.gethostname(), _gone()), "gone")
    _lock(state, _engine(), "elsewhere")
    document = _document()[1]
    assert document["state"] == "unknown"
    assert {lock["state"] for lock in document["locks"]} == {"stale", "unknown"}


def test_rubbish_is_shown_as_such_and_cannot_repaint_the_terminal(state: Path) -> None:
    _lock(state, "\x1b[2J")
    _lock(state, json.dumps({**json.loads(_engine()), "username": "\x1b[2Jann"}), "1d")
    code, document = _document()
    assert (code, document["state"], document["locks"][0]["owner"]) == (1, "unknown", None)
    _, text = _run()
    assert "a lock that cannot be read: .pulumi/locks/organization/shop/staging/0c.json" in text
    assert "\x1b" not in text


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
