"""Runs a program to its end or to a deadline, keeping the last lines of what it said."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from slipway.agent import runtime
from slipway.agent.docker.docker_api import KEPT, last_lines
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from slipway.agent.deadline import Deadline

__all__ = ["Ended", "run"]

_SHOWN = 20
_POLITE_SECONDS = 5.0
_POLL_SECONDS = 0.02


class Ended(NamedTuple):
    """How a program ended; `output` is the end of what it wrote, both streams together."""

    code: int
    output: tuple[str, ...]


def run(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    folder: str,
    deadline: Deadline,
    started: Callable[[int], None],
) -> Ended:
    """Run `argv` in a session of its own, so that a signal meant for the agent does not tear it apart.

    Its output goes to memory that it holds itself: an agent that is killed leaves a program that can go on writing,
    and so ends what it was at. `started` gets its process id.

    Raises:
        SlipwayError: the deadline passed or someone asked to end; the program and its children are ended first.
    """
    output = os.memfd_create("output")
    try:
        process = runtime.popen(
            argv, cwd=folder, env=dict(environment), stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            started(process.pid)
            while process.poll() is None:
                deadline.pause(_POLL_SECONDS)
        except BaseException as error:
            _end(process)
            if isinstance(error, SlipwayError):
                error.add_evidence(f"| {line}" for line in _lines(output)[-_SHOWN:])
            raise
        return Ended(process.returncode, _lines(output))
    finally:
        os.close(output)


def _lines(output: int) -> tuple[str, ...]:
    size = os.fstat(output).st_size
    kept = last_lines(os.pread(output, KEPT + 1, max(0, size - KEPT - 1)))
    return tuple(line for line in kept.decode("utf-8", "replace").splitlines() if line.strip())


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            runtime.signal_group(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(_POLITE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        break
