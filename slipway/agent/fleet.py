"""All hosts forward or all back: barriers of a deployment, and the channel between them and the driver.

`attend` is the driver's long-lived call on each host; it meets the deployment in three files: `attended` (a lock, and
the session that holds it), `status.json` (the deployment's), `verdict.json` (the driver's). A verdict counts only with
that session and the deployment it names, so that nothing left over from earlier decides anything.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.state.atomic_files import read_object, write_atomically
from slipway.agent.state.lock import is_held
from slipway.contract.barriers import BARRIERS, ENDED, FAILED, SILENT_SECONDS
from slipway.contract.problems import Interrupted, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slipway.agent.deadline import Deadline
    from slipway.agent.output import Output
    from slipway.agent.state.stack_dir import StackFolder
    from slipway.contract.deployment import Deployment

__all__ = ["Fleet", "attend"]

POLL_SECONDS = 0.05
ABANDONED_SECONDS = 3.0
_TAKE_SECONDS = 10.0
_FIRST_BEAT_SECONDS = 120.0  # it begins when it has heard every host, and one of them may answer late


class _Channel:
    def __init__(self, folder: StackFolder) -> None:
        self.folder = folder.control
        self.attended = os.path.join(folder.control, "attended")
        self.status = os.path.join(folder.control, "status.json")
        self.verdict = os.path.join(folder.control, "verdict.json")


class Fleet:
    """This deployment's end of the channel; does nothing on a single host."""

    def __init__(self, folder: StackFolder, deployment: str, *, active: bool) -> None:
        self._channel = _Channel(folder)
        self._deployment = deployment
        self._active = active
        self._attended_at = runtime.monotonic()
        self._decided = False
        self._opened = False
        self._session = ""

    @classmethod
    def of(cls, document: Deployment, folder: StackFolder) -> Fleet:
        """That of a deployment."""
        return cls(folder, f"{document.release.id}/{document.convergence}", active=document.fleet is not None)

    @contextlib.contextmanager
    def telling(self, out: Output) -> Iterator[None]:
        """Let the other hosts know of what keeps this one from beginning."""
        try:
            yield
        except Exception as error:
            if self._active and not self._opened:
                with contextlib.suppress(OSError):
                    self.open()
                    self.publish(FAILED, out.redactor.brief(str(error), 500))
            raise

    def open(self) -> None:
        """Start afresh, for the driver that attends now: what an earlier deployment said is no longer true."""
        self._opened = True
        if self._active:
            os.makedirs(self._channel.folder, mode=0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._channel.status)
            self._attended_at = runtime.monotonic()
            self._session = self._attending()
            while not self._session and runtime.monotonic() - self._attended_at < ABANDONED_SECONDS:
                runtime.sleep(POLL_SECONDS)
                self._session = self._attending()

    def _attending(self) -> str:
        """The session of the driver that attends now; empty without one."""
        attended = self._channel.attended
        return str(read_object(attended).get("session", "")) if is_held(attended) else ""

    def publish(self, phase: str, reason: str = "") -> None:
        """Report to the driver how far this host is."""
        if self._active:
            status = {"deployment": self._deployment, "session": self._session, "phase": phase, "reason": reason}
            write_atomically(self._channel.status, json.dumps(status).encode())

    def check(self) -> None:
        """Raise when the fleet decided against this deployment, or nobody is left to decide."""
        if not self._active or self._decided:
            return
        verdict = self._verdict()
        if "abort" in verdict:
            raise Interrupted(
                f"another host failed: {verdict['abort']}",
                "all hosts end on the same release, so this one stops",
                "see that host's error",
            )
        if is_held(self._channel.attended):
            self._attended_at = runtime.monotonic()
        elif runtime.monotonic() - self._attended_at > ABANDONED_SECONDS:
            raise Interrupted(
                "the driver of this fleet deployment is gone",
                "without it this host cannot know whether the others continue, so it does not",
                "run the deployment again",
            )

    def reach(self, phase: str, deadline: Deadline) -> None:
        """Publish a phase and wait for the go. After `proven` got its go nothing can turn this deployment back."""
        if not self._active:
            return
        self.publish(phase)
        while self._verdict().get("go") != phase:
            self.check()
            deadline.pause(POLL_SECONDS)
        self._decided = phase == BARRIERS[-1]

    def _verdict(self) -> dict[str, Any]:
        verdict = read_object(self._channel.verdict)
        current = read_object(self._channel.attended).get("session")
        mine = verdict.get("deployment") == self._deployment and verdict.get("session") == current is not None
        return verdict if mine else {}


def attend(folder: StackFolder, out: Output) -> None:
    """Relay until standard input ends, or falls silent.

    Raises:
        SlipwayError: another driver attends this stack and does not go away.
    """
    channel = _Channel(folder)
    folder.create()
    os.makedirs(channel.folder, mode=0o700, exist_ok=True)
    session = os.urandom(8).hex()
    descriptor = _take(channel.attended)
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"session": session, "pid": os.getpid()}).encode(), 0)
        _relay(channel, session, out, folder.lock)
    finally:
        os.close(descriptor)


def _relay(channel: _Channel, session: str, out: Output, lock: str) -> None:
    pending = b""
    heard = runtime.monotonic() + _FIRST_BEAT_SECONDS - SILENT_SECONDS
    status: dict[str, Any] = {}
    seen = status
    while True:
        held = not status or is_held(lock)  # before the status is read: who ends says so, then lets go of the lock
        found = read_object(channel.status)
        if found.pop("session", "") == session and found != seen:
            seen = status = found
            out.result(status)
        if status and not held and status["phase"] not in ENDED:
            status = {**status, "phase": FAILED, "reason": "its agent was killed or crashed"}
            out.result(status)
        readable, _, _ = select.select([0], [], [], POLL_SECONDS)
        if not readable:
            if runtime.monotonic() - heard > SILENT_SECONDS:
                return
            continue
        chunk = os.read(0, 65_536)
        if not chunk:
            return
        *lines, pending = (pending + chunk).split(b"\n")
        for line in lines:
            if _hand_down(line, channel, session):
                heard = runtime.monotonic()


def _hand_down(line: bytes, channel: _Channel, session: str) -> bool:
    """Write a verdict of the driver's down; whether the line says that the driver is there."""
    try:
        said = json.loads(line)
    except ValueError:
        return False
    if isinstance(said, dict) and "deployment" in said:
        write_atomically(channel.verdict, json.dumps({**said, "session": session}).encode())
    return isinstance(said, dict) and "alive" in said


def _take(path: str) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    until = runtime.monotonic() + _TAKE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            if runtime.monotonic() > until:
                os.close(descriptor)
                raise SlipwayError(
                    "another driver attends this stack on this host",
                    "two fleet deployments at once would undo each other",
                    "wait for the other run to end, then run this one again",
                ) from None
            runtime.sleep(POLL_SECONDS)
        else:
            return descriptor
