"""Whether the operation behind a record, and the process behind an engine's lock, still live.

Owns: the verdicts and their reasons. Does not own: what follows from them (see `operation`).

- *held*: it lives, or may well do so.
- *orphaned*: it is over, for sure: its process is gone from this machine, its CI run is over, or it has given no sign
  of life for `LIFE_SECONDS` (it gives one every `BEAT_SECONDS`).
- *unknown*: nothing can be said, as for an engine on another machine that `slipway` did not start.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple

from cli.locks.machine import process
from cli.wording import span

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cli.locks.engine_locks import EngineLock
    from cli.locks.machine import Machine
    from cli.locks.records import Entry, Record, Run

__all__ = ["BEAT_SECONDS", "LIFE_SECONDS", "Operation", "State", "Verdict", "judge_lock", "judge_record"]

BEAT_SECONDS = 10
LIFE_SECONDS = 60
_MISSED = timedelta(seconds=2.5 * BEAT_SECONDS)  # two signs of life that did not come: time to ask GitHub
_CLOCKS = timedelta(seconds=2)  # by which a process's start and a lock's time may differ on one machine
# Names that many machines have: they say nothing about which one it is.
_EVERYBODYS = {"localhost", "localhost.localdomain", "runner", "docker", "docker-desktop", "buildkitsandbox", "ubuntu"}
_ENGINE = "pulumi"

State = Literal["held", "orphaned", "unknown"]


class Verdict(NamedTuple):
    """What is known."""

    state: State
    reason: str


class Operation(NamedTuple):
    """An operation that is known of."""

    record: Record
    seen: datetime
    """Its last sign of life."""
    verdict: Verdict


def judge_record(
    entry: Entry, machine: Machine, store_now: Callable[[], datetime], run_is_over: Callable[[Run], bool | None]
) -> Verdict:
    """Whether the operation of a record lives.

    Args:
        entry: the record.
        machine: this one.
        store_now: the time by the store's clock; asked only where the local one says that it matters.
        run_is_over: whether the CI run is over; asked only when signs of life are missing.
    """
    record = entry.record
    if record and _is_here(record, machine):
        found = process(record.pid)
        if found and found.mark == record.mark:
            return Verdict("held", "its process lives on this machine")
        return Verdict("orphaned", "its process is gone from this machine")
    silent = datetime.now(UTC) - entry.seen
    if silent > _MISSED:
        if record and record.run and record.run.id and run_is_over(record.run):
            return Verdict("orphaned", f"GitHub says that its run is over ({record.run.url})")
        silent = store_now() - entry.seen
    for_so_long = span(max(0, int(silent.total_seconds())))
    if silent > timedelta(seconds=LIFE_SECONDS):
        return Verdict("orphaned", f"it has given no sign of life for {for_so_long}")
    return Verdict("held", f"its last sign of life was {for_so_long} ago")


def judge_lock(lock: EngineLock, machine: Machine, operations: Sequence[Operation], *, on_this_disk: bool) -> Verdict:
    """Whether the engine that made a lock lives.

    Args:
        lock: the engine's lock.
        machine: this one.
        operations: those that are known of: one of them may have started it.
        on_this_disk: whether the backend is a folder, so that a machine of this name is this one.
    """
    if lock.since is None:
        return Verdict("unknown", "the lock cannot be read")
    for operation in operations:
        if _started(operation, lock):
            if _is_here(operation.record, machine):
                return _judge_process(lock.pid, lock.since)
            return operation.verdict  # the engine ends with it
    if unseen := _unseen(lock, machine, on_this_disk=on_this_disk):
        return Verdict("unknown", unseen)
    return _judge_process(lock.pid, lock.since)


def _started(operation: Operation, lock: EngineLock) -> bool:
    """Whether the lock is of an engine that this operation started: its machine's, and of its time."""
    record, since = operation.record, lock.since
    if record.hostname != lock.hostname or since is None:
        return False
    # Two clocks: the machine's own, and the store's for the signs of life.
    return record.since - _CLOCKS <= since <= operation.seen + timedelta(seconds=LIFE_SECONDS)


def _unseen(lock: EngineLock, machine: Machine, *, on_this_disk: bool) -> str:
    """Why it cannot be seen from here whether the lock's process lives; empty when it can."""
    if lock.hostname != machine.hostname:
        return f"whether its process lives cannot be seen from {machine.hostname}"
    if not machine.sees_all:
        return "whether its process lives cannot be seen from this container"
    if not on_this_disk and (lock.hostname.lower() in _EVERYBODYS or lock.user != machine.user):
        return f"other machines may be called {lock.hostname} too"
    return ""


def _is_here(record: Record, machine: Machine) -> bool:
    """Whether the record's process is one that can be seen from here."""
    if record.hostname != machine.hostname or not record.boot:
        return False
    return (record.boot, record.namespace) == (machine.boot, machine.namespace)


def _judge_process(pid: int, since: datetime) -> Verdict:
    """Whether the engine with this number that made a lock at `since` lives on this machine."""
    found = process(pid)
    if found is None:
        return Verdict("orphaned", "its process is gone from this machine")
    if found.started > (since + _CLOCKS).timestamp():
        return Verdict("orphaned", f"its process is gone from this machine (pid {pid} is a later one)")
    if _ENGINE not in found.name:
        return Verdict("unknown", f"pid {pid} of this machine is {found.name}, not an engine")
    return Verdict("held", "its process lives on this machine")
