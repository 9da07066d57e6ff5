"""One operation at a time on a stack: taking it, waiting for others, taking over from what is dead, giving it up.

Owns: that order, and the signs of life meanwhile. Does not own: the record (see `records`), the verdicts (see
`judging`), the words of a refusal (see `refusal`). At Pulumi Cloud nothing is recorded: the service gives one update at
a time a lease of its own, and the engine ends with a conflict (see `refusal.conflict`).
"""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from cli.locks.engine_locks import remove
from cli.locks.judging import BEAT_SECONDS
from cli.locks.place import lock_wait, place_of_stack
from cli.locks.records import Predecessor, new_record
from cli.locks.refusal import date, lock_obstacle, record_obstacle
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from cli.locks.engine_locks import EngineLock
    from cli.locks.judging import Verdict
    from cli.locks.place import Place
    from cli.locks.records import Entry, Record, Records
    from cli.locks.refusal import Obstacle
    from cli.stack import Engine

__all__ = ["Held", "operation"]

_LOOK_SECONDS = 1.0  # between two looks at what is in the way


@dataclass(frozen=True, kw_only=True)
class Held:
    """An operation that has its stack."""

    taken_over: str = ""
    """Whose locks were taken over, for the message of the update, where the stack's history keeps it."""

    def message(self, text: str) -> str:
        """`text` with that, for the update."""
        return f"{text} ({self.taken_over})" if text and self.taken_over else text or self.taken_over


@contextlib.contextmanager
def operation(
    engine: Engine,
    *,
    what: str,
    why: str = "",
    wait: float | None = None,
    tell: Callable[[str], None] | None = None,
) -> Iterator[Held]:
    """Have the stack until the block ends; no other operation of Slipway can have it, and no engine is at work on it.

    It waits for whoever works on it, and takes over what is dead. One operation does not stand inside another one.
    When another machine finds this one dead although it lives (it slept, or could not reach the backend for a minute)
    and takes over, this process gets an interrupt (SIGINT), which asks a running engine to stop.

    Args:
        engine: the stack's engine.
        what: up, rollback, promotion, …
        why: for people: shown to whoever has to wait.
        wait: seconds to wait for others; the setting lockWait when None.
        tell: gets each line about waiting and taking over; standard error when None.

    Raises:
        SlipwayError: when somebody else has it for longer than that, or the backend does not answer.
    """
    place = place_of_stack(engine)
    if place is None:
        yield Held()
        return
    acquisition = _Acquisition(
        place, what=what, why=why, wait=lock_wait(engine) if wait is None else wait, tell=tell or _to_stderr
    )
    record = acquisition.take_record()
    with _alive(place.records(), record, acquisition.tell):
        acquisition.clear_engine_locks(record)
        yield Held(taken_over=acquisition.taken_over)


class _Acquisition:
    """The way to a stack: patient up to a moment, told once per obstacle."""

    def __init__(self, place: Place, *, what: str, why: str, wait: float, tell: Callable[[str], None]) -> None:
        self._place, self._what, self._why = place, what, why
        self._wait, self._began = wait, time.monotonic()
        self._told: set[str] = set()
        self._found: list[str] = []
        self.tell = tell

    @property
    def taken_over(self) -> str:
        return "; ".join(self._found)

    def take_record(self) -> Record:
        """Make the record of this operation, in the place of a dead one if need be."""
        records = self._place.records()
        record = new_record(self._what, self._why, self._place.environment)
        while not records.begin(record):
            found = records.current()
            if not found:
                continue  # it ended in between
            verdict = self._place.judged(found[-1])
            if verdict.state != "orphaned":
                self._wait_for(record_obstacle(self._place.stack, found[-1], verdict))
                continue
            successor = record.model_copy(update={"took_over": _as_predecessor(found[-1])})
            if records.take_over(found, successor):
                self._took(_of_record(found[-1], verdict))
                return successor
        return record

    def clear_engine_locks(self, record: Record) -> None:
        """Remove the locks of dead engines, and wait until no other works on the stack."""
        while True:
            judged = self._place.judged_locks(record.predecessors())
            for lock, verdict in judged:
                if verdict.state == "orphaned":
                    remove(self._place.store, lock)
                    self._took(f"took over the engine's lock of {lock.owner}{_since(lock)}, orphaned: {verdict.reason}")
            living = [(lock, verdict) for lock, verdict in judged if verdict.state != "orphaned"]
            if not living:
                return
            self._wait_for(lock_obstacle(self._place.stack, *living[0]))

    def _wait_for(self, obstacle: Obstacle) -> None:
        waited = time.monotonic() - self._began
        left = self._wait - waited
        if left <= 0:
            raise SlipwayError(obstacle.refusal(self._wait))
        if obstacle.key not in self._told:
            self._told.add(obstacle.key)
            self.tell(f"waiting up to {left:.0f} s: {obstacle.problem.what}")
        time.sleep(min(_LOOK_SECONDS, left))

    def _took(self, line: str) -> None:
        self._found.append(line)
        self.tell(line)


@contextlib.contextmanager
def _alive(records: Records, record: Record, tell: Callable[[str], None]) -> Iterator[None]:
    """Give signs of life until the block ends, then give the stack up."""
    over, main = threading.Event(), threading.main_thread().ident or 0

    def beat() -> None:
        while not over.wait(BEAT_SECONDS):
            # A store that does not answer now may do so again; when it does not, others take over, and this one
            # learns of it with the first answer.
            with contextlib.suppress(SlipwayError):
                if not records.beat(record):
                    tell("another operation took the stack over, because no sign of life of this one came; stopping")
                    # To the thread that has to stop: of a process that wakes the kernel may choose another one, and
                    # nobody would wake this one from what it waits for.
                    signal.pthread_kill(main, signal.SIGINT)
                    return

    thread = threading.Thread(target=beat, name="signs-of-life", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        try:
            records.end(record)
        except SlipwayError as error:  # what was done is done; the record is found dead by whoever comes next
            tell(f"the record of this operation stays until the next one: {error.problems[0].what}")


def _as_predecessor(entry: Entry) -> Predecessor | None:
    return Predecessor(record=entry.record, seen=entry.seen) if entry.record else None


def _of_record(entry: Entry, verdict: Verdict) -> str:
    if entry.record is None:
        return f"took over a record that cannot be read ({entry.name}), orphaned: {verdict.reason}"
    return (
        f"took over the lock of {entry.record.owner}, {entry.record.does} since {date(entry.record.since)}, "
        f"orphaned: {verdict.reason}"
    )


def _since(lock: EngineLock) -> str:
    return f" since {date(lock.since)}" if lock.since else ""


def _to_stderr(line: str) -> None:
    typer.echo(line, err=True)
