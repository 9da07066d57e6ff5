"""Slipway's own record of the operation that works on a stack, kept beside the engine's objects.

Owns: the record's form, that at most one operation has it, its sign of life, and handing it to the next. Does not own:
whether its operation still lives (see `judging`), or the engine's locks, which stay what keeps two engines apart.

The objects, below `.slipway/operations/PROJECT/` in the backend:

- `STACK.json`: the record of the operation that has the stack. It is made only where there is none, and never changed.
- `STACK/ID.alive.json`: written anew every few seconds by the operation ID; its age, by the store's clock, counts.
- `STACK/ID.next.json`: who comes after ID, made only where there is none, so that one of several who find ID dead goes
  on. Whoever made it looks again before believing it, and then puts its own record in the place of the old one.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from cli.locks.judging import Operation, Verdict
from cli.locks.machine import process, this_machine
from cli.locks.objects import Found, create, delete, look_up, modified, reporting
from cli.wording import plain
from components.origin import actor, run_url

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from obstore.store import ObjectStore

__all__ = ["Entry", "Predecessor", "Record", "Records", "Run", "new_record"]


class Run(BaseModel):
    """The CI run of an operation; repository and numbers are GitHub's, and empty elsewhere."""

    model_config = ConfigDict(frozen=True)

    url: str
    repository: str = ""
    id: int = 0
    attempt: int = 0


class Record(BaseModel):
    """An operation: who, where, what, why, since when."""

    model_config = ConfigDict(frozen=True)

    contract: int = 1
    """A change of the form that a reader cannot ignore raises it."""
    id: str
    actor: str
    hostname: str
    boot: str
    namespace: str
    pid: int
    mark: str
    """With boot and pid: this very process, and none that got its number later."""
    what: str
    """up, rollback, promotion, …"""
    why: str
    since: AwareDatetime
    run: Run | None = None
    took_over: Predecessor | None = None
    """Whom this one found dead."""

    @property
    def owner(self) -> str:
        """Whose it is, in words."""
        return plain(f"{self.actor} (pid {self.pid})")

    def predecessors(self) -> list[Operation]:
        """The operations that were found dead one after the other."""
        found = []
        before = self.took_over
        while before:
            dead = Verdict("orphaned", f"the operation that it was part of is over ({before.record.does})")
            found.append(Operation(before.record, before.seen, dead))
            before = before.record.took_over
        return found

    @property
    def does(self) -> str:
        """What and why, in words."""
        return plain(f"{self.what}, {self.why}" if self.why else self.what)


class Predecessor(BaseModel):
    """An operation that was found dead: its engine may have left a lock."""

    model_config = ConfigDict(frozen=True)

    record: Record
    seen: AwareDatetime
    """Its last sign of life."""


class Entry(NamedTuple):
    """A record as it was found."""

    name: str
    """Of its object."""
    id: str
    record: Record | None
    """None when it cannot be read."""
    seen: datetime
    """Its operation's last sign of life."""


def new_record(what: str, why: str, environment: Mapping[str, str]) -> Record:
    """A record of this process."""
    machine, pid = this_machine(), os.getpid()
    own = process(pid)
    return Record(
        id=uuid.uuid4().hex,
        actor=actor(),
        hostname=machine.hostname,
        boot=machine.boot,
        namespace=machine.namespace,
        pid=pid,
        mark=own.mark if own else "",
        what=what,
        why=" ".join(why.split()),
        since=datetime.now(UTC),
        run=_run(environment),
    )


def _run(environment: Mapping[str, str]) -> Run | None:
    """https://docs.github.com/actions/reference/variables-reference."""
    url = run_url()
    if not url:
        return None
    number = environment.get("GITHUB_RUN_ID", "")
    attempt = environment.get("GITHUB_RUN_ATTEMPT", "")
    return Run(
        url=url,
        repository=environment.get("GITHUB_REPOSITORY", "") if number else "",
        id=int(number) if number.isdigit() else 0,
        attempt=int(attempt) if attempt.isdigit() else 0,
    )


