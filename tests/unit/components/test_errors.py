"""The family of errors: one line each, all of them at once."""

import subprocess
import sys

import pulumi
import pytest

from components.errors import Problem, SlipwayError, nearest, reported_to_pulumi


def test_an_error_has_one_line_per_problem_in_the_familys_form() -> None:
    error = SlipwayError([Problem("a", "b", "c"), Problem("d\n  d", "e", "f")])
    assert str(error).splitlines() == ["slipway: error: a — b — c", "slipway: error: d d — e — f"]


def test_one_problem_needs_no_list() -> None:
    assert SlipwayError(Problem("a", "b", "c")).problems == (Problem("a", "b", "c"),)


def test_nearest_finds_a_typing_error_and_nothing_far_away() -> None:
    assert nearest("registy", ["registry", "mirror"]) == "registry"
    assert nearest("zzz", ["registry", "mirror"]) is None


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


def test_telling_a_problem_needs_no_engine() -> None:
    code = "import sys, components.configuration, components.application; print('pulumi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
