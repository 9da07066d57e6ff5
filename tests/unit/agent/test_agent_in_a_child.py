"""A deployment outlives the process that Pulumi's command plugin knows, and ends as that would."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

_PROGRAM = """
import os, signal, sys, time
from slipway.agent.runtime import in_a_child
in_a_child()
{}
"""
_WAITS = """
signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.2), print("went back", flush=True), sys.exit(0)))
print("at work", flush=True)
time.sleep(20)
"""


def _started(body: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _PROGRAM.format(body)], stdout=subprocess.PIPE)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_end_of_the_process_that_was_started_reaches_the_work_in_time_to_go_back(how: signal.Signals) -> None:
    process = _started(_WAITS)
    assert process.stdout is not None
    assert process.stdout.readline() == b"at work\n"
    os.kill(process.pid, how)
    assert process.stdout.read() == b"went back\n"
    assert process.wait(5) == (-how if how is signal.SIGKILL else 0)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("sys.exit(0)", 0),
        ("sys.exit(7)", 7),
        ("os.kill(os.getpid(), signal.SIGKILL)", -9),
        ("os.kill(os.getpid(), signal.SIGTERM)", -15),
        ("raise SystemExit('no')", 1),
    ],
)
def test_it_ends_as_the_work_ends(body: str, code: int) -> None:
    with _started(body) as process:
        assert process.wait(5) == code
