"""Who works on a stack, as a document: `slipway lock --json` prints it, and the view shows it.

Owns: its form (cli/contract/lock.schema.json). Does not own: the verdicts (see `judging`). Changes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cli.locks.judging import Operation, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.locks.engine_locks import EngineLock
    from cli.locks.place import Place
    from cli.locks.records import Entry

__all__ = ["lock_document"]

_WORST = ("held", "unknown", "orphaned")


def lock_document(place: Place) -> dict[str, Any]:
    """What holds the stack now.

    Raises:
        SlipwayError: when the backend does not answer.
    """
    chain = place.records().current()
    owner = (chain[-1], place.judged(chain[-1])) if chain else None
    locks = place.judged_locks(_operations(owner))
    states = [verdict.state for _, verdict in ([owner] if owner else []) + locks]
    return {
        "contract": 1,
        "project": place.project,
        "stack": place.stack,
        "checked": _text(datetime.now(UTC)),
        "state": next((state for state in _WORST if state in states), "free"),
        "operation": _operation(*owner) if owner else None,
        "locks": [_lock(lock, verdict) for lock, verdict in locks],
    }


def _operations(owner: tuple[Entry, Verdict] | None) -> Sequence[Operation]:
    """The operation of the record, and those that it took over from."""
    if owner is None or owner[0].record is None:
        return []
    entry, verdict = owner
    assert entry.record is not None  # noqa: S101  # seen above
    return [Operation(entry.record, entry.seen, verdict), *entry.record.predecessors()]


def _operation(entry: Entry, verdict: Verdict) -> dict[str, Any]:
    record = entry.record
    return {
        "object": entry.name,
        "state": verdict.state,
        "reason": verdict.reason,
        "seen": _text(entry.seen),
        "record": record
        and {
            "actor": record.actor,
            "hostname": record.hostname,
            "pid": record.pid,
            "what": record.what,
            "why": record.why,
            "since": _text(record.since),
            "run": record.run.url if record.run else "",
        },
    }


def _lock(lock: EngineLock, verdict: Verdict) -> dict[str, Any]:
    return {
        "object": lock.name,
        "state": verdict.state,
        "reason": verdict.reason,
        "owner": lock.since and {"user": lock.user, "hostname": lock.hostname, "pid": lock.pid},
        "since": lock.since and _text(lock.since),
    }


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
