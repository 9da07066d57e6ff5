"""How updates and ledger lines become one history, and what follows for the way back."""

from __future__ import annotations

import io
import itertools
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from slipway.cli.history.history_view import update_rendered
from slipway.contract.problems import SlipwayError
from slipway.releases.backend.checkpoints import Checkpoints, ReleaseRecords, StackUpdate, records_in
from slipway.releases.history.document import detail_document, history_document
from slipway.releases.history.entries import HistoryEntry, merged
from slipway.releases.history.ledgers import HostLedger, LedgerLine, noted
from slipway.releases.history.stack_history import StackHistory, WayBack
from slipway.releases.past_releases import named_entry
from slipway.releases.rollback import _default

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
A, B, C = "r-aaaaaaaaaaaa", "r-bbbbbbbbbbbb", "r-cccccccccccc"


def at(minute: float) -> datetime:
    return NOON + timedelta(minutes=minute)


def update(number: int, minute: float, *, result: str = "succeeded", kind: str = "update", **more: Any) -> StackUpdate:
    given = {"message": "", "environment": {}, "changes": {}, **more}
    return StackUpdate(
        number=number, kind=kind, result=result, began=at(minute), ended=at(minute) + timedelta(seconds=10), **given
    )


def about(release: str, minute: float, **more: Any) -> dict[str, Any]:
    return {
        "at": f"{at(minute):%Y-%m-%dT%H:%M:%SZ}", "release": release, "commit": "", "branch": "", "images": {},
        "irreversible": [], "kind": "deploy", "actor": "ann", "run": "", "hosts": {}, **more,
    }  # fmt: skip


def line(outcome: str, release: str, minute: float, host: str = "a", **more: Any) -> LedgerLine:
    return LedgerLine(host=host, at=at(minute), release=release, outcome=outcome, **more)


class NoCheckpoints(Checkpoints):
    def updates(self) -> list[StackUpdate]:
        raise AssertionError

    def tag(self, name: str) -> str | None:
        raise AssertionError(name)

    def content(self, number: int) -> bytes | None:
        raise AssertionError(number)


def stack(
    entries: list[HistoryEntry], *lines: LedgerLine, warm: tuple[str, ...] = (), tagged: str | None = None
) -> StackHistory:
    hosts = {"a": HostLedger(lines=lines, warm=frozenset(warm))} if lines else {}
    return StackHistory(
        stack="test", project="shop-test", entries=entries, checkpoints=NoCheckpoints(), hosts=hosts, tagged=tagged
    )


def entry(number: int, release: str, kind: str = "deploy", result: str = "succeeded", **more: Any) -> HistoryEntry:
    return HistoryEntry(number=number, kind=kind, result=result, at=at(number), release=release, **more)


# --- merging


def test_a_succeeded_update_is_what_its_state_says() -> None:
    records = {1: ReleaseRecords(about(A, 0), about(A, 0, kind="rollback", hosts={"a": {"outcome": "deployed"}}))}
    (found,) = merged([update(1, 0)], records, [line("deployed", A, 0.1)])
    assert (found.kind, found.release, found.actor, found.result) == ("rollback", A, "ann", "succeeded")
    assert found.hosts["a"]["outcome"] == "deployed"


def test_a_failed_update_is_told_by_what_it_attempted_and_not_by_what_an_earlier_one_left() -> None:
    records = {2: ReleaseRecords(about(B, 5), about(A, 0))}
    lines = [line("failed", B, 5.1, reason="web did not become healthy"), line("failed", B, 5.1, host="b", reason="x")]
    (found,) = merged([update(2, 5, result="failed")], records, lines)
    assert (found.release, found.result, found.reason) == (B, "failed", "web did not become healthy")
    assert set(found.hosts) == {"a", "b"}
    # an update that failed before it had a release leaves what the one before attempted
    (found,) = merged([update(3, 9, result="failed")], {3: ReleaseRecords(about(B, 5), about(A, 0))}, [])
    assert found.release is None
    left = ReleaseRecords(about(B, 8.99), None)  # a moment before
    *_, found = merged(
        [update(number, 8.8 + 0.2 * number, result="failed") for number in (0, 1)], {0: left, 1: left}, []
    )
    assert found.release is None


