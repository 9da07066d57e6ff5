"""What `slipway lock` prints for people.

Owns: the printed form. Does not own: what is in it (see `document`).
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from cli.locks.refusal import moment
from cli.wording import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["lines"]

_COMMANDS = {
    "held": "wait for it to end; a deployment waits by itself for as long as lockWait says",
    "orphaned": "the next slipway up takes it over; before a plain pulumi up: slipway lock --release --stack {}",
    "unknown": "wait for it to end; once you are sure that it is gone: pulumi cancel --yes --stack {}",
}


def lines(document: Mapping[str, Any]) -> Iterator[str]:
    """The document in lines."""
    stack, state = document["stack"], document["state"]
    yield f"stack {stack} of project {document['project']}: {state}"
    if operation := document["operation"]:
        yield ""
        yield from (f"  {plain(line)}" for line in _operation(operation))
    for lock in document["locks"]:
        yield ""
        yield from (f"  {plain(line)}" for line in _lock(lock))
    if state != "free":
        yield ""
        yield _COMMANDS[state].format(stack)


def _operation(operation: Mapping[str, Any]) -> Iterator[str]:
    record = operation["record"]
    if record is None:
        yield f"a record that cannot be read: {operation['object']}"
    else:
        yield f"{record['what']} by {record['actor']} (pid {record['pid']} on {record['hostname']})"
        if record["why"]:
            yield f"  why    {record['why']}"
        yield f"  since  {_when(record['since'])}"
        if record["run"]:
            yield f"  run    {record['run']}"
    yield f"  seen   {_when(operation['seen'])}"
    yield f"  {operation['state']}: {operation['reason']}"


def _lock(lock: Mapping[str, Any]) -> Iterator[str]:
    owner = lock["owner"]
    if owner is None:
        yield f"a lock of pulumi that cannot be read: {lock['object']}"
    else:
        yield f"pulumi by {owner['user']}@{owner['hostname']} (pid {owner['pid']})"
        yield f"  since  {_when(lock['since'])}"
    yield f"  {lock['state']}: {lock['reason']}"


def _when(text: str) -> str:
    return moment(datetime.fromisoformat(text))
