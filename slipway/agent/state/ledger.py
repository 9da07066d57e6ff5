"""The append-only record of what was deployed on this host, a line per outcome (`contract.outcomes`).

Proven lines hold, per service, the configuration hash that was proven.
"""

from __future__ import annotations

import json
from itertools import takewhile
from typing import Any, NamedTuple

from slipway.agent.state.atomic_files import append_line
from slipway.agent.state.journal import read_lines
from slipway.agent.state.stack_dir import moment
from slipway.contract.outcomes import MIGRATED, NOTES, PROVEN, REJECTED, RETURNED, VALIDATED, WATCH, left_by_rollback

__all__ = ["Ledger", "Live", "Proof"]


class Proof(NamedTuple):
    """What was proven of one service."""

    config: str
    image: str
    replicas: int
    completed: bool


class Live(NamedTuple):
    """The release that was proven last."""

    release: str
    convergence: str
    since: str
    services: dict[str, Proof]


class Ledger:
    """One stack's ledger, read once and appended to."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.lines = [line for line in read_lines(path) if isinstance(line.get("outcome"), str) and "release" in line]

    def _proven(self) -> list[dict[str, Any]]:
        return [line for line in self.lines if line["outcome"] in PROVEN]

    @property
    def proofs(self) -> int:
        """How many times a release was proven."""
        return len(self._proven())

    def live(self) -> Live | None:
        """The newest proven release; `since` is when it became live, later repairs of it aside."""
        return _newest(self._proven())

    def before(self) -> Live | None:
        """The newest proven release other than the live one that was not rejected or left by a rollback since."""
        live = self.live()
        excluded = self.left() | {line["release"] for line in self.lines if self.rejection(line["release"]) is not None}
        excluded.add(live.release if live else "")
        return _newest([line for line in self._proven() if line["release"] not in excluded])

    def left(self) -> set[str]:
        """Releases that somebody rolled back from, and that were not deployed again since."""
        return left_by_rollback(
            (str(line["release"]), str(line.get("kind")) * (line["outcome"] != RETURNED)) for line in self._proven()
        )

    def validated(self) -> Live | None:
        """The newest proven state of the release that was validated last and not rejected afterwards."""
        wanted, proven = self.validated_releases()[:1], self._proven()
        while proven and proven[-1]["release"] not in wanted:
            proven.pop()
        return _newest(proven)

    def validated_releases(self) -> list[str]:
        """Ids of releases that were validated and not rejected afterwards, the last mark first, each once."""
        rejected: set[str] = set()
        found: dict[str, None] = {}
        for line in reversed(self.lines):
            if line["outcome"] == REJECTED:
                rejected.add(line["release"])
            elif line["outcome"] == VALIDATED and line["release"] not in rejected:
                found.setdefault(line["release"])
        return list(found)

    def rejection(self, release: str) -> str | None:
        """Why `release` was rejected since it was proven last; None when it was not, or was proven again since."""
        for line in reversed(self.lines):
            if line["release"] == release and line["outcome"] in (*PROVEN, REJECTED):
                return str(line.get("reason", "")) if line["outcome"] == REJECTED else None
        return None

    def last(self) -> dict[str, str] | None:
        """The newest outcome, for the probe."""
        outcomes = [line for line in self.lines if line["outcome"] not in NOTES]
        if not outcomes:
            return None
        return {field: str(outcomes[-1].get(field, "")) for field in ("release", "outcome", "at", "reason")}

    def returned(self) -> dict[str, str] | None:
        """How the watch made the live release live, for the probe; None where a deployment has proven one since."""
        made = [line for line in self._proven() if "previous" in line]  # others note with which secrets it runs
        if not made or (made[-1]["outcome"], made[-1].get("actor")) != (RETURNED, WATCH):
            return None
        fields = {"from": "previous", "to": "release", "at": "at", "reason": "reason"}
        return {field: str(made[-1][name]) for field, name in fields.items()}

    def proven_releases(self) -> list[str]:
        """Ids of proven releases, the most recently proven first, each once."""
        return list(dict.fromkeys(line["release"] for line in reversed(self._proven())))

    def images(self, release: str) -> set[str]:
        """The images that a release was proven with here; empty when it never was."""
        proven = [line for line in self._proven() if line["release"] == release]
        return {str(proof["image"]) for proof in proven[-1].get("services", {}).values()} if proven else set()

    def migrated(self, release: str) -> frozenset[str]:
        """Services whose migration of `release` is done."""
        return frozenset(
            line["service"] for line in self.lines if line["outcome"] == MIGRATED and line["release"] == release
        )

    def outages(self) -> dict[str, float]:
        """Service → seconds for which its last replacement interrupted it."""
        found: dict[str, float] = {}
        for line in self._proven():
            found.update(line.get("outages") or {})
        return found

    def append(self, release: str, outcome: str, **fields: Any) -> None:  # noqa: ANN401 - plain JSON values
        services = fields.pop("services", None)
        line: dict[str, Any] = {"at": moment(), "release": release, "outcome": outcome, "reason": "", **fields}
        if services is not None:
            line["services"] = {name: proof._asdict() for name, proof in services.items()}
        append_line(self._path, json.dumps(line, ensure_ascii=False))
        self.lines.append(line)


def _newest(proven: list[dict[str, Any]]) -> Live | None:
    if not proven:
        return None
    newest = proven[-1]
    since = [line["at"] for line in takewhile(lambda line: line["release"] == newest["release"], reversed(proven))]
    services = {name: Proof(**proof) for name, proof in newest.get("services", {}).items()}
    return Live(newest["release"], newest.get("convergence", ""), since[-1], services)
