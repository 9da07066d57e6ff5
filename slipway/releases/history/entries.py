"""The events of a stack's life, merged from the engine's updates and the hosts' ledgers. Pure.

Updates of a stack never overlap, so a ledger line belongs to the update during which it was written; where one follows
another within moments, its release and its outcome say which. Lines without one are events of their own: rollbacks by a
watch, and what happened before the backend's history begins.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from slipway.contract.outcomes import (
    DEPLOY,
    DEPLOYED,
    DEPLOYING,
    FAILED,
    REPAIR,
    REPAIRED,
    RETURN,
    RETURNED,
    UNCHANGED,
    WATCH,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from slipway.releases.backend.checkpoints import ReleaseRecords, StackUpdate
    from slipway.releases.history.ledgers import LedgerLine

__all__ = ["HistoryEntry", "merged"]

_SLACK = timedelta(seconds=2)  # both sides report whole seconds
_TOGETHER = timedelta(seconds=120)  # hosts of a fleet record one event at slightly different times
_EVENTS = (DEPLOYED, UNCHANGED, REPAIRED, FAILED, RETURNED)  # lines that are more than a note on a release


@dataclass(frozen=True, kw_only=True)
class HistoryEntry:
    """What happened, when, by whom, with what result."""

    number: int | None
    """The update's; None for what happened without the engine, or is no longer in its history."""
    kind: str
    """deploy, rollback, promotion, repair (of drift), automatic rollback; else the engine's: destroy, refresh, …"""
    result: str
    """succeeded, failed, in progress, or interrupted."""
    at: datetime
    seconds: float | None = None
    release: str | None = None
    """The one deployed, or meant to be; for an automatic rollback the one that was rolled back to."""
    commit: str = ""
    branch: str = ""
    images: Mapping[str, str] = field(default_factory=dict)
    """Service → image by digest."""
    actor: str = ""
    run: str = ""
    """Address of the CI run; empty outside of CI."""
    message: str = ""
    reason: str = ""
    """Why it failed, or why it was rolled back."""
    returned: str | None = None
    """The release that a failed update went back to, where that is not the one that was live before."""
    irreversible: tuple[str, ...] = ()
    """Services whose migration of this release cannot be undone."""
    hosts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Host → outcome, reason, seconds (none where it was not asked, as nothing was to do), touched."""
    changes: Mapping[str, int] = field(default_factory=dict)
    """The engine's resources by what happened to them."""

    @property
    def ended(self) -> datetime:
        """When it was over, as far as that is known; good for two seconds, as a host's clock is."""
        return self.at + timedelta(seconds=self.seconds or 0) + _SLACK

    @property
    def proven(self) -> bool:
        """Whether its release ran well at its end."""
        return self.result == "succeeded" and self.release is not None and self.kind in (*DEPLOYING, RETURN)


def merged(
    updates: Sequence[StackUpdate], records: Mapping[int, ReleaseRecords], lines: Iterable[LedgerLine]
) -> list[HistoryEntry]:
    """The history, as `updates` oldest first, of them, the records in the states after them, and all hosts' lines."""
    earlier = [None, *(records.get(update.number) for update in updates)]
    abouts = {
        update.number: _about(update, records.get(update.number), before)
        for update, before in zip(updates, earlier, strict=False)
    }
    own: dict[int | None, list[LedgerLine]] = {}
    for line in sorted((line for line in lines if line.outcome in _EVENTS), key=lambda line: line.at):
        own.setdefault(_update_of(line, updates, abouts), []).append(line)
    entries = [
        _of_update(update, abouts[update.number], own.get(update.number, []), _hosts_in(before))
        for update, before in zip(updates, earlier, strict=False)
    ]
    return sorted([*entries, *_of_hosts(own.get(None, []))], key=lambda entry: entry.at)


def _update_of(
    line: LedgerLine, updates: Sequence[StackUpdate], abouts: Mapping[int, Mapping[str, Any] | None]
) -> int | None:
    """The number of the update that wrote the line; none for what a watch did by itself.

    The clocks of host and engine are good for two seconds, and one update may begin within them after another: the one
    about this release comes first, then the one that ended as the line says, then the nearest.
    """

    def likeness(update: StackUpdate) -> tuple[bool, bool, timedelta, int]:
        same = (abouts[update.number] or {}).get("release") == line.release and line.outcome != RETURNED
        alike = (update.result == "succeeded") == (line.outcome not in (FAILED, RETURNED))
        away = max(update.began - line.at, line.at - (update.ended or line.at), timedelta())
        return same, alike, -away, update.number

    def over(update: StackUpdate, following: datetime) -> datetime:
        """When it wrote no more: a host finishes what it began where the engine was ended meanwhile."""
        alone = update.result != "succeeded" and (abouts[update.number] or {}).get("release") == line.release
        return following if alone or not update.ended else update.ended

    nexts = [*(update.began for update in updates[1:]), datetime.now(UTC)]
    ends = zip(updates, map(over, updates, nexts), strict=True)
    during = [each for each, end in ends if each.began - _SLACK <= line.at <= end + _SLACK]
    return max(during, key=likeness).number if during and line.actor != WATCH else None


