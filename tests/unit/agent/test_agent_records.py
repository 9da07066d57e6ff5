"""Journal, ledger, lock, files and retention: what is on disk is whole, whatever was killed when."""

from __future__ import annotations

import http.client
import json
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from case_values import proof

from slipway.agent.deploy.smoke import Answer, judge
from slipway.agent.release.prune import choose
from slipway.agent.state.atomic_files import write_atomically
from slipway.agent.state.journal import Journal, end_orphans
from slipway.agent.state.ledger import Ledger
from slipway.agent.state.lock import ask_to_end, held_by, lock
from slipway.agent.traffic.http_get import words
from slipway.contract.problems import SlipwayError


def test_journal_without_an_end_is_an_interrupted_deployment(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "journal"))
    assert journal.unfinished() is None
    journal.begin(release="r-1")
    journal.step("recreate:api", "started")
    found = journal.unfinished()
    assert found is not None
    assert found.text() == "r-1 at recreate:api started"
    journal.end("deployed")
    assert journal.unfinished() is None


def test_what_a_step_was_stopping_is_known_until_it_has(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "journal"))

    def stopping() -> tuple[str, ...]:
        found = journal.unfinished()
        assert found is not None
        return found.stopping

    journal.begin(release="r-1")
    journal.step("retire:api", "started", ["a", "b"])
    assert stopping() == ("a", "b")
    journal.begin(release="r-2", stopping=stopping())
    assert stopping() == ("a", "b"), "a run that is killed at once leaves it to the next one"
    journal.stops(["a", "b", "c"])
    assert stopping() == ("a", "b", "c")
    journal.step("fetch", "started")
    assert stopping() == ()
    journal.step("remove:api", "started", ["d"])
    journal.step("remove:api", "finished")
    assert stopping() == ()


@pytest.mark.parametrize("torn", ['{"end": "depl', "\0\0\0", '{"at"', "[1]"])
def test_torn_last_line_is_tolerated_and_closed_off(tmp_path: Path, torn: str) -> None:
    path = tmp_path / "journal"
    journal = Journal(str(path))
    journal.begin(release="r-1")
    with path.open("a") as handle:
        handle.write(torn)
    assert journal.unfinished() is not None
    journal.step("files", "started")
    found = journal.unfinished()
    assert found is not None
    assert found.step == "files started"


def test_torn_ledger_line_loses_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    Ledger(str(path)).append("r-1", "deployed", services={"api": proof(config="a")}, convergence="x")
    with path.open("a") as handle:
        handle.write('{"release": "r-2", "outco')
    found = Ledger(str(path))
    live = found.live()
    assert live is not None
    assert live.release == "r-1"
    found.append("r-3", "failed", reason="why")
    again = Ledger(str(path))
    assert again.last() == {"release": "r-3", "outcome": "failed", "at": again.last()["at"], "reason": "why"}  # type: ignore[index]
    assert again.live() == live


@pytest.mark.parametrize("room", [0, 1, 100, -1])
@pytest.mark.parametrize("torn", ["", '{"release": "r-2", "outco'])
def test_a_line_for_which_there_is_no_room_is_refused_and_leaves_nothing(tmp_path: Path, room: int, torn: str) -> None:
    """The system writes as much as there is room for, and says so; `-1`: all but the last byte."""
    path = tmp_path / "ledger"
    ledger = Ledger(str(path))
    ledger.append("r-1", "deployed", services={})
    with path.open("a") as handle:
        handle.write(torn)
    before, line = path.read_bytes(), {"services": {"api": proof(config="a")}, "reason": "why" * 100}
    ledger.append("r-2", "deployed", **line)
    whole = path.stat().st_size
    path.write_bytes(before)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + room if room >= 0 else whole - 1, hard))
    try:
        with pytest.raises(OSError, match="too large"):
            Ledger(str(path)).append("r-2", "deployed", **line)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    found = Ledger(str(path))
    found.append("r-3", "deployed", services={})
    assert [each["release"] for each in Ledger(str(path)).lines] == ["r-1", "r-3"]


