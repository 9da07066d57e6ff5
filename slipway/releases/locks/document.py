"""What `slipway lock` prints, as JSON (slipway/cli/schemas/lock.schema.json) and in lines."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from slipway.contract.redaction import printable
from slipway.releases.format import ago
from slipway.releases.locks.liveness import judge

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.releases.locks.engine_locks import EngineLock, StackLocks
    from slipway.releases.locks.liveness import Liveness

__all__ = ["lines", "lock_document"]

_NEXT = {  # the worst first
    "held": "wait for it to end; a deployment waits by itself for as long as lockWait says",
    "unknown": "wait for it to end; once you are sure that it is gone: pulumi cancel --yes --stack {}",
    "stale": "the next slipway up takes it over; before a plain pulumi up: slipway lock --release --stack {}",
}


def lock_document(locks: StackLocks, environment: Mapping[str, str]) -> dict[str, Any]:
    """What holds the stack now. Raises `SlipwayError` when the backend does not answer."""
    judged = [(lock, judge(lock, locks, environment)) for lock in locks.read()]
    states = {verdict.state for _, verdict in judged}
    return {
        "contract": 2,
        "project": locks.project,
        "stack": locks.stack,
        "checked": _text(datetime.now(UTC)),
        "state": next((state for state in _NEXT if state in states), "free"),
        "locks": [_entry(lock, verdict) for lock, verdict in judged],
    }


def lines(document: Mapping[str, Any]) -> Iterator[str]:
    """The document for people."""
    stack, state = document["stack"], document["state"]
    yield f"stack {stack} of project {document['project']}: {state}"
    for lock in document["locks"]:
        yield ""
        if owner := lock["owner"]:
            yield printable(f"  pulumi by {owner['user']}@{owner['hostname']} (pid {owner['pid']})")
            since = datetime.fromisoformat(lock["since"])
            yield f"    since  {since:%Y-%m-%d %H:%M:%S} UTC ({ago(lock['since'], datetime.now(UTC))})"
        else:
            yield printable(f"  a lock that cannot be read: {lock['object']}")
        yield printable(f"    {lock['state']}: {lock['reason']}")
    if state != "free":
        yield ""
        yield _NEXT[state].format(stack)


def _entry(lock: EngineLock, verdict: Liveness) -> dict[str, Any]:
    return {
        "object": lock.name,
        "state": verdict.state,
        "reason": verdict.reason,
        "owner": lock.since and {"user": lock.user, "hostname": lock.hostname, "pid": lock.pid},
        "since": lock.since and _text(lock.since),
    }


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
