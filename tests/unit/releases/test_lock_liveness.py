"""Whether the engine behind a lock still runs, judged over real processes of this machine."""

import functools
import getpass
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from obstore.store import MemoryStore

from slipway.releases.locks import ci_run, liveness
from slipway.releases.locks.engine_locks import EngineLock, StackLocks
from slipway.releases.locks.liveness import Liveness, judge

HERE = socket.gethostname()


@functools.cache
def the_run() -> ci_run.CiRun:
    """The run of the moment: notes of others count for minutes only, which a whole run of the tests takes as well."""
    return ci_run.CiRun(
        url="https://github.com/acme/shop/actions/runs/7",
        repository="acme/shop",
        id=7,
        attempt=1,
        since=datetime.now(UTC),
    )


@pytest.fixture(autouse=True)
def _sees_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "_sees_all_processes", lambda: True)  # tests may run in a container
    the_run.cache_clear()
    monkeypatch.setattr(liveness, "_SHARED", {"runner"})


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is called as the engine is."""
    sleep = shutil.which("sleep")
    assert sleep
    shutil.copy(sleep, tmp_path / "pulumi")
    with subprocess.Popen([tmp_path / "pulumi", "60"]) as running:
        yield running
        running.kill()


def _gone() -> int:
    """The number of a process that was and is no more."""
    with subprocess.Popen(["true"]) as ended:
        pass
    return ended.pid


def _lock(pid: int, *, hostname: str = HERE, user: str = getpass.getuser(), age: float = 0.0) -> EngineLock:
    return EngineLock("lock.json", pid, user, hostname, datetime.now(UTC) - timedelta(seconds=age))


def _locks(*, disk: bool = True) -> StackLocks:
    return StackLocks(store=MemoryStore(), project="shop", stack="staging", on_this_disk=disk)


def _judged(lock: EngineLock, *, disk: bool = True) -> Liveness:
    return judge(lock, _locks(disk=disk), {})


def test_the_lock_of_an_engine_that_runs_here_is_held(engine: subprocess.Popen[bytes]) -> None:
    assert _judged(_lock(engine.pid)) == Liveness("held", "its process runs on this machine")
    assert _judged(_lock(engine.pid), disk=False).state == "held"


def test_the_lock_of_an_engine_that_is_gone_from_here_is_stale() -> None:
    assert _judged(_lock(_gone())) == Liveness("stale", "its process is gone from this machine")
    assert _judged(_lock(_gone(), age=1e6), disk=False).state == "stale"


def test_an_engine_of_which_only_the_exit_code_is_left_holds_nothing() -> None:
    ended = subprocess.Popen(["true"])
    try:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is a zombie
        assert _judged(_lock(ended.pid)).state == "stale"
    finally:
        ended.wait()


def test_a_later_process_with_the_same_number_does_not_hold_a_lock(engine: subprocess.Popen[bytes]) -> None:
    verdict = _judged(_lock(engine.pid, age=3600))
    assert verdict.state == "stale"
    assert "is a later one" in verdict.reason


def test_a_process_that_is_no_engine_leaves_it_unknown() -> None:
    verdict = _judged(_lock(os.getpid()))
    assert verdict.state == "unknown"
    assert "not an engine" in verdict.reason


def test_a_system_whose_ps_does_not_answer_leaves_it_unknown(
    engine: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _judged(_lock(engine.pid)).state == "unknown"
    (tmp_path / "ps").write_text("#!/bin/sh\necho 'ps: unrecognized option'\nexit 1\n")
    (tmp_path / "ps").chmod(0o755)
    assert _judged(_lock(engine.pid)).state == "unknown"


def test_the_lock_of_another_machine_is_unknown() -> None:
    assert _judged(_lock(_gone(), hostname="elsewhere")).state == "unknown"


def test_in_a_bucket_a_name_that_many_machines_have_proves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _judged(_lock(_gone(), user="somebody-else"), disk=False).state == "unknown"
    assert _judged(_lock(_gone(), user="somebody-else"), disk=True).state == "stale"
    for name in ("runner", "runnervmg1sw1"):
        monkeypatch.setattr(socket, "gethostname", lambda name=name: name)
        assert _judged(_lock(_gone(), hostname=name), disk=False).state == "unknown"
        assert _judged(_lock(_gone(), hostname=name), disk=True).state == "stale"


def test_a_container_does_not_see_whether_others_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "_sees_all_processes", lambda: False)
    assert _judged(_lock(_gone())).state == "unknown"


def test_a_lock_that_cannot_be_read_is_unknown() -> None:
    assert _judged(EngineLock("lock.json")).state == "unknown"


@pytest.mark.parametrize(
    ("over", "state", "words"),
    [(True, "stale", "its run is over"), (False, "held", "its run goes on"), (None, "unknown", "does not say")],
)
def test_the_lock_of_a_ci_run_ends_with_it(
    over: object, state: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = _locks(disk=False)
    locks.store.put(".slipway/runs/shop/staging/elsewhere-4711.json", the_run().model_dump_json().encode())
    monkeypatch.setattr(
        liveness, "run_is_over", lambda run, _: over if run == the_run() else pytest.fail("another run")
    )
    verdict = judge(_lock(4711, hostname="elsewhere"), locks, {})
    assert verdict.state == state
    assert words in verdict.reason
    assert the_run().url in verdict.reason
