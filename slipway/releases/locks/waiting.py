"""Waiting until no other engine works on a stack, and taking over the lock of one that is gone.

The engine's own lock is what keeps two apart. Of two that start at the same moment it refuses at least one, which then
waits like any other.
"""

from __future__ import annotations

import contextlib
import logging
import random
import re
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from slipway.contract.commands import of_stack
from slipway.contract.problems import Problem, SlipwayError
from slipway.releases.format import ago
from slipway.releases.locks.ci_run import remove_note
from slipway.releases.locks.engine_locks import stack_locks
from slipway.releases.locks.liveness import judge
from slipway.settings.dotenv_file import read_dotenv
from slipway.settings.model import PREFIX, Settings
from slipway.settings.setting_files import project_default, read_stack_file

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from slipway.releases.engine import Engine
    from slipway.releases.locks.engine_locks import EngineLock, StackLocks
    from slipway.releases.locks.liveness import Liveness

__all__ = ["StackLockedError", "conflict", "lock_wait", "locked", "take_over", "when_free", "with_note"]

_LOOK_SECONDS = 1.0  # between the first two looks at what is in the way
_LOOK_SECONDS_AT_MOST = 10.0  # after a long wait: a look may ask GitHub, which counts requests
_CLOUD_SECONDS = 5.0  # between two tries, where the engine alone can see the lock
_MEANING = "two at once would undo each other, so nothing was begun"
# The engine's own words: pkg/backend/diy/lock.go, and for Pulumi Cloud pkg/backend/backenderr (ConflictingUpdateError).
_LOCKED = "the stack is currently locked by"
_CONFLICT = re.compile(r"another update is currently in progress|/update-conflicts/", re.IGNORECASE)


_log = logging.getLogger(__name__)


class StackLockedError(SlipwayError):
    """The engine met another one's lock, and did nothing."""


def when_free(engine: Engine, deployment: Callable[[str], int]) -> int:
    """Deploy once no other engine works on the stack, waiting up to `lockWait` seconds; the deployment's exit code.

    Args:
        engine: the stack's engine.
        deployment: looks at the stack and deploys. Gets what was taken over, in words, for the update's message. Is
            called again, since the stack has changed by then, when it ends in a `StackLockedError`.

    Raises:
        SlipwayError: when somebody else works on it for longer than that, or the backend does not answer.
    """
    locks, patience = stack_locks(engine), lock_wait(engine)
    began, taken, reported = time.monotonic(), list[str](), set[str]()
    while True:
        notes, living = take_over(locks, engine.environment) if locks else ([], [])
        for note in notes:
            _log.warning(note)
        taken += notes
        if living:
            lock, verdict = living[0]
            obstacle, problem, pause = lock.name, locked(engine.stack, lock, verdict), _LOOK_SECONDS
        else:
            try:
                return deployment("; ".join(taken))
            except StackLockedError as error:
                # Two that began together each see the other's lock and give up: not together again.
                pause = (_LOOK_SECONDS if locks else _CLOUD_SECONDS) * random.uniform(1, 2)  # noqa: S311  # no secret
                obstacle, problem = "", error.problems[0]
        waited = time.monotonic() - began
        if waited >= patience:
            so_long = f"waited {patience:.0f} s; " if patience else ""
            raise SlipwayError(problem._replace(meaning=so_long + problem.meaning))
        if obstacle not in reported:
            reported.add(obstacle)
            _log.warning("waiting up to %.0f s: %s", patience - waited, problem.what)
        time.sleep(min(pause * (1 + waited / 10), _LOOK_SECONDS_AT_MOST, patience - waited))


def take_over(locks: StackLocks, environment: Mapping[str, str]) -> tuple[list[str], list[tuple[EngineLock, Liveness]]]:
    """Remove the locks of engines that are gone: what was done, in words, and the locks that stay."""
    notes, living = [], []
    for lock in locks.read():
        verdict = judge(lock, locks, environment)
        if verdict.state == "stale":
            locks.remove(lock)
            remove_note(locks, lock.hostname, lock.pid)
            notes.append(f"took over the lock of {lock.owner} since {lock.when}, stale: {verdict.reason}")
        else:
            living.append((lock, verdict))
    return notes, living


def locked(stack: str, lock: EngineLock, verdict: Liveness) -> Problem:
    """The error for a lock whose engine runs, or may do so: who, since when, and the command if it is gone."""
    since = f"since {lock.when} ({ago(lock.since.isoformat(), datetime.now(UTC))})" if lock.since else f"({lock.name})"
    unknown = verdict.state == "unknown"
    return Problem(
        f"stack {stack} is locked by {lock.owner} {since}; {verdict.reason}",
        f"{_MEANING}; wait for it to end{', or once you are sure that it is gone' if unknown else ''}",
        of_stack("pulumi cancel --yes", stack) if unknown else "run it again, or raise lockWait",
    )


def conflict(said: str, stack: str) -> Problem | None:
    """The error for what an engine said that met another one's lock, of whatever backend; None for anything else."""
    if _LOCKED in said:
        by = re.search(r"created by (.+)", said)
        return Problem(
            f"stack {stack} is locked by another run of pulumi{f' ({by[1].strip()})' if by else ''}",
            _MEANING,
            of_stack("slipway lock", stack),
        )
    if _CONFLICT.search(said):
        return Problem(
            f"another update of stack {stack} is in progress",
            f"{_MEANING}; wait for it to end (`pulumi console` shows it), or once you are sure that it is gone",
            of_stack("pulumi cancel --yes", stack),
        )
    return None


def with_note(message: str, taken_over: str) -> str:
    """A message of an update that also keeps whose lock was taken over."""
    return f"{message} ({taken_over})" if taken_over else message


def lock_wait(engine: Engine) -> float:
    """The setting lockWait, read without the engine; its default where it is no number: the program reports that."""
    name = PREFIX + "LOCK_WAIT"
    stated = read_stack_file(engine.stack_file, engine.project).entries.get("lockWait")
    default = project_default(engine.root, engine.project, "lockWait")
    for value in (engine.environment.get(name), stated, read_dotenv(engine.root / ".env")[0].get(name), default):
        if value not in (None, ""):
            with contextlib.suppress(ValueError):
                return max(0.0, float(str(value)))
    return float(Settings.model_fields["lock_wait"].default)