def test_what_a_host_finished_by_itself_belongs_to_the_update_that_began_it() -> None:
    updates, records = [update(2, 5, result="failed"), update(3, 9)], {2: ReleaseRecords(about(B, 5), None)}
    found = merged(updates, records, [line("deployed", B, 6), line("deployed", C, 9.1)])
    assert [(each.number, each.release, set(each.hosts)) for each in found] == [(2, B, {"a"}), (3, C, {"a"})]
    found = merged([updates[0]], {2: ReleaseRecords(about(C, 5), None)}, [line("deployed", B, 6)])  # another's
    assert [each.number for each in found] == [2, None]


@pytest.mark.parametrize("kind", ["refresh", "destroy", "import"])
def test_an_update_that_ran_no_program_is_about_no_release(kind: str) -> None:
    (found,) = merged([update(2, 5, kind=kind)], {2: ReleaseRecords(about(A, 0), about(A, 0))}, [])
    assert (found.kind, found.release) == (kind, None)


def test_what_the_watch_brought_back_is_an_event_of_its_own_even_during_an_update() -> None:
    lines = [line("returned", A, 5.05, actor="watch", reason="errors"), line("rejected", B, 5.05, actor="watch")]
    first, second = merged([update(2, 5)], {2: ReleaseRecords(about(C, 5), about(C, 5))}, lines)
    assert {(each.number, each.kind, each.release) for each in (first, second)} == {
        (2, "deploy", C),
        (None, "automatic rollback", A),
    }


def test_a_failed_update_that_went_on_to_the_validated_release_says_so() -> None:
    lines = [line("failed", C, 5.05, actor="ann"), line("returned", A, 5.1, actor="ann")]
    (found,) = merged([update(2, 5, result="failed")], {2: ReleaseRecords(about(C, 5), about(B, 0))}, lines)
    assert (found.release, found.returned) == (C, A)
    assert stack([entry(1, A), found]).live == A


def test_hosts_of_a_fleet_record_one_event_and_not_several() -> None:
    lines = [line("returned", A, 1, host=host, actor="watch") for host in ("a", "b")]
    lines += [line("returned", A, 9, host="a", actor="watch")]
    found = merged([], {}, lines)
    assert [sorted(each.hosts) for each in found] == [["a", "b"], ["a"]]


def test_what_happened_before_the_backend_began_is_told_from_the_ledgers() -> None:
    found = merged(
        [update(1, 60)], {1: ReleaseRecords(about(B, 60), about(B, 60))}, [line("deployed", A, 1, actor="bob")]
    )
    assert [(each.number, each.release) for each in found] == [(None, A), (1, B)]


def test_drift_that_was_mended_is_a_repair() -> None:
    lines = [line("repaired", A, 0.1)]
    (found,) = merged([update(1, 0)], {1: ReleaseRecords(about(A, 0), about(A, 0))}, lines)
    assert found.kind == "repair"


DONE = {"release": A, "previous": B, "outcome": "repaired", "touched": ["web"], "seconds": 0.912}
OTHER = {**DONE, "seconds": 0.913}


@pytest.mark.parametrize(
    ("hosts", "lines", "outcomes", "kind"),
    [
        ({"a": DONE}, [], {"a": ("unchanged", None)}, "deploy"),
        ({"a": OTHER}, [], {"a": ("repaired", 0.913)}, "repair"),
        ({"a": DONE, "b": DONE}, [], {"a": ("unchanged", None), "b": ("repaired", 0.912)}, "repair"),
        ({"a": DONE}, [line("repaired", A, 5.1)], {"a": ("repaired", 0.912)}, "repair"),
    ],
)
def test_what_an_earlier_update_did_on_a_host_is_not_told_of_one_with_nothing_to_do(
    hosts: dict[str, Any], lines: list[LedgerLine], outcomes: dict[str, Any], kind: str
) -> None:
    records = {
        1: ReleaseRecords(about(A, 0), about(A, 0, hosts={"a": DONE})),
        2: ReleaseRecords(about(A, 5), about(A, 5, hosts=hosts)),
    }
    _, found = merged([update(1, 0), update(2, 5)], records, lines)
    assert {name: (host["outcome"], host.get("seconds")) for name, host in found.hosts.items()} == outcomes
    assert found.kind == kind
    assert found.release == A


class States(NoCheckpoints):
    def __init__(self, *states: list[dict[str, Any]]) -> None:
        self.states = [{"deployment": {"resources": resources}} for resources in states]

    def content(self, number: int) -> bytes | None:
        return json.dumps(self.states[number - 1]).encode()


def command(name: str, modified: str, identity: str = "x") -> dict[str, Any]:
    """A resource as the engine writes it: its secrets are encrypted anew with each update."""
    secret = {"ciphertext": str(next(NONCE))}
    return {
        "urn": f"urn:pulumi:t::p::command:local:Command::{name}", "type": "command:local:Command", "custom": True,
        "id": identity, "created": "2026", "modified": modified, "inputs": {"stdin": secret},
    }  # fmt: skip


