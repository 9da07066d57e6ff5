"""Problems as the engine's own error reports."""

import subprocess
import sys

import pulumi
import pytest

from slipway.contract.problems import Problem, SlipwayError
from slipway.settings.engine_errors import reported_to_pulumi


def test_the_engine_shows_the_message_without_a_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "error", said.append)
    with pytest.raises(SystemExit) as ended, reported_to_pulumi():
        raise SlipwayError(Problem("a", "b", "c"))
    assert ended.value.code == 32
    assert said == ["slipway: error: a — b — c"]
    assert ended.value.__suppress_context__


def test_a_bug_is_not_dressed_up_as_a_problem() -> None:
    with pytest.raises(ZeroDivisionError), reported_to_pulumi():
        raise ZeroDivisionError


def test_reporting_a_problem_needs_no_engine() -> None:
    code = "import sys, slipway.settings.load, slipway.compose.application; print('pulumi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
