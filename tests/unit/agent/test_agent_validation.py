"""Marks of what was validated: what takes one, what it outlives, and where a failed deployment goes on to."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from case_values import proof

from slipway.agent.command import main
from slipway.agent.output import Output
from slipway.agent.release.prune import choose
from slipway.agent.state.ledger import Ledger
from slipway.agent.state.lock import lock
from slipway.agent.state.stack_dir import StackFolder
from slipway.agent.state.validation_mark import mark, validated_target
from slipway.contract.problems import SlipwayError
from slipway.contract.redaction import Redactor

A, B, C = "r-aaaaaaaaaaaa", "r-bbbbbbbbbbbb", "r-cccccccccccc"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackFolder:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    return StackFolder("shop")


def ledger(folder: StackFolder, *entries: str) -> Ledger:
    """A ledger of lines `outcome release`, every release of it kept on the host."""
    folder.create()
    written = Ledger(folder.ledger)
    for entry in entries:
        outcome, release = entry.split()
        services = {"api": proof(config=f"{release}-{outcome}")} if outcome in ("deployed", "repaired") else None
        written.append(release, outcome, reason=f"why {outcome}", services=services)
        folder.store_release({"id": release, "commit": f"of {release}"})
    return Ledger(folder.ledger)


def validated(folder: StackFolder, *entries: str) -> str | None:
    found = ledger(folder, *entries).validated()
    return found.release if found else None


# --- the record


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((), None),
        ((f"deployed {A}",), None),
        ((f"deployed {A}", f"validated {A}"), A),
        ((f"deployed {A}", f"validated {A}", f"deployed {B}", f"failed {C}"), A),
        ((f"deployed {A}", f"validated {A}", f"deployed {B}", f"validated {B}"), B),
        # One that went live later may be validated earlier: its tests were quicker.
        ((f"deployed {A}", f"deployed {B}", f"validated {B}", f"validated {A}"), A),
        ((f"deployed {A}", f"validated {A}", f"deployed {B}", f"validated {B}", f"rejected {B}"), A),
        ((f"deployed {A}", f"validated {A}", f"rejected {A}"), None),
        ((f"deployed {A}", f"validated {A}", f"rejected {A}", f"deployed {A}"), None),
        ((f"deployed {A}", f"rejected {A}", f"deployed {A}", f"validated {A}"), A),
        ((f"validated {A}",), None),
    ],
)
def test_last_validated_is_the_newest_mark_that_no_rejection_followed(
    folder: StackFolder, entries: tuple[str, ...], expected: str | None
) -> None:
    assert validated(folder, *entries) == expected


def test_a_mark_neither_proves_a_release_nor_is_what_happened_last(folder: StackFolder) -> None:
    found = ledger(folder, f"deployed {A}", f"deployed {B}", f"failed {C}", f"validated {A}")
    live, last = found.live(), found.last()
    assert live is not None
    assert last is not None
    assert (live.release, last["outcome"], last["release"]) == (B, "failed", C)
    assert found.proven_releases() == [B, A]


def test_validated_release_comes_back_as_it_was_proven_last(folder: StackFolder) -> None:
    found = ledger(folder, f"deployed {A}", f"validated {A}", f"repaired {A}", f"deployed {B}").validated()
    assert found is not None
    assert found.services["api"].config == f"{A}-repaired"


# --- marking


def say(folder: StackFolder, release: str, note: str = "") -> dict[str, Any]:
    return mark(folder, release, note, Output("host", Redactor({"TOKEN": "s3cret-value"})), actor="ci")


def test_mark_says_who_and_why_and_holds_no_secret(folder: StackFolder) -> None:
    ledger(folder, f"deployed {A}")
    answer = say(folder, A, "all checks\nof s3cret-value passed")
    rest = {"contract": 1, "stack": "shop", "mark": "validated", "changed": True}
    assert answer == {"release": A, "commit": f"of {A}", **rest}
    line = json.loads(Path(folder.ledger).read_text().splitlines()[-1])
    assert (line["outcome"], line["actor"], line["reason"]) == ("validated", "ci", "all checks of [TOKEN] passed")
    assert line["at"].endswith("Z")


def test_marking_twice_is_fine_and_says_so(folder: StackFolder) -> None:
    ledger(folder, f"deployed {A}", f"deployed {B}", f"validated {B}", f"validated {A}")
    before = Path(folder.ledger).read_text()
    assert say(folder, A)["changed"] is False
    assert Path(folder.ledger).read_text() == before
    assert say(folder, B)["changed"] is True, "another one was validated in between"


@pytest.mark.parametrize("release", [C, "r-999999999999"], ids=["failed", "unknown"])
def test_release_that_was_never_proven_here_is_refused(folder: StackFolder, release: str) -> None:
    before = ledger(folder, f"deployed {A}", f"failed {C}").lines
    with pytest.raises(SlipwayError, match=f"release {release} was never proven on this host"):
        say(folder, release)
    assert Ledger(folder.ledger).lines == before


def test_release_that_was_rejected_is_refused_until_it_is_proven_again(folder: StackFolder) -> None:
    ledger(folder, f"deployed {A}", f"deployed {B}", f"rejected {B}", f"returned {A}")
    with pytest.raises(SlipwayError, match=f"release {B} was rejected on this host: why rejected"):
        say(folder, B)
    assert say(folder, A)["changed"] is True
    ledger(folder, f"deployed {B}")
    assert say(folder, B)["changed"] is True


def test_stack_that_this_host_does_not_know_leaves_no_trace(folder: StackFolder) -> None:
    with pytest.raises(SlipwayError, match="never proven"):
        say(folder, A)
    assert not Path(folder.path).exists()


def test_mark_waits_for_a_deployment_and_then_looks_again(folder: StackFolder) -> None:
    ledger(folder, f"deployed {A}")
    held, done = threading.Event(), threading.Event()

    def deploy() -> None:
        with lock(folder.lock, owner="other", reason="deploy", wait=0):
            held.set()
            done.wait(10)
            Ledger(folder.ledger).append(A, "rejected", reason="it turned out bad")

    other = threading.Thread(target=deploy)
    other.start()
    assert held.wait(10)
    threading.Timer(0.3, done.set).start()
    with pytest.raises(SlipwayError, match="rejected on this host: it turned out bad"):
        say(folder, A)
    other.join()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--stack", "shop", "--release", A],
        ["--stack", "shop", "--as", "validated"],
        ["--stack", "shop", "--release", A, "--as", "good"],
        ["--release", A, "--as", "validated"],
    ],
)
def test_half_a_command_line_is_exit_code_2(
    folder: StackFolder, arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    ledger(folder, f"deployed {A}")
    assert main(["mark", *arguments]) == 2
    assert "slipway: error: mark needs --" in capfd.readouterr().err


def test_command_takes_the_note_from_standard_input(
    folder: StackFolder, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ledger(folder, f"deployed {A}")
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(b"release notes read")))
    words = ["mark", "--stack", "shop", "--release", A, "--as", "validated", "--actor", "ada@desk"]
    assert main(words) == 0
    assert json.loads(capfd.readouterr().out)["changed"] is True
    line = Ledger(folder.ledger).lines[-1]
    assert (line["reason"], line["actor"]) == ("release notes read", "ada@desk")


# --- where a failed deployment goes on to


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ((f"deployed {A}", f"deployed {B}"), None),
        ((f"deployed {A}", f"validated {A}", f"deployed {B}"), A),
        ((f"deployed {A}", f"validated {A}", f"deployed {B}", f"validated {B}"), None),
        ((f"deployed {A}", f"deployed {B}", f"validated {B}", f"validated {A}"), None),
        ((f"deployed {A}", f"validated {A}"), None),
        ((f"deployed {C}", f"validated {C}", f"deployed {B}"), None),
        ((f"deployed {A}", f"validated {A}", f"rejected {A}", f"deployed {B}"), None),
    ],
    ids=[
        "no marks",
        "chain",
        "live is validated",
        "live is validated earlier",
        "nothing since",
        "it is what failed",
        "rejected",
    ],
)
def test_failed_deployment_goes_on_only_from_an_unvalidated_release_to_another(
    folder: StackFolder, entries: tuple[str, ...], expected: str | None
) -> None:
    found = validated_target(ledger(folder, *entries), folder, C)
    assert (found.release if found else None) == expected


def test_release_that_is_not_kept_any_more_is_nowhere_to_go(folder: StackFolder) -> None:
    found = ledger(folder, f"deployed {A}", f"validated {A}", f"deployed {B}")
    Path(folder.releases, A, "release.json").unlink()
    assert validated_target(found, folder, C) is None


def test_last_validated_release_is_kept_beyond_the_retention() -> None:
    kept = {name: {"images": {"api": f"app:{name}@sha256:{name}"}, "files": {name: {}}} for name in (A, B, C)}
    found = choose(kept, [C, B, A], 1, files=[A, B, C], needed_elsewhere=[], besides=(A,))
    assert (found.releases, found.files, found.images) == ((B,), (B,), (f"app@sha256:{B}",))
    gone = choose(kept, [C, B, A], 1, files=[], needed_elsewhere=[], besides=("r-of-before",))
    assert gone.releases == (A, B)


@pytest.mark.parametrize("command", [["move", "--do", "undo"], ["mark", "--release", A, "--as", "validated"],
                                     ["maintenance", "--off"], ["cancel"]])  # fmt: skip
@pytest.mark.parametrize(("owner", "refused"), [("two/prod", True), ("one/prod", False)])
def test_no_command_changes_what_is_another_stacks(
    folder: StackFolder, capfd: pytest.CaptureFixture[str], command: list[str], owner: str, *, refused: bool
) -> None:
    ledger(folder, f"deployed {A}")
    (Path(folder.path) / "owner").write_text("one/prod\n")
    main([*command, "--stack", "shop", "--owner", owner])
    said = capfd.readouterr().out
    assert ("was deployed here by the Pulumi stack one/prod, and this one is two/prod" in said) == refused