NONCE = itertools.count()


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ([("a", "1")], [("a", "1")], {}),
        ([("a", "1")], [("a", "2")], {"a": "updated"}),
        ([("a", "1")], [("a", "2", "y")], {"a": "replaced"}),
        ([("a", "1")], [("b", "2")], {"a": "deleted", "b": "created"}),
    ],
)
def test_resources_that_an_update_left_as_they_are_are_not_shown(
    before: list[tuple[str, ...]], after: list[tuple[str, ...]], what: dict[str, str]
) -> None:
    alone = entry(2, A, hosts={"local": {"outcome": "unchanged", "release": A}})
    states = [[command(*each) for each in state] for state in (before, after)]
    outputs = {"release": A, "report": {"local": {"touched": ["web"]}}}
    states[1].append({"urn": "::d", "type": "slipway:deployment:ComposeDeployment", "outputs": outputs})
    history = replace(stack([entry(1, A), alone]), checkpoints=States(*states))
    found = detail_document(history, alone)
    assert {each["name"]: each["what"] for each in found["resources"]} == what
    assert found["reports"] == {}
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(update_rendered(found))
    assert "host local: unchanged, as nothing was to do there" in console.export_text()
    ran = replace(alone, hosts={"local": {"outcome": "unchanged", "seconds": 0.4}})
    assert detail_document(history, ran)["reports"].keys() == {"local"}


@pytest.mark.parametrize(
    ("lines", "own", "says"),
    [
        ([line("deployed", A, 1)], "", "no host recorded one"),
        ([line("failed", B, 2)], "web is unhealthy", "web is unhealthy"),
        ([line("deployed", A, 9)], "", "not known: a host's own record begins later"),
        ([], "", "not known"),
    ],
)
def test_a_failed_update_has_a_reason_or_says_where_it_is(lines: list[LedgerLine], own: str, says: str) -> None:
    failed = entry(2, B, result="failed", reason=own)
    history = replace(stack([entry(1, A), failed], *lines), checkpoints=States([], []))
    assert detail_document(history, failed)["entry"]["reason"].startswith(says)


def test_an_update_whose_hosts_went_on_alone_is_told_alike_everywhere() -> None:
    hosts = {"a": {"outcome": "deployed"}, "b": {"outcome": "failed"}, "c": {"outcome": "repaired"}}
    cut = entry(2, B, result="failed", hosts=hosts)
    history = replace(stack([entry(1, A), cut], line("deployed", B, 2)), checkpoints=States([], []))
    shown = [detail_document(history, cut)["entry"], history_document(history, [cut])["entries"][0]]
    assert [each["reason"] for each in shown] == ["interrupted, but done on a, c"] * 2


def test_a_clock_that_is_off_by_a_second_changes_nothing() -> None:
    (found,) = merged([update(1, 0, result="failed")], {}, [line("failed", A, -1 / 60, reason="x")])
    assert found.reason == "x"


_FAILED, _GOOD = "failed", "succeeded"


@pytest.mark.parametrize(
    ("updates", "lines", "expected"),
    [
        # (minute it began, result, release it was about), …; (outcome, release, minute), …; reason or return by update
        pytest.param(
            [(0, _FAILED, B), (0.18, _GOOD, A)], [("failed", B, 0.18), ("deployed", A, 0.3)], ["why B", ""],
            id="a repair begins in the second in which a failure was written",
        ),
        pytest.param(
            [(0, _FAILED, B), (0.18, _FAILED, C)], [("failed", B, 0.19), ("failed", C, 0.3)], ["why B", "why C"],
            id="two failures in a row",
        ),
        pytest.param(
            [(0, _FAILED, B), (0.18, _GOOD, B)], [("failed", B, 0.19), ("deployed", B, 0.3)], ["why B", ""],
            id="the same release again",
        ),
        pytest.param(
            [(0, _FAILED, B), (0.18, _FAILED, B)], [("failed", B, 0.16), ("failed", B, 0.34)], ["why B", "why B"],
            id="the same failure again",
        ),
        pytest.param(
            [(0, _FAILED, C), (0.18, _GOOD, A)],
            [("failed", C, 0.18), ("returned", A, 0.18), ("deployed", A, 0.3)], ["why C → " + A, ""],
            id="a return to what the next update deploys",
        ),
        pytest.param(
            [(0, _GOOD, A), (0.18, _FAILED, B)], [("deployed", A, 0.19), ("failed", B, 0.16)], ["", "why B"],
            id="a clock that lags",
        ),
        pytest.param(
            [(0, _FAILED, None), (0.18, _GOOD, None)], [("failed", B, 0.18), ("deployed", A, 0.3)], ["why B", ""],
            id="no state to tell the release",
        ),
    ],
)  # fmt: skip
def test_a_reason_stands_beside_the_update_that_failed(
    updates: list[tuple[float, str, str | None]], lines: list[tuple[str, str, float]], expected: list[str]
) -> None:
    made = [update(number, began, result=result) for number, (began, result, _) in enumerate(updates, 1)]
    records = {
        number: ReleaseRecords(about(release, began), about(release, began) if result == _GOOD else None)
        for number, (began, result, release) in enumerate(updates, 1)
        if release
    }
    told = [line(outcome, release, at, reason=f"why {names[release]}" if outcome == "failed" else "")
            for names in [{A: "A", B: "B", C: "C"}] for outcome, release, at in lines]  # fmt: skip
    found = merged(made, records, told)
    assert [each.number for each in found] == list(range(1, len(updates) + 1))
    assert [" → ".join(filter(None, (each.reason, each.returned))) for each in found] == expected
    assert all(each.hosts for each in found)


