"""What the engine itself knows of every update of a stack: what `pulumi stack history` prints.

Owns: asking for it, the form of one update, and giving each a number where the backend gives none. Does not own: what
an update was for (see `cli/history`), or the state after it (see `checkpoints`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cli.stack import last_words
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.stack import Engine

__all__ = ["Update", "update_of", "updates_of"]

_ALL = 1_000_000  # updates on the one page that is asked for


@dataclass(frozen=True, kw_only=True)
class Update:
    """One update, preview aside, as the engine tells it."""

    number: int
    """1 for the oldest; Pulumi Cloud's own version there."""
    kind: str
    """The engine's: update, refresh, destroy, import, …"""
    result: str
    """succeeded, failed or in-progress."""
    began: datetime
    ended: datetime | None
    message: str
    environment: Mapping[str, str]
    """What the engine noted of the machine, the source and the CI system."""
    changes: Mapping[str, int]
    """Resources by what happened to them."""

    @property
    def seconds(self) -> float | None:
        """How long it took; None while it runs."""
        return (self.ended - self.began).total_seconds() if self.ended else None


def updates_of(engine: Engine) -> list[Update]:
    """Every update of the stack, oldest first, as the engine tells them.

    Raises:
        SlipwayError: when the engine cannot tell.
    """
    done = engine.ask("stack", "history", "--json", "--page-size", str(_ALL), "--page", "1")
    if done.returncode != 0:
        raise SlipwayError(
            Problem(
                f"the engine cannot tell the history of stack {engine.short} ({last_words(done)})",
                "it is not known what was deployed",
                "pulumi login where the state is kept, then: pulumi stack ls",
            )
        )
    # The engine prints null, or a sentence, for a stack without updates.
    told = json.loads(done.stdout) if done.stdout.lstrip().startswith("[") else []
    oldest_first = list(reversed(told))
    return [update_of(number, each) for number, each in enumerate(oldest_first, 1)]


def update_of(position: int, told: Mapping[str, Any]) -> Update:
    """One update as the engine prints it, or as it keeps it (times are seconds of the epoch then)."""
    began = _moment(told.get("startTime"))
    ended = _moment(told.get("endTime"))
    return Update(
        number=told.get("version") or position,  # a self-managed backend says 0 of all of them
        kind=told["kind"],
        result=told.get("result", "in-progress"),
        began=began or datetime.fromisoformat("1970-01-01T00:00:00+00:00"),
        ended=ended if ended and began and ended >= began else None,
        message=told.get("message") or "",
        environment=told.get("environment") or {},
        changes=told.get("resourceChanges") or {},
    )


def _moment(told: str | int | None) -> datetime | None:
    if not told:
        return None
    return datetime.fromtimestamp(told, UTC) if isinstance(told, int) else datetime.fromisoformat(told)
