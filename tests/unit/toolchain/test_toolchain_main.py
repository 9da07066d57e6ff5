"""`python -m dev.toolchain COMMAND`: 0 when it worked, 1 with a clear error when not, 2 for usage."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from dev.toolchain import checks, local
from dev.toolchain.__main__ import main
from dev.toolchain.process import ToolchainError

BROKEN = "something on this machine is not as it must be — fix what it names, then run it again"


@pytest.mark.parametrize("arguments", [[], ["upp"], ["--help"]])
def test_anything_but_a_command_is_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("usage: make up | down | check | test | bench")


@pytest.mark.parametrize(
    ("command", "module", "name"),
    [
        ("up", local, "up"),
        ("down", local, "down"),
        ("check", checks, "check"),
        ("test", checks, "test"),
        ("bench", checks, "bench"),
    ],
)
def test_command_gets_the_arguments_and_gives_the_status(
    command: str, module: object, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[list[str]] = []

    def act(arguments: list[str]) -> int:
        got.append(arguments)
        return 255

    monkeypatch.setattr(module, name, act)
    assert main([command, "--more", "x"]) == 255
    assert got == [["--more", "x"]]


def failing(error: BaseException) -> Callable[[list[str]], int]:
    def act(_: list[str]) -> int:
        raise error

    return act


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ToolchainError("it broke", "nothing runs", "fix it"), "slipway: error: it broke — nothing runs — fix it\n"),
        (KeyboardInterrupt(), "slipway: error: interrupted — nothing half-made is kept — run it again\n"),
        (
            OSError(28, "No space left on device", "/cache/file"),
            f"slipway: error: [Errno 28] No space left on device: '/cache/file' — {BROKEN}\n",
        ),
        (
            subprocess.TimeoutExpired(["docker", "ps"], 30),
            f"slipway: error: Command '['docker', 'ps']' timed out after 30 seconds — {BROKEN}\n",
        ),
    ],
    ids=["our own", "interrupted", "full disk", "hanging engine"],
)
def test_failure_is_one_error_and_no_traceback(
    error: BaseException, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(local, "up", failing(error))
    assert main(["up"]) == 1
    assert capsys.readouterr().err == told


def test_incomplete_python_environment_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)  # importing it fails
    monkeypatch.delitem(sys.modules, "dev.toolchain.local")
    monkeypatch.delitem(sys.modules, "dev.toolchain.checks")
    monkeypatch.delattr("dev.toolchain.local")
    monkeypatch.delattr("dev.toolchain.checks")
    assert main(["up"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("slipway: error: import of yaml halted")
    assert f"rm -r {sys.prefix}, then run it again" in error


def test_toolchain_tells_a_bug_apart_from_a_broken_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "up", failing(ValueError("a bug")))
    with pytest.raises(ValueError, match="a bug"):
        main(["up"])