# --- what the history says of releases


def test_a_release_that_was_left_by_a_rollback_is_not_chosen_by_itself() -> None:
    there = [entry(1, A), entry(2, B), entry(3, C)]
    assert _default(stack(there)) == B
    back = [*there, entry(4, B, "rollback")]
    assert _default(stack(back)) == A
    forward = [*back, entry(5, C, "deploy")]
    assert _default(stack(forward)) == B
    chosen_forward = [*there, entry(4, A, "rollback"), entry(5, C, "rollback")]
    assert stack(chosen_forward).left == set(), "going forward by `--to` leaves nothing behind"


def test_a_release_that_the_watch_turned_back_from_is_not_chosen_and_says_why() -> None:
    entries = [entry(1, A), entry(2, B), entry(3, C)]
    lines = [line("deployed", B, 2), line("deployed", C, 3), line("rejected", C, 4, reason="errors"),
             line("returned", B, 4, actor="watch")]  # fmt: skip
    found = stack(entries, *lines)
    assert found.live == B
    assert found.way_back(C) == WayBack("no", "it was rolled back from: errors")
    assert _default(found) == A


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("minute", [2.5, 999])  # by a clock that is right, and by one that is not
@pytest.mark.parametrize("ledger", ["of a new host", "complete", "unreachable"])
def test_what_a_watch_did_is_known_without_the_host_that_it_was_on(ledger: str, minute: float, *, again: bool) -> None:
    back = {"from": B, "to": A, "at": f"{at(minute):%Y-%m-%dT%H:%M:%SZ}", "reason": "errors 9 %"}
    abouts = [about(A, 1), about(B, 2), about(C, 3, returned={"a": back}), about(A, 4, returned={"a": back})]
    abouts += [about(B, 5), about(A, 6)] if again else []
    updates = [
        update(number, number, result="failed" * (number == 4) or "succeeded") for number in range(1, len(abouts) + 1)
    ]
    records = {number: ReleaseRecords(each, each) for number, each in enumerate(abouts, 1)}
    live = A if again else C
    now = [line("deployed", live, 7)]
    then = [line("rejected", B, 2.5, reason="errors 9 %"), line("returned", A, 2.5, reason="errors 9 %", actor="watch")]
    lines = {"of a new host": now, "complete": [*then, *([line("deployed", B, 5)] if again else []), *now]}.get(
        ledger, []
    )
    lost = noted(updates, records, lines)
    hosts = {"a": HostLedger(lines=lines, warm=frozenset()) if lines else SlipwayError("no answer")}
    history = replace(stack(merged(updates, records, [*lines, *lost])), noted=lost, hosts=hosts)
    assert [(each.kind, each.release) for each in history.entries if each.kind == "automatic rollback"] == [
        ("automatic rollback", A)
    ]
    assert history.rejected == ({} if again else {B: "errors 9 %"})
    assert _default(history) == (B if again else A)


def test_nothing_to_go_back_to_is_said() -> None:
    with pytest.raises(SlipwayError, match="has no release to go back to"):
        _default(stack([entry(1, A), entry(2, B, result="failed")]))


