"""The history as data: what `slipway history --json` prints (cli/contract/history.schema.json) and its table shows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.history.entry import Entry
    from cli.history.stack_history import StackHistory

__all__ = ["CONTRACT", "entry_document", "history_document"]

CONTRACT = 1
"""Version of the JSON form; a change that a reader cannot ignore raises it."""


def history_document(history: StackHistory, entries: Sequence[Entry]) -> dict[str, Any]:
    """`entries` of a stack's history, newest first, and what its releases are now."""
    return {
        "contract": CONTRACT,
        "stack": history.stack,
        "project": history.project,
        "live": history.live,
        "validated": next(reversed(history.validated), None),
        "entries": [entry_document(history, entry) for entry in reversed(entries)],
        "errors": [problem.to_json() for error in history.errors for problem in error.problems],
    }


def entry_document(history: StackHistory, entry: Entry) -> dict[str, Any]:
    """One entry; `back` says how its release could come back now."""
    way = history.way_back(entry.release)
    return {
        "number": entry.number,
        "kind": entry.kind,
        "result": entry.result,
        "at": _text(entry.at),
        "seconds": entry.seconds,
        "release": entry.release,
        "commit": entry.commit,
        "branch": entry.branch,
        "images": dict(entry.images),
        "actor": entry.actor,
        "run": entry.run,
        "message": entry.message,
        "reason": entry.reason,
        "returned": entry.returned,
        "validated": entry.release in history.validated,
        "back": {"kind": way.kind, "reason": way.reason},
        "hosts": {name: _host(report) for name, report in entry.hosts.items()},
        "changes": dict(entry.changes),
    }


def _host(report: Any) -> dict[str, Any]:  # noqa: ANN401  # a mapping of JSON values
    known = {name: report.get(name) for name in ("outcome", "release", "previous", "seconds")}
    return {**known, "reason": report.get("reason", ""), "touched": list(report.get("touched") or [])}


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
