"""What speaks against a rollback, and what the engine is handed for one."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from slipway.releases import rollback
from slipway.releases.engine import Engine
from slipway.releases.history.entries import HistoryEntry
from slipway.releases.history.ledgers import HostLedger, LedgerLine
from slipway.releases.history.stack_history import StackHistory
from slipway.releases.past_releases import PastRelease

if TYPE_CHECKING:
    from collections.abc import Sequence

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
A, B = "r-aaaaaaaaaaaa", "r-bbbbbbbbbbbb"
ENGINE = Engine(root=Path("/nowhere"), stack="staging", environment={}, options=[])


def history(*entries: HistoryEntry, rejected: str = "") -> StackHistory:
    line = LedgerLine(host="a", at=NOON + timedelta(days=1), release=rejected, outcome="rejected", reason="errors")
    ledger = HostLedger(lines=[line] if rejected else [], warm=frozenset({A, B}))
    return StackHistory(
        stack="staging", project="shop-staging", entries=entries, checkpoints=None, hosts={"a": ledger},  # type: ignore[arg-type]  # no state is read
        known_settings=object(),  # type: ignore[arg-type]  # as above
    )  # fmt: skip


def entry(number: int, release: str, result: str = "succeeded", **more: Any) -> HistoryEntry:
    return HistoryEntry(
        number=number, kind="deploy", result=result, at=NOON + timedelta(number), release=release, **more
    )


@pytest.fixture(autouse=True)
def _whole_releases(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollback, "unfit", lambda *_: [])
    monkeypatch.setattr(
        rollback,
        "past_release",
        lambda _, entry: PastRelease(document={"id": entry.release, "images": {}}, entry=entry),
    )


@pytest.mark.parametrize(
    ("found", "meaning"),
    [
        (history(entry(1, A), entry(2, B)), None),
        (history(entry(1, A), entry(2, B), rejected=A), "it may not run with what is there now"),
        (history(entry(1, A), entry(2, B, irreversible=("web",))), "it may not run with what is there now"),
    ],
    ids=["nothing", "rejected", "migrated"],
)
def test_a_rollback_says_what_its_release_has_against_it(found: StackHistory, meaning: str | None) -> None:
    assert [each.meaning for each in rollback.planned(ENGINE, A, history=found).obstacles] == [meaning] * bool(meaning)


def test_a_release_that_never_ran_well_is_told_as_unproven(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollback, "missing_images", lambda *_: [])
    found = history(entry(1, A), entry(2, "r-cccccccccccc", result="failed"), entry(3, B))
    (obstacle,) = rollback.planned(ENGINE, "2", history=found).obstacles
    assert obstacle.meaning == "it is not proven that it would run well"


def test_a_rollback_hands_over_its_release_builds_nothing_and_leaves_no_file() -> None:
    seen: list[tuple[Path, Any]] = []

    def deploy(_: Engine, given: Sequence[str] = (), **more: Any) -> int:
        file = Path(more["settings"]["SLIPWAY_RELEASE"])
        seen.append((file, json.loads(file.read_text())))
        assert given == rollback.IMAGES_LEFT_ALONE
        assert (more["message"], more["settings"]["SLIPWAY_KIND"]) == ("why", "rollback")
        return 7

    planned = rollback.planned(ENGINE, A, history=history(entry(1, A), entry(2, B)))
    assert planned.words == f"rollback to {A} (update 1)"
    assert rollback.carry_out(ENGINE, planned, deploy=deploy, message="why", again="x") == 7
    [(file, document)] = seen
    assert document["id"] == A
    assert not file.exists()
