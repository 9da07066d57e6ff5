"""Runs the programs that prepare a machine.

Owns: the one way a command is run here and how its failure is told. Does not own: which commands.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

__all__ = ["ToolchainError", "run"]

_TAIL_LINES = 25  # enough for a compiler's or apt's last words without flooding the terminal


class ToolchainError(Exception):
    """A step of preparing the machine failed: `what`, what it `means`, the command that `fixes` it."""

    def __init__(self, what: str, meaning: str, fix: str) -> None:
        super().__init__(f"slipway: error: {what} — {meaning} — {fix}")


def run(
    argv: Sequence[str],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    seconds: float = 900,
) -> bytes:
    """Run `argv`, return its standard output; `env` is added to this process's environment.

    Raises:
        ToolchainError: when it cannot start, exits non-zero (with the last lines it printed) or outlives `seconds`.
    """
    if cwd is not None and not cwd.is_dir():
        raise ToolchainError(f"{cwd} is no folder", f"{argv[0]} cannot be run in it", "run it again")
    try:
        process = subprocess.Popen(
            list(argv),
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
    except FileNotFoundError as error:
        raise ToolchainError(f"{argv[0]} is not on PATH", "the machine lacks it", f"install {argv[0]}") from error
    except OSError as error:
        raise ToolchainError(
            f"{argv[0]} cannot be started ({error.strerror})",
            "it is not a program of this machine, or not this user's to run",
            f"command -v {argv[0]} shows which file it is; fix or remove that one",
        ) from error
    with process:
        try:
            stdout, stderr = process.communicate(stdin, timeout=seconds)
        except subprocess.TimeoutExpired as error:
            raise ToolchainError(f"{argv[0]} did not end within {seconds:.0f} s", "it hangs", "run it again") from error
        finally:
            process.kill()  # not its output to the end: what it started may hold that open
    if process.returncode != 0:
        tail = "\n".join((stdout + stderr).decode(errors="replace").splitlines()[-_TAIL_LINES:])
        raise ToolchainError(
            f"`{' '.join(argv[:4])} …` exited {process.returncode}", f"its last lines:\n{tail}", "see above"
        )
    return stdout
