"""The append-only record of what was deployed on this host, a line per outcome (`contract.outcomes`).

Proven lines hold, per service, the configuration hash that was proven.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from slipway.agent.state.atomic_files import append_line
from slipway.agent.state.journal import read_lines
from slipway.agent.state.stack_dir import moment
from slipway.contract.outcomes import MIGRATED, NOTES, PROVEN, REJECTED, VALIDATED

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
        self._lines = [line for line in read_lines(path) if isinstance(line.get("outcome"), str) and "release" in line]

    def live(self) -> Live | None:
        """The newest proven release; `since` is when it became live, later repairs of it aside."""
        return self._newest([line for line in self._lines if line["outcome"] in PROVEN])

    def before(self) -> Live | None:
        """The newest proven release that is another one than the live one, and was not rejected."""
        live = self.live()
        rejected = {line["release"] for line in self._lines if line["outcome"] == REJECTED}
        wanted = [line for line in self._lines if line["outcome"] in PROVEN and line["release"] not in rejected]
        return self._newest([line for line in wanted if live is None or line["release"] != live.release])

    def validated(self) -> Live | None:
        """The newest proven state of the release that was validated last and not rejected afterwards."""
        return next((self._last_of(release) for release in self.validated_releases()), None)

    def validated_releases(self) -> list[str]:
        """Ids of releases that were validated and not rejected afterwards, the last mark first, each once."""
        rejected: set[str] = set()
        found: dict[str, None] = {}
        for line in reversed(self._lines):
            if line["outcome"] == REJECTED:
                rejected.add(line["release"])
            elif line["outcome"] == VALIDATED and line["release"] not in rejected:
                found.setdefault(line["release"])
        return list(found)

    def rejection(self, release: str) -> str | None:
        """Why `release` was rejected since it was proven last; None when it was not, or was proven again since."""
        for line in reversed(self._lines):
            if line["release"] == release and line["outcome"] in (*PROVEN, REJECTED):
                return str(line.get("reason", "")) if line["outcome"] == REJECTED else None
        return None

    def _last_of(self, release: str) -> Live | None:
        proven = [line for line in self._lines if line["outcome"] in PROVEN]
        while proven and proven[-1]["release"] != release:
            proven.pop()
        return self._newest(proven)

    @staticmethod
    def _newest(proven: list[dict[str, Any]]) -> Live | None:
        if not proven:
            return None
        newest = proven[-1]
        since = newest["at"]
        for line in reversed(proven):
            if line["release"] != newest["release"]:
                break
            since = line["at"]
        services = {name: Proof(**proof) for name, proof in newest.get("services", {}).items()}
        return Live(newest["release"], newest.get("convergence", ""), since, services)

    def last(self) -> dict[str, str] | None:
        """The newest outcome, for the probe."""
        outcomes = [line for line in self._lines if line["outcome"] not in NOTES]
        if not outcomes:
            return None
        return {field: str(outcomes[-1].get(field, "")) for field in ("release", "outcome", "at", "reason")}

    def proven_releases(self) -> list[str]:
        """Ids of proven releases, the most recently proven first, each once."""
        return list(dict.fromkeys(line["release"] for line in reversed(self._lines) if line["outcome"] in PROVEN))

    @property
    def lines(self) -> list[dict[str, Any]]:
        return self._lines

    def images(self, release: str) -> set[str]:
        """The images that a release was proven with here; empty when it never was."""
        for line in reversed(self._lines):
            if line["release"] == release and line["outcome"] in PROVEN:
                return {str(proof["image"]) for proof in line.get("services", {}).values()}
        return set()

    def migrated(self, release: str) -> frozenset[str]:
        """Services whose migration of `release` is done."""
        return frozenset(
            line["service"] for line in self._lines if line["outcome"] == MIGRATED and line["release"] == release
        )

    def append(self, release: str, outcome: str, **fields: Any) -> None:  # noqa: ANN401 - plain JSON values
        services = fields.pop("services", None)
        line: dict[str, Any] = {"at": moment(), "release": release, "outcome": outcome, "reason": "", **fields}
        if services is not None:
            line["services"] = {name: proof._asdict() for name, proof in services.items()}
        append_line(self._path, json.dumps(line, ensure_ascii=False))
        self._lines.append(line)