def _about(
    update: StackUpdate, records: ReleaseRecords | None, before: ReleaseRecords | None
) -> Mapping[str, Any] | None:
    """What the update deployed, or meant to; not what an earlier one left in the state.

    A failed update may end before it writes anything, and one of another kind writes nothing.
    """
    kept = "deployed" if update.result == "succeeded" else "attempted"
    about: Mapping[str, Any] | None = records and getattr(records, kept)
    if about is None or update.kind != "update" or about == (before and getattr(before, kept)):
        return None
    return about if datetime.fromisoformat(about["at"]) >= update.began - _SLACK else None


def _hosts_in(records: ReleaseRecords | None) -> Mapping[str, Any]:
    """What the hosts had reported by then."""
    return ((records and records.deployed) or {}).get("hosts") or {}


def _ran(host: str, report: Mapping[str, Any], lines: Sequence[LedgerLine], before: Mapping[str, Any]) -> bool:
    """Whether the update ran the host's deployment: else the state holds what an earlier one reported, to the ms."""
    return report != before.get(host) or any(line.host == host for line in lines)


def _of_update(
    update: StackUpdate, about: Mapping[str, Any] | None, lines: Sequence[LedgerLine], before: Mapping[str, Any]
) -> HistoryEntry:
    entry = HistoryEntry(
        number=update.number,
        kind=DEPLOY if update.kind == "update" else update.kind.replace("-", " "),
        result=update.result.replace("-", " "),
        at=update.began,
        seconds=update.seconds,
        actor=update.environment.get("git.author", "") if update.environment.get("ci.system") else "",
        run=update.environment.get("ci.build.url", ""),
        message=update.message,
        changes=update.changes,
        hosts={line.host: _of_host(line) for line in lines if line.outcome != RETURNED},
    )
    if about:
        entry = replace(
            entry,
            **{name: about[name] for name in ("kind", "release", "commit", "branch", "images", "actor")},
            irreversible=tuple(about["irreversible"]),
            run=about["run"] or entry.run,
            hosts={
                host: report if _ran(host, report, lines, before) else _left_alone(report)
                for host, report in (about.get("hosts") or entry.hosts).items()
            },
        )
    if lines:
        last = lines[-1]
        failed = next((line for line in lines if line.outcome == FAILED), None)
        attempted = failed or next((line for line in lines if line.outcome != RETURNED), last)
        entry = replace(
            entry,
            release=entry.release or attempted.release,
            actor=entry.actor or last.actor,
            run=entry.run or last.run,
            kind=attempted.kind if not about and attempted.kind and entry.kind == DEPLOY else entry.kind,
            reason=failed.reason if failed else "",
            returned=next((line.release for line in reversed(lines) if line.outcome == RETURNED), None),
        )
    outcomes = {str(host.get("outcome")) for host in entry.hosts.values()}
    if entry.kind == DEPLOY and REPAIRED in outcomes <= {REPAIRED, UNCHANGED}:
        entry = replace(entry, kind=REPAIR)
    return entry


def _left_alone(report: Mapping[str, Any]) -> dict[str, Any]:
    """A host on which nothing was to do, so that the engine did not ask it: no seconds."""
    return {"outcome": UNCHANGED, "release": report.get("release"), "previous": report.get("release")}


def _of_host(line: LedgerLine) -> dict[str, Any]:
    known = {name: getattr(line, name) for name in ("outcome", "release", "previous", "seconds")}
    return {**known, "reason": line.reason} if line.reason else known


def _of_hosts(lines: Sequence[LedgerLine]) -> list[HistoryEntry]:
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


def _of_group(group: Sequence[LedgerLine]) -> HistoryEntry:
    first = group[0]
    return HistoryEntry(
        number=None,
        kind={RETURNED: RETURN, REPAIRED: REPAIR}.get(first.outcome) or first.kind or DEPLOY,
        result="failed" if first.outcome == FAILED else "succeeded",
        at=first.at,
        seconds=max((line.seconds for line in group if line.seconds is not None), default=None),
        release=first.release,
        actor=first.actor,
        run=first.run,
        reason=first.reason,
        hosts={line.host: _of_host(line) for line in group},
    )
