"""Having a stack: over a real store in a folder, with real processes. The engine's locks are written as it does."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.backend.store import open_store
from cli.locks import machine
from cli.locks import operation as module
from cli.locks.message import message_in, with_message
from cli.locks.operation import Held, operation
from cli.locks.place import lock_wait, place_of_stack
from cli.locks.records import Records, new_record
from cli.locks.refusal import conflict
from cli.stack import Engine
from slipway.contract.problems import SlipwayError

HOSTNAME = machine.this_machine().hostname


@pytest.fixture(autouse=True)
def _sees_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.Machine, "sees_all", True)  # tests may run in a container
    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.05)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    (tmp_path / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    return Engine(
        root=tmp_path,
        stack="staging",
        environment={**os.environ, "PULUMI_BACKEND_URL": f"file://{tmp_path / 'state'}"},
        options=["--stack", "staging"],
    )


@pytest.fixture
def records(engine: Engine) -> Records:
    return Records(open_store(engine.environment["PULUMI_BACKEND_URL"]), "shop", "staging")


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def have(engine: Engine, told: list[str]) -> Callable[..., contextlib.AbstractContextManager[Held]]:
    def have(what: str = "up", **given: Any) -> contextlib.AbstractContextManager[Held]:
        return operation(engine, what=what, tell=told.append, **{"wait": 0, **given})

    return have


Have = Callable[..., contextlib.AbstractContextManager[Held]]


def _gone() -> int:
    with subprocess.Popen(["true"]) as ended:
        pass
    return ended.pid


def _dead(records: Records, what: str = "rollback") -> None:
    """The record of an operation of this machine whose process is gone."""
    dead = new_record(what, "to r-0123456789ab", {}).model_copy(update={"pid": _gone()})
    assert records.begin(dead)


def _engine_lock(engine: Engine, name: str = "a", content: bytes | None = None, **changed: object) -> Path:
    folder = engine.root / "state/.pulumi/locks/organization/shop/staging"
    folder.mkdir(parents=True, exist_ok=True)
    said = {
        "pid": _gone(),
        "username": "ann",
        "hostname": HOSTNAME,
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "123Z"),  # nanoseconds, as Go writes them
    }
    file = folder / f"{name}.json"
    file.write_bytes(json.dumps({**said, **changed}).encode() if content is None else content)
    file.with_name(f"{name}.json.attrs").write_text("{}")  # the engine keeps one beside each file
    return file


def _refused(have: Have, **given: Any) -> str:
    with pytest.raises(SlipwayError) as refused, have(**given):
        pytest.fail("it had the stack")
    return str(refused.value)


def _left(engine: Engine) -> list[str]:
    state = engine.root / "state"
    return sorted(str(file.relative_to(state)) for file in state.rglob("*") if file.is_file())


# --- one after the other


def test_a_free_stack_is_had_at_once_and_nothing_stays(engine: Engine, have: Have, told: list[str]) -> None:
    with have() as held:
        assert held.taken_over == ""
        assert _left(engine) == [".slipway/operations/shop/staging.json"]
    assert _left(engine) == []
    assert told == []


def test_a_second_one_is_refused_with_who_what_why_since_when_and_what_to_do(have: Have) -> None:
    with have("rollback", why="to r-0123456789ab"):
        error = _refused(have)
    assert "stack staging is held by " in error
    assert f"(pid {os.getpid()}): rollback, to r-0123456789ab, since 20" in error
    assert "its process lives on this machine" in error
    assert "nothing was begun" in error
    assert "slipway lock" in error


def test_a_second_one_waits_says_so_once_and_then_goes_on(have: Have, told: list[str]) -> None:
    begun, done = threading.Event(), []

    def first() -> None:
        with have("rollback"):
            begun.set()
            time.sleep(0.5)
            done.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    begun.wait()
    with have(wait=20):
        assert done == ["first"]
    thread.join()
    assert len(told) == 1
    assert told[0].startswith("waiting up to 20 s: stack staging is held by ")


def test_many_at_once_never_overlap(have: Have) -> None:
    inside, most, done = 0, 0, 0

    def one() -> None:
        nonlocal inside, most, done
        with have(wait=30):
            inside += 1
            most = max(most, inside)
            time.sleep(0.02)
            inside -= 1
            done += 1

    threads = [threading.Thread(target=one) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, done) == (1, 8)


def test_a_failure_gives_the_stack_up(engine: Engine, have: Have) -> None:
    with pytest.raises(ZeroDivisionError), have():
        raise ZeroDivisionError
    assert _left(engine) == []


def test_waiting_in_vain_leaves_the_others_record_and_none_of_its_own(engine: Engine, have: Have) -> None:
    with have("rollback"):
        before = _left(engine)
        error = _refused(have, wait=0.2)
        assert "waited 0 s" in error
        assert _left(engine) == before


def test_stacks_do_not_share_a_lock(engine: Engine, have: Have) -> None:
    other = Engine(root=engine.root, stack="organization/shop/other", environment=engine.environment, options=[])
    with have(), operation(other, what="up", wait=0):
        assert ".slipway/operations/shop/other.json" in _left(engine)


# --- taking over


def test_what_a_dead_process_held_is_taken_over_and_said(
    engine: Engine, records: Records, have: Have, told: list[str]
) -> None:
    _dead(records)
    with have() as held:
        assert held.taken_over.startswith("took over the lock of ")
        assert ", rollback, to r-0123456789ab since 20" in held.taken_over
        assert held.taken_over.endswith("orphaned: its process is gone from this machine")
        assert "ago" not in held.taken_over  # it is kept
        assert held.message("") == held.taken_over
        assert held.message("mine") == f"mine ({held.taken_over})"
    assert told == [held.taken_over]
    assert _left(engine) == []


def test_an_engines_lock_is_taken_over_when_its_process_is_gone(engine: Engine, have: Have, told: list[str]) -> None:
    for name in ("a", "b"):
        _engine_lock(engine, name)
    with have() as held:
        assert _left(engine) == [".slipway/operations/shop/staging.json"]
    assert held.taken_over.count("took over the engine's lock of ann@") == 2
    assert len(told) == 2


def test_the_lock_of_an_engine_that_may_live_is_never_removed(engine: Engine, have: Have) -> None:
    _engine_lock(engine, "a")
    _engine_lock(engine, "b", hostname="elsewhere")
    error = _refused(have)
    assert "is locked by a run of pulumi of ann@elsewhere (pid " in error
    assert "cannot be seen from" in error
    assert "pulumi cancel --yes --stack staging" in error
    folder = ".pulumi/locks/organization/shop/staging"
    assert _left(engine) == [f"{folder}/b.json", f"{folder}/b.json.attrs"]


def test_it_waits_for_an_engine_elsewhere_to_end(engine: Engine, have: Have, told: list[str]) -> None:
    lock = _engine_lock(engine, hostname="elsewhere")
    timer = threading.Timer(0.3, lock.unlink)
    timer.start()
    with have(wait=20) as held:
        assert held.taken_over == ""
    assert len(told) == 1
    assert "locked by a run of pulumi of ann@elsewhere" in told[0]


def test_with_an_operation_elsewhere_its_engines_lock_is_taken_over(
    engine: Engine, records: Records, have: Have
) -> None:
    began = datetime.now(UTC) - timedelta(seconds=200)
    changed = {"hostname": "elsewhere", "actor": "bob@elsewhere", "since": began}
    records.begin(new_record("up", "", {}).model_copy(update=changed))
    lock = _engine_lock(engine, hostname="elsewhere", timestamp=(began + timedelta(seconds=5)).isoformat())
    assert "its last sign of life was " in _refused(have)
    assert lock.exists()
    _silent(engine, 125)
    with have() as held:
        assert not lock.exists()
    assert "took over the lock of bob@elsewhere" in held.taken_over
    assert "no sign of life for 2 min" in held.taken_over
    assert "took over the engine's lock of ann@elsewhere" in held.taken_over


def _silent(engine: Engine, seconds: float) -> None:
    """The record's last sign of life was so long ago."""
    then = time.time() - seconds
    os.utime(engine.root / "state/.slipway/operations/shop/staging.json", (then, then))


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"pid": 1}', b'{"pid": 1, "timestamp": "yesterday"}'])
def test_rubbish_in_the_place_of_an_engines_lock_is_named(engine: Engine, have: Have, content: bytes) -> None:
    _engine_lock(engine, "rubbish", content)
    error = _refused(have)
    assert "staging/rubbish.json" in error
    assert "the lock cannot be read" in error
    assert "pulumi cancel --yes --stack staging" in error


