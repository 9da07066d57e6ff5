"""Two operations on a stack at once, and what a killed one leaves: with the real engine, a folder and a bucket."""

from __future__ import annotations

import contextlib
import dataclasses
import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from object_store import object_store
from pulumi_project import STACK, UP_SECONDS

from slipway.releases.backend.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
PROJECT = "contract"
LOCKS = f".pulumi/locks/organization/{PROJECT}/{STACK}"
RUNS = f".slipway/runs/{PROJECT}/{STACK}"
# Says when it begins and when it ends; what goes on in between is a pending operation of the state.
PROGRAM = """\
import pulumi_command

number = open("number").read()
work = "echo begin >> times; sleep $(cat seconds); echo end >> times"
pulumi_command.local.Command("slow", create=f"{work} # {number}")
"""


@dataclasses.dataclass
class Stage:
    """A stack whose update takes as long as a test says, and its backend."""

    folder: Path
    environment: dict[str, str]
    store: Any
    started: list[subprocess.Popen[str]] = dataclasses.field(default_factory=list)

    def lasts(self, seconds: float) -> None:
        """From now on an update has something to do, for so long."""
        (self.folder / "seconds").write_text(str(seconds))
        (self.folder / "number").write_text(str(time.monotonic()))

    def slipway(self, *arguments: str, wait: int = 60, **environment: str) -> subprocess.Popen[str]:
        return self._start(
            [sys.executable, "-c", "from slipway.cli.main import main; main()", *arguments, "--stack", STACK],
            PYTHONPATH=str(ROOT),
            SLIPWAY_LOCK_WAIT=str(wait),
            **environment,
        )

    def pulumi_up(self) -> subprocess.Popen[str]:
        return self._start(["pulumi", "up", "--yes", "--skip-preview", "--non-interactive", "--stack", STACK])

    def up(self, *, wait: int = 60, code: int = 0, **environment: str) -> tuple[str, str]:
        """`slipway up` to its end: standard output and standard error."""
        return self.end(self.slipway("up", wait=wait, **environment), code)

    def locks(self) -> list[tuple[str, dict[str, Any]]]:
        """The engine's locks: name and content."""
        return [(name, json.loads(bytes(self.store.get(name).bytes()))) for name in self.names(LOCKS)]

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Kill a command with its engine, which leaves its lock."""
        engines = [content["pid"] for _, content in self.locks()]
        os.killpg(process.pid, signal.SIGKILL)
        for engine in engines:  # in a session of its own where slipway started it
            with contextlib.suppress(ProcessLookupError):
                os.kill(engine, signal.SIGKILL)
        process.communicate(timeout=30)

    def end(self, process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
        out, error = process.communicate(timeout=UP_SECONDS)
        assert process.returncode == code, out + error
        assert "Traceback" not in out + error
        return out, error

    def begun(self) -> None:
        """Wait until an update is in the middle of its work."""
        times = self.folder / "times"
        _eventually(lambda: times.exists() and times.read_text().splitlines()[-1:] == ["begin"])

    def names(self, prefix: str) -> list[str]:
        found = [entry["path"] for page in self.store.list(prefix) for entry in page]
        return sorted(name for name in found if not name.endswith(".attrs"))

    def history(self) -> list[dict[str, Any]]:
        """The updates, newest first."""
        done = subprocess.run(
            ["pulumi", "stack", "history", "--json", "--stack", STACK],
            cwd=self.folder, env=self.environment, capture_output=True, text=True, timeout=UP_SECONDS, check=True,
        )  # fmt: skip
        updates: list[dict[str, Any]] = json.loads(done.stdout)
        return updates

    def free(self) -> bool:
        """Whether nothing of any lock is left."""
        return not self.names(LOCKS) and not self.names(".slipway")

    def _start(self, argv: list[str], **more: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            argv,
            cwd=self.folder,
            env={**self.environment, **more},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process


def _eventually(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, "did not happen in time"
        time.sleep(0.05)
    return value


def _in_folder(folder: Path) -> contextlib.AbstractContextManager[dict[str, str]]:
    (folder / "state").mkdir()
    return contextlib.nullcontext({"PULUMI_BACKEND_URL": f"file://{folder / 'state'}"})


@contextlib.contextmanager
def _in_bucket(_: Path) -> Iterator[dict[str, str]]:
    with object_store() as bucket:
        yield bucket.environment


in_both = pytest.mark.parametrize("stage", [_in_folder, _in_bucket], ids=["folder", "bucket"], indirect=True)
"""Where the backend itself is what is tried: its locks, its notes and their order; else it is a folder."""


@pytest.fixture
def stage(request: pytest.FixtureRequest, tmp_path: Path, pulumi_env: dict[str, str]) -> Iterator[Stage]:
    (tmp_path / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
    (tmp_path / "__main__.py").write_text(PROGRAM)
    clean = {name: value for name, value in pulumi_env.items() if not name.startswith(("SLIPWAY_", "GITHUB_", "AWS_"))}
    with getattr(request, "param", _in_folder)(tmp_path) as backend:
        environment = {**clean, **backend}
        init = ["pulumi", "stack", "init", STACK, "--non-interactive"]
        subprocess.run(init, cwd=tmp_path, env=environment, capture_output=True, timeout=UP_SECONDS, check=True)
        stage = Stage(tmp_path, environment, open_store(environment["PULUMI_BACKEND_URL"], environment))
        stage.lasts(0)
        yield stage
        for process in stage.started:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.communicate(timeout=30)


def test_an_update_is_shown_while_it_runs_keeps_a_pulumi_up_out_and_leaves_no_lock(stage: Stage) -> None:
    stage.lasts(6)
    first = stage.slipway("up", "--", "--message", "a reason of its own")
    stage.begun()
    shown, second = stage.slipway("lock", "--json"), stage.pulumi_up()
    document = json.loads(stage.end(shown, 1)[0])
    assert document["state"] == "held"
    [lock] = document["locks"]
    assert lock["owner"]["hostname"] == os.uname().nodename
    assert lock["reason"] == "its process runs on this machine"
    assert "the stack is currently locked by 1 lock(s)" in "".join(stage.end(second, 1))
    stage.end(first)
    assert stage.free()
    assert len(stage.history()) == 1
    assert stage.history()[0]["message"] == "a reason of its own"


@in_both
def test_after_a_killed_pulumi_the_next_slipway_up_just_works_and_history_has_the_record(stage: Stage) -> None:
    stage.lasts(30)
    killed = stage.pulumi_up()
    stage.begun()
    stage.kill(killed)
    assert len(stage.names(LOCKS)) == 1
    stage.lasts(0)
    out, error = stage.up()
    assert f"took over the lock of {_user()}@{os.uname().nodename} (pid {killed.pid}) since 20" in error
    assert "done in " in out
    assert stage.history()[0]["message"] == error.splitlines()[0]
    assert stage.free()
    # a creation that was begun could have made something: the engine says so until it is told that this is settled
    assert "interrupted while creating" in out
    settle = ["pulumi", "refresh", "--clear-pending-creates", "--yes", "--skip-preview", "--stack", STACK]
    subprocess.run(settle, cwd=stage.folder, env=stage.environment, capture_output=True, timeout=60, check=True)
    out, error = stage.up()
    assert "nothing to do" in out
    assert "warning" not in out
    assert error == ""


def test_a_change_that_a_killed_slipway_had_begun_is_done_and_not_warned_of_again(stage: Stage) -> None:
    stage.up()
    stage.lasts(30)
    killed = stage.slipway("up")
    stage.begun()
    stage.kill(killed)
    stage.lasts(0)
    _, error = stage.up()
    [taken] = error.splitlines()
    assert taken.startswith("took over the lock of ")
    assert stage.history()[0]["message"] == taken
    out, error = stage.up()
    assert "nothing to do" in out
    assert "warning" not in out
    assert error == ""


def test_after_a_killed_slipway_its_engine_stops_and_the_next_one_waits_for_that(stage: Stage) -> None:
    stage.lasts(6)
    killed = stage.slipway("up")
    stage.begun()
    killed.kill()  # the engine is in a session of its own, and learns of it from the kernel
    killed.communicate(timeout=30)
    stage.lasts(0)
    _, error = stage.up()
    assert "took over" not in error
    first, second = reversed(stage.history()[:2])
    assert first["result"] == "failed"
    assert _time(first["endTime"]) <= _time(second["startTime"])
    assert stage.free()


@in_both
def test_two_at_once_go_one_after_the_other(stage: Stage) -> None:
    stage.lasts(3)
    both = [stage.slipway("up"), stage.slipway("up")]
    said = [stage.end(process)[1] for process in both]
    # Each of them may meet the other's lock when both begin at the same moment.
    assert any(re.match(r"waiting up to \d+ s: stack test is locked by ", error) for error in said), said
    updates = sorted(stage.history(), key=lambda update: _time(update["startTime"]))
    assert [update["result"] for update in updates] == ["succeeded", "succeeded"]
    assert _time(updates[0]["endTime"]) <= _time(updates[1]["startTime"])
    assert (stage.folder / "times").read_text().split() == ["begin", "end"]  # the second found it done
    assert stage.free()


class _GitHub(http.server.BaseHTTPRequestHandler):
    """Says of every run whether it is over (get-a-workflow-run)."""

    status = "in_progress"

    def do_GET(self) -> None:
        content = json.dumps({"id": 7, "run_attempt": 1, "status": self.status, "path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@in_both
def test_the_lock_of_another_machines_ci_run_is_taken_over_once_the_run_is_over(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = {"GITHUB_REPOSITORY": "acme/shop", "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "1"}
    stage.lasts(30)
    killed = stage.slipway("up", **run)
    stage.begun()
    [(name, lock)] = stage.locks()
    [note] = stage.names(RUNS)
    assert note == f"{RUNS}/{lock['hostname']}-{lock['pid']}.json"
    stage.kill(killed)
    stage.store.put(name, json.dumps({**lock, "hostname": "elsewhere"}).encode())
    stage.store.rename(note, f"{RUNS}/elsewhere-{lock['pid']}.json")
    stage.lasts(0)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _GitHub) as github:
        thread = threading.Thread(target=github.serve_forever, args=(0.05,))
        thread.start()
        api = f"http://127.0.0.1:{github.server_address[1]}"
        _, error = stage.up(wait=0, code=1, GITHUB_API_URL=api)
        assert "its run goes on (https://github.com/acme/shop/actions/runs/7)" in error
        monkeypatch.setattr(_GitHub, "status", "completed")
        _, error = stage.up(GITHUB_API_URL=api)
        github.shutdown()
        thread.join()
    assert f"took over the lock of {_user()}@elsewhere (pid {lock['pid']})" in error
    assert "its run is over (https://github.com/acme/shop/actions/runs/7)" in error
    assert stage.free()


def test_a_slipway_up_does_not_interfere_with_a_pulumi_up_that_runs(stage: Stage) -> None:
    stage.lasts(6)
    running = stage.pulumi_up()
    stage.begun()
    _, error = stage.up(wait=0, code=1)
    assert f"is locked by {_user()}@{os.uname().nodename} (pid {running.pid}) since 20" in error
    assert "its process runs on this machine" in error
    assert error.count("\n") == 1
    stage.end(running)
    assert len(stage.history()) == 1
    assert stage.free()


@in_both
def test_the_lock_of_another_machine_is_refused_and_stays(stage: Stage) -> None:
    stage.lasts(30)
    killed = stage.pulumi_up()
    stage.begun()
    stage.kill(killed)
    [(name, content)] = stage.locks()
    stage.store.put(name, json.dumps({**content, "hostname": "elsewhere"}).encode())
    _, error = stage.up(wait=1, code=1)
    assert error.splitlines()[0].startswith("waiting up to 1 s: ")
    assert f"{_user()}@elsewhere (pid {killed.pid})" in error
    assert f"pulumi cancel --yes --stack {STACK}" in error
    assert stage.names(LOCKS) == [name]
    # the command that it names does it
    cancel = ["pulumi", "cancel", "--yes", "--stack", STACK]
    subprocess.run(cancel, cwd=stage.folder, env=stage.environment, capture_output=True, timeout=60, check=True)
    stage.lasts(0)
    stage.up()
    assert stage.free()


def test_released_locks_let_a_plain_pulumi_up_go_on(stage: Stage) -> None:
    stage.lasts(30)
    killed = stage.pulumi_up()
    stage.begun()
    stage.kill(killed)
    out, _ = stage.end(stage.slipway("lock", "--release"))
    assert out.startswith("took over the lock of ")
    stage.lasts(0)
    stage.end(stage.pulumi_up())
    assert stage.free()


def test_a_bucket_that_does_not_answer_is_told_before_anything_begins(
    tmp_path: Path, pulumi_env: dict[str, str]
) -> None:
    with object_store() as bucket:
        environment = {**pulumi_env, **bucket.environment}
    (tmp_path / "Pulumi.yaml").write_text(f"name: {PROJECT}\nruntime: python\n")
    began = time.monotonic()
    _, error = Stage(tmp_path, environment, None).up(code=1)
    assert error.startswith("slipway: error: the backend's objects cannot be read (")
    assert error.count("\n") == 1
    assert time.monotonic() - began < 30


def _user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
