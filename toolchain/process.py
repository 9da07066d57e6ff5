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
    """A step of preparing the machine failed: `what`, what it `means`, the command that `mends` it."""

    def __init__(self, what: str, meaning: str, mend: str) -> None:
        super().__init__(f"slipway: error: {what} — {meaning} — {mend}")


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
    try:
        done = subprocess.run(
            list(argv),
            cwd=cwd,
            env={**os.environ, **(env or {})},
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=seconds,
            check=False,
        )
    except FileNotFoundError as error:
        raise ToolchainError(f"{argv[0]} is not on PATH", "the machine lacks it", f"install {argv[0]}") from error
    except subprocess.TimeoutExpired as error:
        raise ToolchainError(f"{argv[0]} did not end within {seconds:.0f} s", "it hangs", "run it again") from error
    if done.returncode != 0:
        tail = "\n".join((done.stdout + done.stderr).decode(errors="replace").splitlines()[-_TAIL_LINES:])
        raise ToolchainError(
            f"`{' '.join(argv[:4])} …` exited {done.returncode}", f"its last lines:\n{tail}", "see above"
        )
    return done.stdout