def test_rubbish_in_the_place_of_a_record_is_waited_for_a_minute_and_then_taken_over(
    engine: Engine, have: Have
) -> None:
    file = engine.root / "state/.slipway/operations/shop/staging.json"
    file.parent.mkdir(parents=True)
    file.write_text("{")
    assert "whose record cannot be read" in _refused(have)
    _silent(engine, 125)
    with have() as held:
        assert "a record that cannot be read" in held.taken_over
    assert _left(engine) == []


# --- signs of life


_SLEEPER = """\
import signal, sys, time
from pathlib import Path
from cli.locks import operation as module
from cli.locks.operation import operation
from cli.stack import Engine
module.BEAT_SECONDS = 0.1
signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background may start with it ignored
root = Path(sys.argv[1])
engine = Engine(root=root, stack="staging", environment={"PULUMI_BACKEND_URL": f"file://{root}/state"}, options=[])
try:
    with operation(engine, what="up", why="asleep", wait=0):
        print("begun", flush=True)
        time.sleep(30)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


@pytest.fixture
def sleeper(engine: Engine) -> Iterator[subprocess.Popen[str]]:
    """Another process that has the stack, and gives a sign of life ten times a second."""
    with subprocess.Popen(
        [sys.executable, "-c", _SLEEPER, str(engine.root)],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout
        assert running.stdout.readline() == "begun\n"
        yield running
        running.kill()


def test_a_killed_process_is_taken_over_at_once(sleeper: subprocess.Popen[str], have: Have) -> None:
    assert f"(pid {sleeper.pid}): up, asleep" in _refused(have)
    sleeper.kill()
    sleeper.wait()
    with have() as held:
        assert f"(pid {sleeper.pid}), up, asleep since" in held.taken_over


def test_a_living_operation_gives_signs_of_life(engine: Engine, sleeper: subprocess.Popen[str]) -> None:
    assert sleeper.poll() is None
    [alive] = _eventually(lambda: list((engine.root / "state/.slipway/operations/shop/staging").glob("*.alive.json")))
    before = alive.stat().st_mtime_ns
    _eventually(lambda: alive.stat().st_mtime_ns > before)


def test_an_operation_that_was_taken_over_while_it_slept_stops_when_it_wakes(
    engine: Engine, records: Records, sleeper: subprocess.Popen[str]
) -> None:
    sleeper.send_signal(signal.SIGSTOP)
    taker = new_record("rollback", "", {})
    assert records.take_over(records.current(), taker)
    sleeper.send_signal(signal.SIGCONT)
    out, error = sleeper.communicate(timeout=20)
    assert out == "interrupted\n"
    assert "another operation took the stack over" in error
    assert [entry.id for entry in records.current()] == [taker.id]
    assert [name for name in _left(engine) if taker.id not in name] == [".slipway/operations/shop/staging.json"]


def _eventually(condition: Callable[[], Any]) -> Any:
    until = time.monotonic() + 20
    while not (value := condition()):
        assert time.monotonic() < until, "did not happen in time"
        time.sleep(0.02)
    return value


# --- the backend, the setting, the message


def test_at_pulumi_cloud_nothing_is_recorded(engine: Engine, told: list[str]) -> None:
    cloud = Engine(
        root=engine.root, stack="s", environment={"PULUMI_BACKEND_URL": "https://api.pulumi.com"}, options=[]
    )
    assert place_of_stack(cloud) is None
    with operation(cloud, what="up", wait=0, tell=told.append) as held:
        assert held.taken_over == ""
    assert told == []


def test_a_backend_that_cannot_be_written_is_told_before_anything_begins(engine: Engine, have: Have) -> None:
    (engine.root / "state").mkdir()
    (engine.root / "state/.slipway").write_text("a file where a folder should be")
    assert "the backend's objects cannot be written (" in _refused(have)


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


@pytest.mark.parametrize(
    ("options", "message", "after"),
    [
        ([], "", ["--message", "more"]),
        (["--refresh"], "", ["--refresh", "--message", "more"]),
        (["--message", "mine"], "mine", ["--message", "mine (more)"]),
        (["-m", "mine", "--refresh"], "mine", ["-m", "mine (more)", "--refresh"]),
        (["--message=mine"], "mine", ["--message=mine (more)"]),
        (["-m=mine"], "mine", ["-m=mine (more)"]),
        (["-mmine"], "mine", ["-mmine (more)"]),
        (["-m", "-m"], "-m", ["-m", "-m (more)"]),
        (["-m", "first", "-m", "last"], "last", ["-m", "first", "-m", "last (more)"]),
    ],
)
def test_a_message_of_the_users_own_is_kept(options: list[str], message: str, after: list[str]) -> None:
    assert message_in(options) == message
    assert with_message(options, "more") == after
    assert with_message(options, "") == options


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
    locked, other = conflict(LOCKED), conflict(CONFLICT)
    assert locked is not None
    assert locked.what.endswith("(created by ann@laptop (pid 4711) at 2026-11-20T14:02:11Z)".replace("created by ", ""))
    assert other is not None
    assert other.what == "another update of the stack is in progress"
    assert "pulumi cancel --yes" in other.fix
    assert conflict("error: Conflict. The container name is already in use [409]") is None
