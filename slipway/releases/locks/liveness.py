"""Whether the engine that holds a lock still runs, as far as that can be known from here."""

from __future__ import annotations

import os
import socket
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from slipway.releases.locks.ci_run import run_is_over, run_of
from slipway.settings.deploy_origin import user_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.releases.locks.engine_locks import EngineLock, StackLocks

__all__ = ["Liveness", "judge"]

_SECONDS = 10
_NAMESPACE = Path("/proc/self/ns/pid")
_ALL_PROCESSES = "pid:[4026531836]"  # the kernel's first PID namespace: PROC_PID_INIT_INO, include/linux/proc_ns.h
_CLOCKS = timedelta(seconds=3)  # by which a process's start and a lock's time may differ on one machine
# Names that many machines have say nothing about which one it is. GitHub's runners have the name of their image.
_SHARED = {"localhost", "localhost.localdomain", "runner", "docker", "docker-desktop", "buildkitsandbox", "ubuntu"}
_HOSTED_RUNNER = "runnervm"


class Liveness(NamedTuple):
    """What is known of a lock's engine, and why."""

    state: Literal["held", "stale", "unknown"]
    """held: it runs. stale: it is gone for sure. unknown: as for one that a person started on another machine."""
    reason: str


def judge(lock: EngineLock, locks: StackLocks, environment: Mapping[str, str]) -> Liveness:
    """Whether the engine that made one of the stack's locks still runs."""
    if lock.since is None:
        return Liveness("unknown", "the lock cannot be read")
    unseen = _unseen(lock, on_this_disk=locks.on_this_disk)
    if not unseen:
        return _judge_process(lock.pid, lock.since)
    run = run_of(locks, lock)
    if run is None:
        return Liveness("unknown", unseen)
    over = run_is_over(run, environment)
    if over is None:
        return Liveness("unknown", f"GitHub does not say whether its run is over ({run.url})")
    return Liveness(
        "stale" if over else "held", f"GitHub says that its run {'is over' if over else 'goes on'} ({run.url})"
    )


def _unseen(lock: EngineLock, *, on_this_disk: bool) -> str:
    """Why it cannot be seen from here whether the lock's process runs; empty when it can."""
    here = socket.gethostname()
    if lock.hostname != here:
        return f"whether its process runs cannot be seen from {here}"
    if not _sees_all_processes():
        return "whether its process runs cannot be seen from this container"
    shared = here.lower() in _SHARED or here.startswith(_HOSTED_RUNNER) or lock.user != user_name()
    return f"other machines may be called {here} too" if shared and not on_this_disk else ""


def _sees_all_processes() -> bool:
    try:
        return str(_NAMESPACE.readlink()) == _ALL_PROCESSES
    except OSError:  # no Linux
        return True


def _judge_process(pid: int, since: datetime) -> Liveness:
    """Whether the engine with this number that made a lock at `since` runs on this machine."""
    gone = "its process is gone from this machine"
    try:
        os.kill(pid, 0)  # nothing is sent
    except ProcessLookupError:
        return Liveness("stale", gone)
    except OSError:  # it is another user's
        pass
    try:
        state, started, name = _process(pid)
    except (OSError, ValueError):  # it ended just now, or this system has no such `ps`
        return Liveness("unknown", f"what pid {pid} of this machine is cannot be found out")
    if state.startswith("Z"):  # only its exit code is left
        return Liveness("stale", gone)
    if started > since + _CLOCKS:
        return Liveness("stale", f"{gone} (pid {pid} is a later one)")
    if "pulumi" not in name:
        return Liveness("unknown", f"pid {pid} of this machine is {name}, not an engine")
    return Liveness("held", "its process runs on this machine")


def _process(pid: int) -> tuple[str, datetime, str]:
    """State, start and name of a process."""
    environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
    done = subprocess.run(
        ["ps", "-o", "stat=,lstart=,comm=", "-p", str(pid)],
        env=environment, capture_output=True, text=True, timeout=_SECONDS, check=False,
    )  # fmt: skip
    state, *date, name = done.stdout.split(maxsplit=6)  # S Fri Nov 20 19:16:45 2026 pulumi
    return state, datetime.strptime(" ".join(date), "%a %b %d %H:%M:%S %Y").replace(tzinfo=UTC), Path(name.strip()).name
