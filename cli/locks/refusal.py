"""What is said when somebody else works on the stack.

Owns: those errors and lines. Does not own: when they are told (see `operation`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from cli.wording import ago
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from cli.locks.engine_locks import EngineLock
    from cli.locks.judging import Verdict
    from cli.locks.records import Entry

__all__ = ["Obstacle", "at_the_service", "conflict", "date", "lock_obstacle", "moment", "record_obstacle"]

_MEANING = "two at once would undo each other, so nothing was begun"
# The engine's own words: pkg/backend/diy/lock.go, and for Pulumi Cloud pkg/backend/backenderr (ConflictingUpdateError).
_LOCKED = "the stack is currently locked by"
_CONFLICT = re.compile(r"another update is currently in progress|/update-conflicts/", re.IGNORECASE)


class Obstacle(NamedTuple):
    """What is in the way of an operation."""

    key: str
    """Different for another one."""
    problem: Problem
    """Who, what, why, since when, whether it lives, and what to do about it."""

    def refusal(self, waited: float) -> Problem:
        """The error after `waited` seconds."""
        if not waited:
            return self.problem
        return self.problem._replace(meaning=f"waited {waited:.0f} s; {self.problem.meaning}")


def moment(time: datetime) -> str:
    """A time, and how long ago that was."""
    return f"{date(time)} ({ago(time.isoformat(), datetime.now(UTC))})"


def date(time: datetime) -> str:
    """A time as it is kept."""
    return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def record_obstacle(stack: str, entry: Entry, verdict: Verdict) -> Obstacle:
    """An operation of Slipway that lives."""
    record = entry.record
    if record is None:
        problem = Problem(
            f"stack {stack} is held by somebody whose record cannot be read ({entry.name}; {verdict.reason})",
            _MEANING,
            "use the version of Slipway that wrote it, or wait a minute, then run it again",
        )
    else:
        run = f" ({record.run.url})" if record.run else ""
        problem = Problem(
            f"stack {stack} is held by {record.owner}{run}: {record.does}, since {moment(record.since)}; "
            f"{verdict.reason}",
            _MEANING,
            "wait for it to end (slipway lock shows it), or raise lockWait, then run it again",
        )
    # not by its id: an operation that ends has a second one for a moment (see records)
    key = f"{record.owner} {record.does} {record.since.isoformat()}" if record else entry.id
    return Obstacle(key, problem)


def lock_obstacle(stack: str, lock: EngineLock, verdict: Verdict) -> Obstacle:
    """A run of the engine that lives, or may do so."""
    since = f", since {moment(lock.since)}" if lock.since else f" ({lock.name})"
    sure = f"; once you are sure that it is gone: pulumi cancel --yes --stack {stack}"
    problem = Problem(
        f"stack {stack} is locked by a run of pulumi of {lock.owner}{since}; {verdict.reason}",
        _MEANING,
        f"wait for it to end, then run it again{sure if verdict.state == 'unknown' else ''}",
    )
    return Obstacle(lock.name, problem)


def conflict(said: str) -> Problem | None:
    """The error for what an engine said that met another one's lock, of whatever backend; None for anything else."""
    if _LOCKED in said:
        by = re.search(r"created by (.+)", said)
        return Problem(
            f"the stack is locked by another run of pulumi{f' ({by[1].strip()})' if by else ''}",
            _MEANING,
            "wait for it to end, then run it again (slipway lock shows whether it lives)",
        )
    if _CONFLICT.search(said):
        return Problem(
            "another update of the stack is in progress",
            _MEANING,
            "wait for it to end, then run it again; once you are sure that it is gone: pulumi cancel --yes",
        )
    return None


def at_the_service(stack: str) -> SlipwayError:
    """The error of asking for the locks of a stack at Pulumi Cloud."""
    return SlipwayError(
        Problem(
            f"the state of stack {stack} is at Pulumi Cloud, which keeps the lock itself",
            "it shows there who works on the stack, and cannot be asked from here",
            f"pulumi console --stack {stack}; pulumi cancel --yes --stack {stack} once you are sure that it is gone",
        )
    )
