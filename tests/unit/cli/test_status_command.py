import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from slipway.cli.main import main
from slipway.contract.problems import Problem, SlipwayError
from slipway.hosts import host_sessions as host_sessions_module
from slipway.releases import engine as engine_module
from slipway.releases.engine import Stack

Answering = Callable[[object], list[str]]


def _slipway(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    """Run the command line in this process; its exit code."""
    monkeypatch.setattr(sys, "argv", ["slipway", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    code = ended.value.code
    return code if isinstance(code, int) else 0


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch, stack: Callable[..., Stack]) -> Answering:
    """Let the stack's hosts answer so; the stacks that were asked for."""
    asked: list[str] = []

    def read(name: str) -> Stack:
        asked.append(name)
        return stack("web-1")

    def set_up(answer: object) -> list[str]:
        monkeypatch.setattr(engine_module, "read_stack", read)
        monkeypatch.setattr(host_sessions_module, "survey", lambda *_: {"web-1": answer})
        return asked

    return set_up


def test_exit_code_is_0_when_everything_runs_as_deployed(
    answering: Answering, probe: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = answering(probe)
    assert _slipway(monkeypatch, "status", "--stack", "staging") == 0
    assert asked == ["staging"]
    assert "shop on stack staging: as deployed" in capsys.readouterr().out


@pytest.mark.parametrize("options", [(), ("--json",)])
@pytest.mark.parametrize(
    "answer", [{"drift": [{"service": "api", "what": "is missing"}]}, SlipwayError(Problem("unreachable", "-", "-"))]
)
def test_exit_code_is_1_when_a_host_differs_or_does_not_answer(
    options: tuple[str, ...],
    answer: object,
    answering: Answering,
    probe: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answering(probe | answer if isinstance(answer, dict) else answer)
    assert _slipway(monkeypatch, "status", *options) == 1


def test_json_is_the_whole_of_standard_output(
    answering: Answering, probe: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    answering(probe)
    assert _slipway(monkeypatch, "status", "--json") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["hosts"][0]["probe"]["live"]["release"] == "r-0123456789ab"


def test_the_stack_can_be_named_as_pulumi_takes_it(
    answering: Answering, probe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = answering(probe)
    monkeypatch.setenv("PULUMI_STACK", "production")
    _slipway(monkeypatch, "status")
    _slipway(monkeypatch, "status", "-s", "staging")
    assert asked == ["production", "staging"]


@pytest.mark.parametrize("arguments", [("status", "--stak", "x"), ("statu",), ("status", "staging"), ()])
def test_wrong_usage_is_exit_code_2(arguments: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    assert _slipway(monkeypatch, *arguments) == 2


def test_problems_are_told_one_per_line_on_standard_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_: str) -> Stack:
        raise SlipwayError([Problem("a", "b", "c"), Problem("d", "e", "f")])

    monkeypatch.setattr(engine_module, "read_stack", refuse)
    assert _slipway(monkeypatch, "status", "--json") == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == "slipway: error: a — b — c\nslipway: error: d — e — f\n"


def test_a_bug_is_one_line_and_its_traceback_a_private_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def fail(_: str) -> Stack:
        raise KeyError("canary-secret-value")

    monkeypatch.setattr(engine_module, "read_stack", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert _slipway(monkeypatch, "status") == 1
    (saved,) = tmp_path.iterdir()
    told = capsys.readouterr().err
    assert told.startswith("slipway: error: a bug in Slipway (KeyError) — ")
    assert str(saved) in told
    assert told.count("\n") == 1
    assert "canary-secret-value" not in told
    assert "KeyError" in saved.read_text()
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"], ["status", "--help"], ["up", "--help"], ["watch", "-h"], ["maintenance", "--help"], ["--version"],
        ["statu"], ["up", "staging"], ["maintenance", "maybe"],
    ],
)  # fmt: skip
def test_help_version_and_usage_errors_import_nothing_heavy(arguments: list[str]) -> None:
    program = (
        "import sys\n"
        f"sys.argv = ['slipway', *{arguments!r}]\n"
        "from slipway.cli.main import main\n"
        "try:\n"
        "    main()\n"
        "finally:\n"
        "    heavy = {'pulumi', 'asyncssh', 'rich', 'yaml', 'asyncio', 'components', 'toolchain'}\n"
        "    print(sorted(heavy & set(sys.modules)), file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr.splitlines()[-1] == "[]"


def test_version_is_the_packages_own(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert _slipway(monkeypatch, "--version") == 0
    assert capsys.readouterr().out.startswith("slipway 0.")
