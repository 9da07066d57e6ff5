"""Waiting for a stack and taking it over: a real store in a folder. The engine's locks are written as it does."""

import dataclasses
import json
import os
import re
import socket
import subprocess
import threading
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from slipway.contract.problems import Problem, SlipwayError
from slipway.releases import rollback
from slipway.releases.engine import Engine
from slipway.releases.locks import liveness, waiting
from slipway.releases.locks.engine_locks import stack_locks
from slipway.releases.locks.waiting import StackLockedError, conflict, lock_wait, when_free


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "_sees_all_processes", lambda: True)  # tests may run in a container
    monkeypatch.setattr(waiting, "_LOOK_SECONDS", 0.05)
    monkeypatch.setattr(waiting, "_CLOUD_SECONDS", 0.05)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    return Engine(root=tmp_path, stack="staging", environment=_environment(tmp_path), options=["--stack", "staging"])


def _environment(folder: Path, wait: float = 0.2, **more: str) -> dict[str, str]:
    backend = f"file://{folder / 'state'}"
    return {**os.environ, "PULUMI_BACKEND_URL": backend, "SLIPWAY_LOCK_WAIT": str(wait), **more}


def _patient(engine: Engine) -> Engine:
    return Engine(root=engine.root, stack="staging", environment=_environment(engine.root, 20), options=engine.options)


def _gone() -> int:
    with subprocess.Popen(["true"]) as ended:
        pass
    return ended.pid


def _lock(engine: Engine, name: str = "a", content: bytes | None = None, **changed: object) -> Path:
    folder = engine.root / "state/.pulumi/locks/organization/shop/staging"
    folder.mkdir(parents=True, exist_ok=True)
    said = {
        "pid": _gone(),
        "username": "ann",
        "hostname": socket.gethostname(),
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "123Z"),  # nanoseconds, as Go writes them
    }
    file = folder / f"{name}.json"
    file.write_bytes(json.dumps({**said, **changed}).encode() if content is None else content)
    file.with_name(f"{name}.json.attrs").write_text("{}")  # the engine keeps one beside each file
    return file


def _left(engine: Engine) -> list[str]:
    return sorted(file.name for file in (engine.root / "state").rglob("*") if file.is_file())


def _taken_over(engine: Engine) -> str:
    """Deploy: what was taken over for it."""
    given: list[str] = []

    def deployment(taken_over: str) -> int:
        given.append(taken_over)
        return 7

    assert when_free(engine, deployment) == 7
    [note] = given
    return note


def _refused(engine: Engine) -> str:
    with pytest.raises(SlipwayError) as refused:
        when_free(engine, lambda _: pytest.fail("it was begun"))
    return str(refused.value)


