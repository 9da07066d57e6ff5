"""Whether what made a lock lives, judged over real processes of this machine."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cli.locks.engine_locks import EngineLock
from cli.locks.judging import Operation, Verdict, judge_lock, judge_record
from cli.locks.machine import Machine, process, process_by_ps, this_machine
from cli.locks.records import Entry, Record, Run, new_record

NOW = datetime.now(UTC)
RUN = Run(url="https://github.com/acme/shop/actions/runs/7", repository="acme/shop", id=7, attempt=1)
HERE = this_machine()._replace(namespace="pid:[4026531836]")  # tests may run in a container
ELSEWHERE = Machine("elsewhere", "ann", "another-boot", "pid:[4026531836]")


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is called as the engine is."""
    sleep = shutil.which("sleep")
    assert sleep
    shutil.copy(sleep, tmp_path / "pulumi")
    with subprocess.Popen([tmp_path / "pulumi", "60"]) as running:
        while (found := process(running.pid)) is None or found.name != "pulumi":
            time.sleep(0.01)
        yield running
        running.kill()


def _gone() -> int:
    """The number of a process that was and is no more."""
    with subprocess.Popen(["true"]) as ended:
        pass
    return ended.pid


def _lock(pid: int, *, hostname: str = HERE.hostname, user: str = HERE.user, age: float = 0.0) -> EngineLock:
    return EngineLock("lock.json", pid, user, hostname, datetime.now(UTC) - timedelta(seconds=age))


def _record(**changed: object) -> Record:
    record = new_record("up", "", {}).model_copy(update={"namespace": HERE.namespace})
    return record.model_copy(update=changed)


def _judged(
    record: Record | None, machine: Machine = HERE, *, silent: float = 0.0, over: bool | None = None
) -> Verdict:
    now = datetime.now(UTC)
    entry = Entry("staging.json", "id", record, now - timedelta(seconds=silent))
    return judge_record(entry, machine, lambda: now, lambda _: over)


# --- processes


def test_proc_and_ps_tell_the_same_of_a_process(engine: subprocess.Popen[bytes]) -> None:
    by_proc, by_ps = process(engine.pid), process_by_ps(engine.pid)
    assert by_proc is not None
    assert by_ps is not None
    assert by_proc.name == by_ps.name == "pulumi"
    assert abs(by_proc.started - by_ps.started) < 2
    assert abs(by_proc.started - time.time()) < 30
    assert process_by_ps(engine.pid) == by_ps


@pytest.mark.parametrize("look", [process, process_by_ps])
def test_a_process_that_is_gone_or_only_not_yet_waited_for_is_none(look: object) -> None:
    assert look(_gone()) is None  # type: ignore[operator]
    ended = subprocess.Popen(["true"])
    try:
        os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is a zombie
        assert look(ended.pid) is None  # type: ignore[operator]
    finally:
        ended.wait()


def test_this_machine_is_told_from_others_by_more_than_its_name() -> None:
    here = this_machine()
    assert here.hostname == socket.gethostname()
    assert here.boot
    assert here == this_machine()


# --- records


def test_a_record_of_a_process_that_lives_here_is_held_however_silent() -> None:
    assert _judged(_record(), silent=3600).state == "held"


def test_a_record_of_a_process_that_is_gone_from_here_is_orphaned_at_once() -> None:
    verdict = _judged(_record(pid=_gone()))
    assert verdict == Verdict("orphaned", "its process is gone from this machine")


def test_a_later_process_with_the_same_number_does_not_hold_a_record() -> None:
    assert _judged(_record(mark="12345")).state == "orphaned"


@pytest.mark.parametrize("changed", [{"boot": "another"}, {"namespace": "pid:[1]"}, {"hostname": "other"}])
def test_of_another_machine_boot_or_container_only_signs_of_life_count(changed: dict[str, str]) -> None:
    record = _record(pid=_gone(), **changed)
    assert _judged(record, silent=5).state == "held"
    assert _judged(record, silent=59).state == "held"
    assert _judged(record, silent=61) == Verdict("orphaned", "it has given no sign of life for 1 min")


def test_a_slow_clock_here_takes_nothing_from_a_living_operation() -> None:
    entry = Entry("staging.json", "id", _record(), datetime.now(UTC) - timedelta(hours=1))
    verdict = judge_record(entry, ELSEWHERE, lambda: entry.seen + timedelta(seconds=4), lambda _: None)
    assert verdict == Verdict("held", "its last sign of life was 4 s ago")


