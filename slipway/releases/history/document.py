"""The history as data: what `slipway history` and `slipway show` print (slipway/cli/schemas)."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

from slipway.contract.outcomes import DEPLOYED, REPAIRED, RETURN, UNCHANGED
from slipway.contract.problems import SlipwayError
from slipway.releases.backend.checkpoints import deployment_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from slipway.releases.history.entries import HistoryEntry
    from slipway.releases.history.stack_history import StackHistory

__all__ = ["detail_document", "history_document"]

_OWN = "pulumi:pulumi:Stack"  # changes with every update, because its outputs do
_FORGOTTEN = "not known: a host's own record begins later"
_SHOWN = (
    "number", "kind", "result", "seconds", "release", "commit", "branch", "actor", "run", "message", "reason",
    "returned",
)  # fmt: skip


def history_document(history: StackHistory, entries: Sequence[HistoryEntry]) -> dict[str, Any]:
    """`entries` of a stack's history, newest first, and what its releases are now."""
    return {
        "contract": 1,
        "stack": history.stack,
        "project": history.project,
        "live": history.live,
        "validated": next(reversed(history.validated), None),
        "entries": [_entry(history, entry) for entry in reversed(entries)],
        "errors": [problem.of_stack(history.stack).to_json() for error in history.errors for problem in error.problems],
    }


def detail_document(history: StackHistory, entry: HistoryEntry) -> dict[str, Any]:
    """`entry` with the engine's resources and the hosts' reports."""
    state, shown = _state(history, entry.number), _entry(history, entry)
    earlier = [each.number for each in history.entries if each.number and entry.number and each.number < entry.number]
    before = _state(history, earlier[-1]) if earlier else {}
    deployment = deployment_in(state) if entry.proven and entry.kind != RETURN else None
    asked = {
        name
        for name, host in entry.hosts.items()
        if host.get("outcome") != UNCHANGED or host.get("seconds") is not None
    }
    reports = ((deployment or {}).get("report") or {}).items()
    return {
        "contract": 1,
        "stack": history.stack,
        "entry": {**shown, "reason": shown["reason"] or _no_reason(history, entry)},
        "resources": sorted(_changes(before, state), key=lambda change: change["name"]) if state else [],
        "reports": {host: report for host, report in reports if host in asked},
    }


def _no_reason(history: StackHistory, entry: HistoryEntry) -> str:
    """Why it is not said why an update failed: the backend keeps no word of it, only hosts do."""
    if entry.result != "failed":
        return ""
    if history.errors or not history.hosts:
        return "not known: not every host was asked, and the backend keeps none"
    return "no host recorded one: it failed in a build or a check, or was cut off, and only its own output says how"


def _interrupted(history: StackHistory, entry: HistoryEntry) -> str:
    """What hosts know of an update whose end no word was kept of."""
    done = [host for host, report in entry.hosts.items() if report.get("outcome") in (DEPLOYED, REPAIRED)]
    if entry.result != "failed":
        return ""
    if done:
        return f"interrupted, but done on {', '.join(done)}"
    return _FORGOTTEN if history.hosts and not history.errors and not history.recorded(entry) else ""


def _entry(history: StackHistory, entry: HistoryEntry) -> dict[str, Any]:
    """One entry; `back` says how its release could be rolled back to now."""
    way = history.way_back(entry.release)
    return {
        **{name: getattr(entry, name) for name in _SHOWN},
        "reason": entry.reason or _interrupted(history, entry),
        "at": f"{entry.at.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "images": dict(entry.images),
        "validated": entry.release in history.validated,
        "back": {"kind": way.kind, "reason": way.reason},
        "hosts": {name: _host(report) for name, report in entry.hosts.items()},
        "changes": dict(entry.changes),
    }


def _host(report: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: report.get(name) for name in ("outcome", "release", "previous", "seconds")}
    return {**known, "reason": report.get("reason", ""), "touched": list(report.get("touched") or [])}


def _state(history: StackHistory, number: int | None) -> Mapping[str, Any]:
    try:
        return history.checkpoints.state(number) if number else {}
    except SlipwayError:
        return {}  # the backend has dropped it; the rest is shown all the same


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The resources that differ between two states, components and providers aside: they only hold others."""
    old, new = ({each["urn"]: each for each in state.get("resources") or ()} for state in (before, after))
    for urn in {*old, *new}:
        was, now = old.get(urn), new.get(urn)
        known = now or was or {}
        if not known.get("custom") or known["type"] == _OWN or known["type"].startswith("pulumi:providers:"):
            continue
        if was is None or now is None:
            what = "deleted" if now is None else "created"
        elif was.get("modified") != now.get("modified"):  # unlike inputs: their secrets are encrypted anew each time
            what = "replaced" if was.get("id") != now.get("id") else "updated"
        else:
            continue
        yield {"name": urn.rsplit("::", 1)[-1], "type": known["type"], "what": what}