def test_a_free_stack_is_deployed_at_once_and_nothing_is_written(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    assert _taken_over(engine) == ""
    assert _left(engine) == []
    assert caplog.messages == []


def test_the_locks_of_engines_that_are_gone_are_taken_over_and_said(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("a", "b"):
        _lock(engine, name)
    note = _taken_over(engine)
    assert _left(engine) == []
    one = r"took over the lock of ann@\S+ \(pid \d+\) since 20\S+ \S+ UTC, stale: its process is gone from this machine"
    assert re.fullmatch(f"{one}; {one}", note)
    assert caplog.messages == note.split("; ")


def test_the_lock_of_a_ci_run_that_is_over_is_taken_over_with_its_note(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = _lock(engine, hostname="elsewhere", pid=4711)
    note = engine.root / "state/.slipway/runs/shop/staging/elsewhere-4711.json"
    note.parent.mkdir(parents=True)
    said = {"url": "https://x/7", "repository": "acme/shop", "id": 7, "attempt": 1, "since": str(datetime.now(UTC))}
    note.write_text(json.dumps(said))
    monkeypatch.setattr(liveness, "run_is_over", lambda *_: False)
    assert "GitHub says that its run goes on (https://x/7)" in _refused(engine)
    assert lock.exists()
    monkeypatch.setattr(liveness, "run_is_over", lambda *_: True)
    assert _taken_over(engine).endswith("stale: GitHub says that its run is over (https://x/7)")
    assert _left(engine) == []


def test_a_lock_of_which_nothing_is_known_stays_and_is_named_with_the_command(engine: Engine) -> None:
    _lock(engine, "a")
    _lock(engine, "b", hostname="elsewhere", pid=4711, timestamp="2026-11-20T14:02:11.123456789Z")
    error = _refused(engine)
    assert "stack staging is locked by ann@elsewhere (pid 4711) since 2026-11-20 14:02:11 UTC (" in error
    assert "cannot be seen from" in error
    assert "waited 0 s; " in error
    assert error.endswith("once you are sure that it is gone — pulumi cancel --yes --stack staging")
    assert _left(engine) == ["b.json", "b.json.attrs"]


def test_it_waits_for_an_engine_elsewhere_and_says_so_once(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    lock = _lock(engine, hostname="elsewhere")
    timer = threading.Timer(0.3, lock.unlink)
    timer.start()
    assert _taken_over(_patient(engine)) == ""
    [line] = caplog.messages
    assert line.startswith("waiting up to 20 s: stack staging is locked by ann@elsewhere")


@pytest.mark.parametrize("backend", ["", "https://api.pulumi.com"])
def test_of_two_that_begin_together_the_refused_one_looks_again_and_goes_on(
    backend: str, engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    more = {"PULUMI_BACKEND_URL": backend} if backend else {}
    given = Engine(root=engine.root, stack="staging", environment=_environment(engine.root, 20, **more), options=[])
    tries: list[str] = []

    def deployment(taken_over: str) -> int:
        tries.append(taken_over)
        if len(tries) < 3:
            raise StackLockedError(Problem("it is locked", "nothing was begun", "wait"))
        return 0

    assert when_free(given, deployment) == 0
    assert len(tries) == 3
    assert caplog.messages == ["waiting up to 20 s: it is locked"]


def test_an_engine_that_is_refused_for_too_long_ends_in_the_error(engine: Engine) -> None:
    def deployment(_: str) -> int:
        raise StackLockedError(Problem("it is locked", "nothing was begun", "wait"))

    with pytest.raises(SlipwayError, match="it is locked — waited 0 s; nothing was begun — wait"):
        when_free(engine, deployment)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": 1}', b'{"pid": 1, "timestamp": "yesterday"}'])
def test_rubbish_in_the_place_of_a_lock_is_named(engine: Engine, content: bytes) -> None:
    _lock(engine, "rubbish", content)
    error = _refused(engine)
    assert "staging/rubbish.json" in error
    assert "the lock cannot be read" in error
    assert "pulumi cancel --yes --stack staging" in error


def test_stacks_do_not_share_a_lock(engine: Engine) -> None:
    _lock(engine, hostname="elsewhere")
    environment = engine.environment
    other = Engine(root=engine.root, stack="organization/shop/other", environment=environment, options=[])
    assert _taken_over(other) == ""
    same = Engine(root=engine.root, stack="organization/shop/staging", environment=environment, options=[])
    assert "ann@elsewhere" in _refused(same)


def test_a_lock_that_cannot_be_removed_is_an_error_with_the_command(engine: Engine) -> None:
    class Store:
        def delete(self, _: str) -> None:
            raise PermissionError("no right to")

    _lock(engine)
    locks = stack_locks(engine)
    assert locks
    [lock] = locks.read()
    refusing = dataclasses.replace(locks, store=Store())  # type: ignore[arg-type]
    with pytest.raises(SlipwayError, match=r"cannot be removed \(no right to\).*pulumi cancel --yes --stack staging"):
        refusing.remove(lock)


def test_a_backend_that_cannot_be_read_is_reported_before_anything_begins(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Store:
        def list(self, *_: object, **__: object) -> None:
            raise PermissionError("no right to")

    monkeypatch.setattr("slipway.releases.locks.engine_locks.open_store", lambda *_: Store())
    assert "the backend's objects cannot be read (no right to) — it is not known whether somebody" in _refused(engine)


@pytest.mark.parametrize(
    ("environment", "stated", "dotenv", "expected"),
    [
        ("", "", "", 60),
        ("", "", "SLIPWAY_LOCK_WAIT=7", 7),
        ("", "5", "SLIPWAY_LOCK_WAIT=7", 5),
        ("0", "5", "SLIPWAY_LOCK_WAIT=7", 0),
        ("", "60", "SLIPWAY_LOCK_WAIT=7", 60),
        ("soon", "", "", 60),
    ],
)
def test_how_long_it_waits_is_the_setting(
    engine: Engine, environment: str, stated: str, dotenv: str, expected: float
) -> None:
    (engine.root / "Pulumi.staging.yaml").write_text(f"config:\n  shop:lockWait: {stated}\n")
    (engine.root / ".env").write_text(dotenv)
    given = Engine(
        root=engine.root,
        stack="organization/shop/staging",
        environment={**engine.environment, "SLIPWAY_LOCK_WAIT": environment},
        options=[],
    )
    assert lock_wait(given) == expected
    (engine.root / "Pulumi.yaml").write_text("name: shop\nconfig: {lockWait: {type: number, default: 7}}")
    assert lock_wait(given) == (7 if not stated and not dotenv else expected)


LOCKED = """\
error: the stack is currently locked by 1 lock(s). Either wait for the other process(es) to end or delete the lock \
file with `pulumi cancel`.
  file:///states/.pulumi/locks/organization/shop/staging/0c.json: created by ann@laptop (pid 4711) at \
2026-11-20T14:02:11Z
"""
CONFLICT = """\
error: [409] Conflict: Another update is currently in progress.
To learn more about possible reasons and resolution, visit \
https://www.pulumi.com/docs/support/troubleshooting/common-issues/update-conflicts/
"""


def test_what_an_engine_says_of_anothers_lock_is_put_in_the_familys_form() -> None:
    held, other = conflict(LOCKED, "staging"), conflict(CONFLICT, "staging")
    assert held is not None
    assert held.what.endswith("(ann@laptop (pid 4711) at 2026-11-20T14:02:11Z)")
    assert other is not None
    assert other.what == "another update of stack staging is in progress"
    assert other.fix.endswith("pulumi cancel --yes --stack staging")
    assert conflict("error: Conflict. The container name is already in use [409]", "staging") is None


def test_a_rollback_that_met_another_deployment_is_planned_anew(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    live = iter(["r-1", "r-2"])
    deployed: list[str] = []

    def carry_out(_: Engine, way: SimpleNamespace, *, message: str, again: str, **_more: object) -> int:
        if way.words == "from r-1":
            raise StackLockedError(Problem("it is locked", "nothing was begun", again))
        deployed.append(message)
        return 0

    found = SimpleNamespace(validated={}, live="")
    monkeypatch.setattr("slipway.releases.engine.engine_of", lambda *_, **__: _patient(engine))
    monkeypatch.setattr(rollback, "read_history", lambda _: found)
    monkeypatch.setattr(rollback, "planned", lambda *_, **__: SimpleNamespace(words=f"from {next(live)}", obstacles=[]))
    monkeypatch.setattr(rollback, "carry_out", carry_out)
    assert rollback.to_validated("staging", reason="checks failed", deploy=lambda *_, **__: 0, tell=print) == 0
    assert deployed == ["from r-2: checks failed"]
