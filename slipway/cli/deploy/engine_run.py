"""One run of the engine: it ends with this process, Ctrl-C asks it to stop, and its events are read as they come."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["EngineRun", "engine_run"]

_LOOK_SECONDS = 0.05  # between two looks at the event log: below what a person notices
_SIGNALS = (signal.SIGINT, signal.SIGTERM)  # Ctrl-C; what a CI service sends to a cancelled job

# Becomes the engine, which Linux then asks to stop (SIGINT) when this process ends in whatever way, so that none works
# on unseen. 1 is PR_SET_PDEATHSIG (prctl(2)). What a script starts with `&` ignores SIGINT, and would hand that on: the
# engine could not be asked to stop, and waits 5 s in vain for its language host, which it ends by that signal.
_ENDS_WITH_ITS_PARENT = """\
import ctypes, os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGINT)
if os.getppid() != int(sys.argv[1]):
    sys.exit("the process that started this one is gone")
os.execvp(sys.argv[2], sys.argv[2:])
"""


@contextmanager
def engine_run(arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[EngineRun]:
    """Run `pulumi` with these arguments; meanwhile Ctrl-C asks the engine to stop, once.

    At the end the engine is waited for, whatever happened here: half a deployment is worse than a late prompt.
    """
    through = [sys.executable, "-I", "-S", "-c", _ENDS_WITH_ITS_PARENT, str(os.getpid())]
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:  # mode 0700
        events, output = Path(folder) / "events", Path(folder) / "output"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [*through, "pulumi", *arguments, "--event-log", str(events)],
                env={**environment, "PULUMI_DEBUG_COMMANDS": "true"},  # without it there is no --event-log
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a terminal's Ctrl-C reaches this process only
            )
        run = EngineRun(process, events, output)
        before = {number: signal.signal(number, run.stop) for number in _SIGNALS}
        try:
            yield run
        except BaseException:
            run.stop()
            raise
        finally:
            process.wait()
            for number, handler in before.items():
                signal.signal(number, handler)


class EngineRun:
    """A run of the engine, which writes its events and its output to these files."""

    def __init__(self, process: subprocess.Popen[bytes], events: Path, output: Path) -> None:
        self._process, self._events, self._output = process, events, output
        self.pid = process.pid
        self.stopping = False
        """Whether it was asked to stop."""

    @property
    def output(self) -> str:
        """All that the engine printed so far."""
        return self._output.read_text(errors="replace")

    def stop(self, *_: object) -> None:
        """Ask the engine to stop, once: a second time would make it drop what it is doing."""
        if not self.stopping and self._process.poll() is None:
            self.stopping = True
            self._process.send_signal(signal.SIGINT)

    def follow(self, report: Callable[[Mapping[str, Any]], None], tick: Callable[[], None]) -> int:
        """Hand every event to `report` as it is written, and call `tick` in between, until the engine has ended.

        Returns: its exit code.
        """
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