@pytest.mark.parametrize("most", [1, 7])
def test_a_line_that_is_written_in_parts_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:most]))
    Ledger(str(tmp_path / "ledger")).append("r-1", "deployed", services={})
    monkeypatch.undo()
    assert [each["release"] for each in Ledger(str(tmp_path / "ledger")).lines] == ["r-1"]


def test_since_is_when_the_release_became_live_not_when_it_was_repaired(tmp_path: Path) -> None:
    path = tmp_path / "ledger"
    lines: list[dict[str, Any]] = [
        {"at": "1", "release": "r-1", "outcome": "deployed"},
        {"at": "2", "release": "r-2", "outcome": "deployed"},
        {"at": "3", "release": "r-3", "outcome": "failed"},
        {"at": "4", "release": "r-2", "outcome": "repaired"},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    live = Ledger(str(path)).live()
    assert live is not None
    assert (live.release, live.since) == ("r-2", "2")


_WATCHED = {"release": "r-1", "outcome": "returned", "actor": "watch", "previous": "r-2", "at": "9", "reason": "5xx"}


@pytest.mark.parametrize(
    ("since", "known"),
    [
        ([], True),
        ([{"release": "r-3", "outcome": "failed", "actor": "mona"}], True),
        ([{"release": "r-1", "outcome": "repaired", "reason": "secrets of today"}], True),
        ([{"release": "r-1", "outcome": "validated", "actor": "mona"}], True),
        ([{"release": "r-1", "outcome": "unchanged", "actor": "mona", "previous": "r-1"}], False),
        ([{"release": "r-1", "outcome": "repaired", "actor": "mona", "previous": "r-1"}], False),
        ([{"release": "r-3", "outcome": "deployed", "actor": "mona", "previous": "r-1"}], False),
        ([{"release": "r-0", "outcome": "returned", "actor": "mona", "previous": "r-1"}], False),
    ],
)
def test_that_the_watch_rolled_back_is_known_until_a_deployment_succeeds(
    tmp_path: Path, since: list[dict[str, Any]], *, known: bool
) -> None:
    path = tmp_path / "ledger"
    began = [{"release": "r-2", "outcome": "deployed", "actor": "mona", "previous": "r-1"}]
    path.write_text("".join(json.dumps(line) + "\n" for line in [*began, _WATCHED, *since]))
    expected = {"from": "r-2", "to": "r-1", "at": "9", "reason": "5xx"}
    assert Ledger(str(path)).returned() == (expected if known else None)


def test_migration_is_remembered_per_release_and_is_no_outcome(tmp_path: Path) -> None:
    ledger = Ledger(str(tmp_path / "ledger"))
    ledger.append("r-1", "migrated", service="api")
    again = Ledger(str(tmp_path / "ledger"))
    assert again.migrated("r-1") == {"api"}
    assert again.migrated("r-2") == frozenset()
    assert again.last() is None
    assert again.live() is None


def test_retention_keeps_the_newest_proven_releases_and_what_they_need() -> None:
    def release(image: str, *files: str) -> dict[str, Any]:
        return {"images": {"api": f"app:{image}@sha256:{image}"}, "files": {name: {} for name in files}}

    kept = {
        "r-1": release("1", "f1"),
        "r-2": release("2", "f1", "f2"),
        "r-3": release("2"),
        "r-bad": release("4", "f4"),
    }
    found = choose(kept, ["r-3", "r-2", "r-1"], 2, files=["f1", "f2", "f4", "f9"], needed_elsewhere=[])
    assert found.releases == ("r-1", "r-bad")
    assert found.files == ("f4", "f9")
    assert found.images == ("app@sha256:1", "app@sha256:4")
    elsewhere = choose(kept, ["r-3", "r-2"], 2, files=[], needed_elsewhere=["app@sha256:4"])
    assert elsewhere.images == ("app@sha256:1",)


def test_lock_names_its_owner_and_ends_with_its_process(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    code = (
        "import sys, time; from slipway.agent.state.lock import lock\n"
        f"with lock({path!r}, owner='ci', reason='deploy r-1', wait=0):\n"
        "    print('held', flush=True); time.sleep(60)"
    )
    other = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        assert "ci (pid" in str(held_by(path))
        with (
            pytest.raises(SlipwayError, match=r"ci \(pid \d+\) since \d+ s: deploy r-1"),
            lock(path, owner="me", reason="x", wait=0),
        ):
            pass
    finally:
        other.kill()
        other.wait()
    with lock(path, owner="me", reason="x", wait=5):
        pass
    assert held_by(path) is None


@pytest.mark.parametrize(
    ("owner", "reason", "asked"),
    [("me", "deploy r-1", True), ("you", "deploy r-1", False), ("me", "destroy", False), ("me", "move undo", False)],
)
def test_only_ones_own_deployment_is_asked_to_go_back(tmp_path: Path, owner: str, reason: str, *, asked: bool) -> None:
    path, heard = str(tmp_path / "lock"), []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        assert ask_to_end(path, "me") is None
        with lock(path, owner=owner, reason=reason, wait=0):
            assert ask_to_end(path, "me") == (os.getpid() if asked else None)
        assert ask_to_end(path, "me") is None
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM] * asked


def test_probe_looking_at_the_lock_does_not_fail_a_deployment(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    Path(path).touch()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            held_by(path)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(50):
            with lock(path, owner="me", reason="x", wait=0):
                pass
    finally:
        stop.set()
        thread.join()


def test_atomic_write_sets_mode_and_leaves_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    write_atomically(str(path), b"one", 0o600)
    write_atomically(str(path), b"two", 0o640)
    assert path.read_bytes() == b"two"
    assert path.stat().st_mode & 0o777 == 0o640
    assert [each.name for each in tmp_path.iterdir()] == ["secrets.json"]


def test_orphan_of_a_killed_deployment_is_ended_and_nobody_else(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "journal"))
    journal.begin(release="r-1")
    orphan = subprocess.Popen(["sleep", "60"], start_new_session=True)
    threading.Thread(target=orphan.wait, daemon=True).start()
    journal.child(orphan.pid)
    with (tmp_path / "journal").open("a") as handle:
        handle.write(json.dumps({"child": os.getpid(), "born": "12345"}) + "\n")
    found = journal.unfinished()
    assert found is not None
    begin = time.monotonic()
    assert end_orphans(found) == 1
    assert orphan.wait(5) == -9
    assert time.monotonic() - begin < 5


@pytest.mark.parametrize(
    ("check", "answer", "reason"),
    [
        ({"status": 200}, Answer(status=200), ""),
        ({}, Answer(status=503), "status is 503, not 200"),
        ({"status": 401}, Answer(status=401), ""),
        ({"contains": "ö"}, Answer(status=200, body="schön"), ""),
        ({"contains": "x"}, Answer(status=200, body="y"), 'the body does not contain "x"'),
        ({"json": {"a.b": 1}}, Answer(status=200, body='{"a": {"b": 1}}'), ""),
        ({"json": {"a.b": 1}}, Answer(status=200, body='{"a": {"b": 2}}'), "field a.b is 2, not 1"),
        ({"json": {"a.b": 1}}, Answer(status=200, body='{"a.b": 1}'), ""),
        ({"json": {"a.1": "y"}}, Answer(status=200, body='{"a": ["x", "y"]}'), ""),
        ({"json": {"a.c": 1}}, Answer(status=200, body='{"a": {}}'), "field a.c is missing"),
        ({"json": {"ok": True}}, Answer(status=200, body='{"ok": 1}'), "field ok is 1, not true"),
        ({"json": {"ok": True}}, Answer(status=200, body="<html>"), "the body is not JSON"),
        ({}, Answer(error="Connection refused"), "Connection refused"),
    ],
)
def test_smoke_check_says_what_was_wrong(check: dict[str, Any], answer: Answer, reason: str) -> None:
    assert judge({"kind": "http", "port": 1, "deadline": 1, **check}, answer) == reason


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (TimeoutError("timed out"), "no answer in time"),
        (ConnectionRefusedError(111, "Connection refused"), "Connection refused"),
        (http.client.BadStatusLine("SSH-2.0"), "what answers does not speak HTTP"),
        (http.client.RemoteDisconnected("Remote end closed connection"), "Remote end closed connection"),
        (OSError(), "OSError"),
    ],
)
def test_why_there_was_no_answer_is_said_in_words(error: Exception, said: str) -> None:
    assert words(error) == said
