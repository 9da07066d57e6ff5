"""One deployment of a stack at a time: a `flock` that ends with its process, so that none ever needs a hand."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
from typing import TYPE_CHECKING

from slipway.agent import runtime
from slipway.agent.state.atomic_files import read_object
from slipway.agent.state.stack_dir import moment
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slipway.agent.deadline import Stop

__all__ = ["DEPLOYMENT", "HeldError", "ask_to_end", "held_by", "holder", "is_held", "lock"]

DEPLOYMENT = "deploy "  # how the reason of one begins
# A probe looks at the lock by taking it, shared, for an instant: even `lock_wait: 0` must outlast that.
_GRACE_SECONDS = 0.3


class HeldError(SlipwayError):
    """Somebody else holds a lock for longer than was waited."""


@contextlib.contextmanager
def lock(path: str, *, owner: str, reason: str, wait: float, stop: Stop | None = None, of: str = "") -> Iterator[None]:
    """Hold the lock at `path`; raises after `wait` seconds, naming who holds it, since when and why.

    `of` is what all stacks of a host share, where it is not one stack's own lock.
    """
    descriptor = _take(path, wait=max(wait, _GRACE_SECONDS), stop=stop, of=of)
    try:
        content = {"owner": owner, "pid": os.getpid(), "since": moment(), "at": runtime.time(), "reason": reason}
        with contextlib.suppress(OSError):  # of a full disk; it is held all the same
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(content).encode(), 0)
        yield
    finally:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, 0)
        os.close(descriptor)


def held_by(path: str) -> str | None:
    """Owner, age and reason of the deployment that holds the lock now; None when nobody does. Changes nothing."""
    return _description(path) if is_held(path) else None


def ask_to_end(path: str, owner: str) -> int | None:
    """Ask the deployment of `owner` that holds the lock to go back; its process, None when there is none."""
    process = holder(path, owner)
    if process is not None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(process, signal.SIGTERM)
    return process


def holder(path: str, owner: str) -> int | None:
    """The process of the deployment of `owner` that holds the lock at `path`."""
    content = read_object(path) if is_held(path) else {}
    deploys = str(content.get("reason", "")).startswith(DEPLOYMENT)
    return int(content["pid"]) if deploys and content.get("owner") == owner else None


def is_held(path: str) -> bool:
    """Whether a living process holds the lock at `path`."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    else:
        return False
    finally:
        os.close(descriptor)


def _take(path: str, *, wait: float, stop: Stop | None, of: str) -> int:
    until = runtime.monotonic() + wait
    while True:
        # A destroy that we waited for has taken the folder along.
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A destroy may have removed the file while we waited on it: then this lock guards nothing.
            if os.fstat(descriptor).st_ino == os.stat(path).st_ino:
                return descriptor
        except OSError:
            pass
        os.close(descriptor)
        if runtime.monotonic() >= until:
            means = "two at once would undo each other, so nothing was touched"
            fix = "wait for it to end, or raise lockWait, then run it again"
            if of and (process := read_object(path).get("pid")):  # it is held for as long as something starts
                means, fix = f"where that hangs, `kill {process}` has it go back", "run it again when that has ended"
            raise HeldError(
                f"another deployment holds {of or 'this stack'}: {_description(path)}",
                f"waited {wait:.0f} s; {means}",
                fix,
            )
        if stop is not None:
            stop.check()
        runtime.sleep(0.05)


def _description(path: str) -> str:
    content = read_object(path)
    if not content:
        return "owner not written yet"
    age = max(0, int(runtime.time() - float(content.get("at", runtime.time()))))
    return f"{content.get('owner') or 'someone'} (pid {content.get('pid')}) since {age} s: {content.get('reason')}"
