"""The `slipway` command as a person or a script runs it for a stack: without a terminal, or at one.

Owns: the terminal (a pty), its size, keys and screen. Does not own: stacks (see `stack_harness`).
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stack_harness import Stack

__all__ = ["ENDS_SECONDS", "SLIPWAY", "Session", "slipway"]

SLIPWAY = str(Path(sys.executable).parent / "slipway")
ENDS_SECONDS = 90  # on a busy machine


def slipway(stack: Stack, command: str, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """A command of `slipway` to its end, without a terminal."""
    return subprocess.run(
        [SLIPWAY, command, "--stack", stack.name, *arguments],
        cwd=stack.folder,
        env=stack.environment,
        input=stdin,
        capture_output=True,
        timeout=ENDS_SECONDS,
        check=False,
    )


class Session:
    """A command of `slipway` at a terminal of its own."""

    def __init__(self, stack: Stack, *arguments: str, size: tuple[int, int] = (30, 100)) -> None:
        self.seen = ""
        self.pid, self._descriptor = pty.fork()
        if self.pid == 0:  # pragma: no cover  # another program from here on
            os.chdir(stack.folder)
            environment = {**stack.environment, "TERM": "xterm-256color"}
            os.execve(SLIPWAY, [SLIPWAY, arguments[0], "--stack", stack.name, *arguments[1:]], environment)  # noqa: S606
        self.resize(*size)

    def resize(self, rows: int, columns: int) -> None:
        """What dragging a window's corner does."""
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def types(self, text: str) -> None:
        """Press keys."""
        os.write(self._descriptor, text.encode())

    def shows(self, text: str, seconds: float = ENDS_SECONDS) -> str:
        """Wait for `text`; all that was shown up to it."""
        until = time.monotonic() + seconds
        while text not in self.seen:
            assert time.monotonic() < until, f"{text!r} was not shown:\n{self.seen}"
            assert self._read(), f"it ended without {text!r}:\n{self.seen}"
        before, _, self.seen = self.seen.partition(text)
        return before

    def _read(self) -> bool:
        if select.select([self._descriptor], [], [], 1)[0]:
            try:
                data = os.read(self._descriptor, 4096)
            except OSError:  # how a terminal says that nobody has its other end any more
                return False
            self.seen += data.decode(errors="replace")
            return bool(data)
        return True

    def ends(self) -> int:
        """Its exit code."""
        while self._read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
