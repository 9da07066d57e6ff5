"""Runs a program to its end or to a deadline, keeping the last lines of what it said."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from typing import TYPE_CHECKING, NamedTuple

from agent.errors import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from agent.deadline import Deadline

__all__ = ["Ended", "run"]

_KEPT = 16_000
_SHOWN = 20
_POLITE_SECONDS = 5.0


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
    started: Callable[[int], None] | None = None,
) -> Ended:
    """Run `argv` in a session of its own, so that a signal meant for the agent does not tear it apart.

    Raises:
        SlipwayError: the deadline passed or someone asked to end; the program and its children are ended first.
    """
    process = subprocess.Popen(
        list(argv),
        cwd=folder,
        env=dict(environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    assert process.stdout is not None  # noqa: S101 - a pipe was asked for
    descriptor = process.stdout.fileno()
    os.set_blocking(descriptor, False)
    kept = b""
    try:
        if started is not None:
            started(process.pid)
        while True:
            readable, _, _ = select.select([descriptor], [], [], 0.1)
            chunk = os.read(descriptor, 65_536) if readable else b""
            kept = (kept + chunk)[-_KEPT:]
            if readable and not chunk:
                break
            if not readable and process.poll() is not None:
                break
            deadline.check()
        while process.poll() is None:
            deadline.pause(0.02)
    except BaseException as error:
        _end(process)
        if isinstance(error, SlipwayError):
            error.evidence += tuple(f"| {line}" for line in _lines(kept)[-_SHOWN:])
        raise
    finally:
        process.stdout.close()
    return Ended(process.returncode, _lines(kept))


def _lines(kept: bytes) -> tuple[str, ...]:
    return tuple(line for line in kept.decode("utf-8", "replace").splitlines() if line.strip())


def _end(process: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(_POLITE_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        break
