"""This machine and its processes: whether the one that made a lock lives.

Owns: what tells this machine from others, and one process from a later one with its number. Linux is asked through
/proc, others through `ps` and `sysctl`. Does not own: what follows from it (see `judging`).
"""

from __future__ import annotations

import getpass
import os
import socket
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

__all__ = ["Machine", "Process", "process", "process_by_ps", "this_machine"]

_SECONDS = 10
_PROC = Path("/proc")
_EVERYTHING = "pid:[4026531836]"  # the kernel's first PID namespace: PROC_PID_INIT_INO, include/linux/proc_ns.h
_AFTER_NAME = 19  # of the start's field behind the name in /proc/PID/stat: proc_pid_stat(5), field 22
_PS_DATE = 5  # words of `lstart`: Fri Nov 20 19:16:45 2026


class Machine(NamedTuple):
    """What tells this machine from others."""

    hostname: str
    user: str
    boot: str
    """Changes with every start of the machine; empty where the system has none."""
    namespace: str
    """Processes outside of it are not seen from here; empty where the system has none."""

    @property
    def sees_all(self) -> bool:
        """Whether a process that is not seen from here is none of this machine's."""
        return self.namespace in ("", _EVERYTHING)


class Process(NamedTuple):
    """A running process."""

    name: str
    mark: str
    """Together with the process's number: no later process on this machine has the same."""
    started: float
    """Seconds since 1970, right to about a second."""


def this_machine() -> Machine:
    """The machine, or the container, that this process is on."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        user = ""
    return Machine(socket.gethostname(), user, _boot(), _namespace())


def process(number: int) -> Process | None:
    """The process with this number; None when there is none, or only its exit code is left."""
    return _process_by_proc(number) if (_PROC / "self" / "stat").exists() else process_by_ps(number)


def process_by_ps(number: int) -> Process | None:
    """As `process`, where there is no /proc."""
    done = subprocess.run(
        ["ps", "-o", "stat=,lstart=,comm=", "-p", str(number)],
        env={**os.environ, "LC_ALL": "C"},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    state, *words = done.stdout.split(maxsplit=_PS_DATE + 1) or [""]
    if done.returncode != 0 or state.startswith("Z") or len(words) <= _PS_DATE:
        return None
    date = " ".join(words[:_PS_DATE])
    started = time.mktime(time.strptime(date, "%a %b %d %H:%M:%S %Y"))
    return Process(Path(words[_PS_DATE].strip()).name, date, started)


def _process_by_proc(number: int) -> Process | None:
    try:
        stat = (_PROC / str(number) / "stat").read_text(errors="replace")
    except OSError:
        return None
    name, _, rest = stat.partition("(")[2].rpartition(")")
    fields = rest.split()
    if fields[0] in "ZX":
        return None
    ticks = int(fields[_AFTER_NAME])
    since_boot = ticks / os.sysconf("SC_CLK_TCK")
    return Process(name, str(ticks), time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot)


def _boot() -> str:
    try:
        return (_PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return _sysctl("kern.bootsessionuuid")


def _namespace() -> str:
    try:
        return str((_PROC / "self/ns/pid").readlink())
    except OSError:
        return ""


def _sysctl(name: str) -> str:
    try:
        done = subprocess.run(["sysctl", "-n", name], capture_output=True, text=True, timeout=_SECONDS, check=False)
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