def test_a_ci_run_that_is_over_holds_nothing_once_signs_of_life_are_missing() -> None:
    record = _record(run=RUN)
    assert _judged(record, ELSEWHERE, silent=30, over=True).state == "orphaned"
    assert RUN.url in _judged(record, ELSEWHERE, silent=30, over=True).reason
    assert _judged(record, ELSEWHERE, silent=30, over=False).state == "held"
    assert _judged(record, ELSEWHERE, silent=30, over=None).state == "held"
    assert _judged(record, ELSEWHERE, silent=3, over=True).state == "held"  # who gives signs of life lives
    assert _judged(record, ELSEWHERE, silent=61, over=False).state == "orphaned"


def test_a_record_that_cannot_be_read_is_held_for_a_minute() -> None:
    assert _judged(None, silent=30).state == "held"
    assert _judged(None, silent=90).state == "orphaned"


# --- the engine's locks


def _judged_lock(lock: EngineLock, *operations: Operation, machine: Machine = HERE, disk: bool = True) -> Verdict:
    return judge_lock(lock, machine, operations, on_this_disk=disk)


def _operation(state: str, *, silent: float = 0.0, **changed: object) -> Operation:
    seen = datetime.now(UTC) - timedelta(seconds=silent)
    return Operation(_record(**changed), seen, Verdict(state, f"it is {state}"))  # type: ignore[arg-type]


def test_the_lock_of_an_engine_that_lives_here_is_held(engine: subprocess.Popen[bytes]) -> None:
    assert _judged_lock(_lock(engine.pid)).state == "held"
    assert _judged_lock(_lock(engine.pid), disk=False).state == "held"


def test_the_lock_of_an_engine_that_is_gone_from_here_is_orphaned() -> None:
    assert _judged_lock(_lock(_gone())).state == "orphaned"
    assert _judged_lock(_lock(_gone(), age=1e6), disk=False).state == "orphaned"


def test_a_later_process_with_the_same_number_does_not_hold_a_lock(engine: subprocess.Popen[bytes]) -> None:
    verdict = _judged_lock(_lock(engine.pid, age=3600))
    assert verdict.state == "orphaned"
    assert "is a later one" in verdict.reason


def test_a_process_that_is_no_engine_leaves_it_unknown() -> None:
    verdict = _judged_lock(_lock(os.getpid()))
    assert verdict.state == "unknown"
    assert "not an engine" in verdict.reason


def test_the_lock_of_another_machine_is_unknown_without_a_record() -> None:
    assert _judged_lock(_lock(_gone(), hostname="elsewhere")).state == "unknown"


def test_in_a_bucket_a_name_that_many_machines_have_proves_nothing() -> None:
    many = HERE._replace(hostname="runner")
    assert _judged_lock(_lock(_gone(), hostname="runner"), machine=many, disk=False).state == "unknown"
    assert _judged_lock(_lock(_gone(), user="somebody-else"), disk=False).state == "unknown"
    assert _judged_lock(_lock(_gone(), user="somebody-else"), disk=True).state == "orphaned"


def test_a_container_does_not_see_whether_others_live() -> None:
    contained = HERE._replace(namespace="pid:[4026532512]")
    assert _judged_lock(_lock(_gone()), machine=contained).state == "unknown"


def test_the_lock_of_an_operation_elsewhere_ends_with_it() -> None:
    lock = _lock(_gone(), hostname="elsewhere")
    elsewhere = {"hostname": "elsewhere", "boot": "another-boot"}
    since = NOW - timedelta(minutes=10)
    lock = lock._replace(since=since + timedelta(seconds=3))
    assert _judged_lock(lock, _operation("orphaned", since=since, silent=300, **elsewhere)).state == "orphaned"
    assert _judged_lock(lock, _operation("held", since=since, **elsewhere)).state == "held"


def test_a_lock_before_or_after_an_operation_elsewhere_is_not_its_own() -> None:
    elsewhere = {"hostname": "elsewhere", "boot": "another-boot", "since": NOW - timedelta(minutes=10)}
    dead = _operation("orphaned", silent=300, **elsewhere)
    before = _lock(1, hostname="elsewhere", age=700)
    after = _lock(1, hostname="elsewhere", age=100)
    assert _judged_lock(before, dead).state == "unknown"
    assert _judged_lock(after, dead).state == "unknown"


def test_the_engine_of_a_dead_operation_here_is_looked_at_itself(engine: subprocess.Popen[bytes]) -> None:
    dead = _operation("orphaned", pid=_gone(), since=NOW - timedelta(minutes=1))
    assert _judged_lock(_lock(engine.pid), dead).state == "held"
    assert _judged_lock(_lock(_gone()), dead).state == "orphaned"
    contained = HERE._replace(namespace="pid:[4026532512]")
    same = Operation(dead.record.model_copy(update={"namespace": contained.namespace}), dead.seen, dead.verdict)
    assert _judged_lock(_lock(_gone()), same, machine=contained).state == "orphaned"


def test_a_lock_that_cannot_be_read_is_unknown() -> None:
    assert _judged_lock(EngineLock("lock.json")).state == "unknown"
