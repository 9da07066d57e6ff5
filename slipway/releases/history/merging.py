"""Puts the engine's updates and the hosts' ledgers together to one history. Pure.

Updates of a stack never overlap, so a ledger line belongs to the update during which it was written. Lines without one
are events of their own: rollbacks by a watch, and what happened before the backend's history begins.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from slipway.contract.outcomes import DEPLOY, DEPLOYED, FAILED, REPAIR, REPAIRED, RETURNED, UNCHANGED, WATCH
from slipway.releases.history.entry import AUTOMATIC_ROLLBACK, Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from slipway.releases.backend.checkpoints import ReleaseRecords, Update
    from slipway.releases.history.ledgers import LedgerLine

__all__ = ["merged"]

_SLACK = timedelta(seconds=2)  # both sides report whole seconds
_TOGETHER = timedelta(seconds=120)  # hosts of a fleet record one event at slightly different times
_EVENTS = (DEPLOYED, UNCHANGED, REPAIRED, FAILED, RETURNED)  # lines that are more than a note on a release


def merged(
    updates: Sequence[Update], records: Mapping[int, ReleaseRecords], lines: Iterable[LedgerLine]
) -> list[Entry]:
    """The history, oldest first.

    Args:
        updates: oldest first.
        records: by number, what is recorded in the state after the update.
        lines: of all hosts.
    """
    own: dict[int | None, list[LedgerLine]] = {None: []}
    for line in sorted((line for line in lines if line.outcome in _EVENTS), key=lambda line: line.at):
        update = _during(line, updates)
        own.setdefault(update.number if update else None, []).append(line)
    entries = [_of_update(update, records.get(update.number), own.get(update.number, [])) for update in updates]
    return sorted([*entries, *_of_hosts(own[None])], key=lambda entry: entry.at)


def _during(line: LedgerLine, updates: Sequence[Update]) -> Update | None:
    """The update in whose time the line was written; never for what a watch did by itself."""
    if line.actor == WATCH:
        return None
    for update in reversed(updates):
        if update.began - _SLACK <= line.at:
            return update if line.at <= (update.ended or datetime.now(UTC)) + _SLACK else None
    return None


def _of_update(update: Update, records: ReleaseRecords | None, lines: Sequence[LedgerLine]) -> Entry:
    entry = Entry(
        number=update.number,
        kind="deploy" if update.kind == "update" else update.kind.replace("-", " "),
        result=update.result.replace("-", " "),
        at=update.began,
        seconds=update.seconds,
        actor=update.environment.get("git.author", "") if update.environment.get("ci.system") else "",
        run=update.environment.get("ci.build.url", ""),
        message=update.message,
        changes=update.changes,
        hosts={line.host: _of_host(line) for line in lines if line.outcome != "returned"},
    )
    succeeded = update.result == "succeeded"
    about = _fresh(update, records.deployed if succeeded else records.attempted) if records else None
    if about:
        entry = _with(entry, about)
    if lines:
        last = lines[-1]
        failed = next((line for line in lines if line.outcome == "failed"), None)
        attempted = failed or next((line for line in lines if line.outcome != RETURNED), last)
        returned = next((line.release for line in reversed(lines) if line.outcome == RETURNED), None)
        entry = replace(
            entry,
            release=entry.release or attempted.release,
            actor=entry.actor or last.actor,
            run=entry.run or last.run,
            kind=attempted.kind if not about and attempted.kind and entry.kind == DEPLOY else entry.kind,
            reason=failed.reason if failed else "",
            returned=returned,
        )
    outcomes = {str(host.get("outcome")) for host in entry.hosts.values()}
    if entry.kind == DEPLOY and outcomes and outcomes <= {REPAIRED, UNCHANGED} and REPAIRED in outcomes:
        entry = replace(entry, kind=REPAIR)
    return entry


def _fresh(update: Update, about: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """`about` if this update wrote it: a failed one, or one of another kind, leaves what an earlier one wrote."""
    if about is None or update.kind != "update":
        return None
    return about if datetime.fromisoformat(about["at"]) >= update.began - _SLACK else None


def _with(entry: Entry, about: Mapping[str, Any]) -> Entry:
    hosts = {name: dict(report) for name, report in (about.get("hosts") or {}).items()}
    return replace(
        entry,
        kind=about["kind"],
        release=about["release"],
        commit=about["commit"],
        branch=about["branch"],
        images=about["images"],
        irreversible=tuple(about["irreversible"]),
        actor=about["actor"],
        run=about["run"] or entry.run,
        hosts=hosts or entry.hosts,
    )


def _of_host(line: LedgerLine) -> dict[str, Any]:
    return {
        "outcome": line.outcome,
        "release": line.release,
        "previous": line.previous,
        "seconds": line.seconds,
        **({"reason": line.reason} if line.reason else {}),
    }


def _of_hosts(lines: Sequence[LedgerLine]) -> list[Entry]:
    """What happened on hosts without an update; the same on several hosts within moments is one event."""
    groups: list[list[LedgerLine]] = []
    for line in lines:
        for group in reversed(groups):
            first = group[0]
            same = (line.release, line.outcome, line.kind) == (first.release, first.outcome, first.kind)
            if same and line.at - first.at <= _TOGETHER and line.host not in {each.host for each in group}:
                group.append(line)
                break
        else:
            groups.append([line])
    return [_of_group(group) for group in groups]


def _of_group(group: Sequence[LedgerLine]) -> Entry:
    first = group[0]
    kinds = {"returned": AUTOMATIC_ROLLBACK, "repaired": "repair"}
    return Entry(
        number=None,
        kind=kinds.get(first.outcome) or first.kind or DEPLOY,
        result="failed" if first.outcome == "failed" else "succeeded",
        at=first.at,
        seconds=max((line.seconds for line in group if line.seconds is not None), default=None),
        release=first.release,
        actor=first.actor,
        run=first.run,
        reason=first.reason,
        hosts={line.host: _of_host(line) for line in group},
    )