def test_a_failed_or_unknown_release_is_no_way_back() -> None:
    found = stack([entry(1, A), entry(2, B, result="failed"), entry(3, C)])
    assert found.way_back(B) == WayBack("no", "it never ran well", unproven=True)
    assert found.way_back("r-000000000000").kind == "no"
    assert found.way_back(A).kind == "cold"


def test_irreversible_migration_bars_only_what_ran_before_it() -> None:
    entries = [entry(1, A), entry(2, B, irreversible=("web",)), entry(3, C)]
    assert stack(entries).way_back(A) == WayBack("no", f"a migration since then cannot be undone ({B}: web)")
    assert stack(entries).way_back(B).kind == "cold"
    ran_since = [*entries, entry(4, A, "deploy"), entry(5, C)]
    assert stack(ran_since).way_back(A).kind == "cold", "it ran well with the data of after"


def test_failed_release_bars_only_when_its_migration_was_done() -> None:
    entries = [entry(1, A), entry(2, B, result="failed", irreversible=("web",)), entry(3, C)]
    lines = [line("deployed", A, 1), line("failed", B, 2), line("deployed", C, 3)]
    assert stack(entries, *lines).way_back(A).kind == "cold"
    assert stack(entries, *lines, line("migrated", B, 2)).way_back(A).kind == "no"
    assert stack(entries).way_back(A).kind == "no", "no host can tell"
    assert stack(entries, line("deployed", C, 3)).way_back(A).kind == "no", "the host is another one by now"


def test_warm_means_every_host() -> None:
    entries = [entry(1, A), entry(2, B)]
    lines = (line("deployed", A, 1), line("deployed", B, 2))
    found = stack(entries, *lines, warm=(A, B))
    assert found.way_back(A).kind == "warm"
    hosts = {**found.hosts, "b": HostLedger(lines=[line("deployed", B, 2, host="b")], warm=frozenset({B}))}
    two = StackHistory(stack="t", project="p", entries=entries, checkpoints=NoCheckpoints(), hosts=hosts)
    assert two.way_back(A).kind == "cold"


def test_the_tag_tells_what_was_validated_where_hosts_are_new() -> None:
    lines = (line("deployed", A, 1), line("validated", A, 2, actor="ci"))
    assert list(stack([entry(1, A)], *lines).validated) == [A]
    assert list(stack([entry(1, A), entry(2, B)], *lines, tagged=B).validated) == [A, B]


def test_destroyed_stack_has_nothing_live() -> None:
    assert stack([entry(1, A), HistoryEntry(number=2, kind="destroy", result="succeeded", at=at(2))]).live is None


@pytest.mark.parametrize(
    ("name", "number"),
    [("2", 2), (B, 2), ("r-bb", 2), ("live", 3), ("deadbee", 1), ("deadbeef0123", 1), ("validated", 2)],
)
def test_a_release_is_named_by_number_id_commit_live_or_validated(name: str, number: int) -> None:
    entries = [entry(1, A, commit="deadbeef0123"), entry(2, B), entry(3, C)]
    assert named_entry(stack(entries, tagged=B), name).number == number


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("9", "it has 1 to 3"),
        ("r-x", "has no release 'r-x'"),
        ("r-", "fits 3 releases"),
        ("validated", "was validated"),
        ("", "fits 3 releases"),
    ],
)
def test_a_name_that_means_nothing_or_too_much_is_refused(name: str, says: str) -> None:
    with pytest.raises(SlipwayError, match=says):
        named_entry(stack([entry(1, A), entry(2, B), entry(3, C)]), name)


# --- reading the state


def test_what_is_noted_is_found_without_reading_the_rest() -> None:
    state = (
        b'{"resources":[{"urn":"urn:x","type":"slipway:release:ReleaseRecord","outputs":{"about":{"release":"r-1"},'
        b'"document":"{\\"type\\":\\"slipway:deployment:ComposeDeployment\\"}"}},'
        b'{"urn":"urn:y","type":"slipway:deployment:ComposeDeployment","outputs":{"about":{"release":"r-0"}}}]}'
    )
    assert records_in(state) == ReleaseRecords({"release": "r-1"}, {"release": "r-0"})


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"{}",
        b'{"urn":"urn:x","type":"slipway:deployment:ComposeDeployment"},{"urn":"urn:y","outputs":{"about":{}}}',
        b'{"urn":"urn:x","type":"slipway:deployment:ComposeDeployment","outputs":{"about":{"cut',
    ],
)
def test_state_without_a_deployment_or_cut_short_notes_nothing(state: bytes) -> None:
    assert records_in(state) == ReleaseRecords(None, None)