class Records:
    """The records of one stack. Every method raises `SlipwayError` when the store does not answer."""

    def __init__(self, store: ObjectStore, project: str, stack: str) -> None:
        self._store = store
        self._folder = f".slipway/operations/{project}/{stack}"

    def current(self) -> list[Entry]:
        """The record, then whoever was about to come after it; the last one has the stack. Empty when nobody has."""
        with reporting("read"):
            return self._chain()

    def now(self) -> datetime:
        """The time by the store's clock, which those of other machines need not follow."""
        name = f"{self._folder}/{uuid.uuid4().hex}.clock.json"
        with reporting("written"):
            self._store.put(name, b"{}")
            now = modified(self._store, name)
            delete(self._store, name)
        return now or datetime.now(UTC)

    def begin(self, record: Record) -> bool:
        """Take the stack if nobody has it; whether that is so."""
        with reporting("written"):
            return create(self._store, self._record, _bytes(record))

    def take_over(self, found: Sequence[Entry], record: Record) -> bool:
        """Take the stack from the last of `found`, which is dead; False when somebody was quicker."""
        claim = self._next(found[-1].id)
        with reporting("written"):
            if not create(self._store, claim, _bytes(record)):
                return False
            if [entry.id for entry in self._chain()] != [*(entry.id for entry in found), record.id]:
                delete(self._store, claim)  # it was found in what had ended meanwhile
                return False
            self._store.put(self._record, _bytes(record))
            for entry in found:
                delete(self._store, self._alive(entry.id))
                delete(self._store, self._next(entry.id))
        return True

    def beat(self, record: Record) -> bool:
        """Give a sign of life; False when the stack is somebody else's by now."""
        with reporting("written"):
            self._store.put(self._alive(record.id), b"{}")
            chain = self._chain()
            if not chain:  # somebody removed it by hand
                return create(self._store, self._record, _bytes(record))
        return chain[-1].id == record.id

    def end(self, record: Record) -> None:
        """Give the stack up; what somebody else took over meanwhile stays."""
        # Whoever finds this one dead just now must not come in between.
        last = record.model_copy(update={"id": uuid.uuid4().hex, "took_over": None})
        with reporting("written"):
            if create(self._store, self._next(record.id), _bytes(last)):
                chain = self._chain()
                if [entry.id for entry in chain] == [record.id, last.id]:
                    delete(self._store, self._record)
                delete(self._store, self._next(record.id))
            delete(self._store, self._alive(record.id))

    # --- objects

    @property
    def _record(self) -> str:
        return f"{self._folder}.json"

    def _alive(self, identifier: str) -> str:
        return f"{self._folder}/{identifier}.alive.json"

    def _next(self, identifier: str) -> str:
        return f"{self._folder}/{identifier}.next.json"

    def _chain(self) -> list[Entry]:
        entries: list[Entry] = []
        name = self._record
        while found := look_up(self._store, name):
            entry = self._entry(name, found)
            entries.append(entry)
            name = self._next(entry.id)
        return entries

    def _entry(self, name: str, found: Found) -> Entry:
        identifier, record = _parsed(found.content)
        alive = modified(self._store, self._alive(identifier))
        return Entry(name, identifier, record, max(found.modified, alive or found.modified))


def _bytes(record: Record) -> bytes:
    return record.model_dump_json(indent=2).encode()


def _parsed(content: bytes) -> tuple[str, Record | None]:
    """The record and its id. What cannot be read has one too, so that it can be taken over like any other."""
    found: Any = None
    try:
        found = json.loads(content)
        record = Record.model_validate(found)
    except (ValidationError, ValueError):
        known = found.get("id") if isinstance(found, dict) else None
        readable = isinstance(known, str) and known.isalnum()
        return (str(known) if readable else hashlib.sha256(content).hexdigest()[:32]), None
    return record.id, record
