"""What the engine itself knows of every update of a stack: `pulumi stack history`.

Owns: asking for it, and giving every update a number where the backend gives none. Does not own: what an update was for
(see `cli/history`), or the state after it (see `checkpoints`).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from cli.stack import last_words
from components.errors import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.stack import Engine

__all__ = ["Update", "updates_of"]

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
    """Every update of the stack, oldest first.

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
    return [_update(number, each) for number, each in enumerate(oldest_first, 1)]


def _update(position: int, told: Mapping[str, Any]) -> Update:
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


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
