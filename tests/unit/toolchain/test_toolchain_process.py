"""A command that fails tells what, what it means and what to do."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dev.toolchain.process import ToolchainError, run

SH = "/bin/sh"


def test_output_is_returned_and_errors_of_a_success_are_not() -> None:
    assert run([SH, "-c", "echo out; echo err >&2"]) == b"out\n"


def test_stdin_and_variables_arrive() -> None:
    assert (
        run([SH, "-c", 'read line; echo "$line $ADDED"'], stdin=b"given\n", env={"ADDED": "value"}) == b"given value\n"
    )


def test_without_stdin_nothing_waits_for_the_terminal() -> None:
    assert run([SH, "-c", "read line || echo none"]) == b"none\n"


def test_failure_shows_command_status_and_last_lines() -> None:
    with pytest.raises(ToolchainError) as caught:
        run([SH, "-c", "i=0; while [ $i -lt 40 ]; do i=$((i+1)); echo line $i; done; echo reason >&2; exit 3"])
    text = str(caught.value)
    assert text.startswith("slipway: error: `/bin/sh -c")
    assert "exited 3 — its last lines:\n" in text
    assert "line 40\nreason" in text
    assert "line 15\n" not in text


def test_error_has_the_three_parts() -> None:
    assert str(ToolchainError("what", "meaning", "fix")) == "slipway: error: what — meaning — fix"


def test_missing_program_is_named() -> None:
    with pytest.raises(ToolchainError, match=r"frobnicate is not on PATH — .* — install frobnicate"):
        run(["frobnicate", "--now"])


def test_program_that_is_none_is_named(program: Callable[[str, str], Path], machine: Path) -> None:
    program("frobnicate", "")
    (machine / "bin/frobnicate").write_bytes(b"\x7fELF of another machine")
    with pytest.raises(ToolchainError, match=r"frobnicate cannot be started .Exec format error."):
        run(["frobnicate"])


def test_missing_folder_is_not_taken_for_a_missing_program(tmp_path: Path) -> None:
    with pytest.raises(ToolchainError, match="gone is no folder"):
        run([SH, "-c", "true"], cwd=tmp_path / "gone")


@pytest.mark.parametrize("line", ["sleep 5", "/bin/sleep 5 & wait"], ids=["itself", "with a child"])
def test_hanging_command_is_ended_and_not_waited_for(line: str) -> None:
    begun = time.monotonic()
    with pytest.raises(ToolchainError, match="did not end within 0 s — it hangs"):
        run([SH, "-c", f"PATH=/bin; {line}"], seconds=0.1)
    assert time.monotonic() - begun < 4
