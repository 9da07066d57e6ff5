"""One run of the engine: it ends with this process, Ctrl-C asks it to stop, and its events are read as they come."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from types import FrameType, TracebackType

__all__ = ["EngineRun"]

_LOOK_SECONDS = 0.05  # between two looks at the event log: below what a person notices
_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C; what a CI service sends to a cancelled job

# Becomes the engine, which the kernel then asks to stop (SIGINT) when this process ends in whatever way, so that
# none works on unseen. Other systems have no such thing. 1 is PR_SET_PDEATHSIG (prctl(2)).
_ENDS_WITH_ITS_PARENT = """\
import ctypes, os, signal, sys
ctypes.CDLL(None).prctl(1, signal.SIGINT)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that started this one is gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""


class EngineRun:
    """A run of the engine; as a context it takes Ctrl-C upon itself, so that the engine is asked to stop, once."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        """`arguments` are those of `pulumi`, in the order in which it takes them."""
        self._arguments = list(arguments)
        self._environment = {**environment, "PULUMI_DEBUG_COMMANDS": "true"}  # without it there is no --event-log
        self._folder = tempfile.TemporaryDirectory(prefix="slipway-")  # mode 0700
        self._before: dict[int, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self.stopping = False
        """Whether it was asked to stop."""

    def __enter__(self) -> Self:
        """Start the engine."""
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [*_through(), "pulumi", *self._arguments, "--event-log", str(self._events)],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal's Ctrl-C reaches this process only
            )
        self._before = {number: signal.signal(number, self._stop) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Wait for the engine, whatever happened here: half a deployment is worse than a late prompt."""
        assert self._process is not None  # noqa: S101  # __enter__ made it
        if kind is not None:
            self._stop(signal.SIGINT, None)
        self._process.wait()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._folder.cleanup()

    def follow(self, report: Callable[[Mapping[str, Any]], None], tick: Callable[[], None]) -> int:
        """Hand every event to `report` as it is written, and call `tick` in between, until the engine has ended.

        Returns: its exit code.
        """
        assert self._process is not None  # noqa: S101  # __enter__ made it
        read, rest = 0, b""
        while True:
            code = self._process.poll()  # before the look, so that nothing that it wrote last is missed
            if self._events.is_file():
                with self._events.open("rb") as log:
                    log.seek(read)
                    new = log.read()
                read += len(new)
                *lines, rest = (rest + new).split(b"\n")
                for line in lines:
                    if line.strip():
                        report(json.loads(line))
            if code is not None:
                return code
            tick()
            time.sleep(_LOOK_SECONDS)

    @property
    def pid(self) -> int:
        """The engine's process."""
        assert self._process is not None  # noqa: S101  # __enter__ made it
        return self._process.pid

    @property
    def output(self) -> str:
        """All that the engine printed so far."""
        return self._output.read_text(errors="replace")

    @property
    def _output(self) -> Path:
        return Path(self._folder.name) / "output"

    @property
    def _events(self) -> Path:
        return Path(self._folder.name) / "events"

    def _stop(self, _number: int, _frame: FrameType | None) -> None:
        assert self._process is not None  # noqa: S101  # __enter__ made it
        if not self.stopping and self._process.poll() is None:
            self.stopping = True
            # A second one would make the engine drop what it is doing.
            self._process.send_signal(signal.SIGINT)


def _through() -> list[str]:
    """What starts the engine so that it ends with this process."""
    if sys.platform != "linux":
        return []
    return [sys.executable, "-I", "-S", "-c", _ENDS_WITH_ITS_PARENT, str(os.getpid())]
