"""The note of a CI run beside the engine's lock, and asking GitHub about the run, over HTTP.

GitHub's answers are those of its API description (get-a-workflow-run).
"""

import http.server
import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from slipway.releases.engine import Engine
from slipway.releases.locks.ci_run import CiRun, noted_run, remove_note, run_is_over, run_of
from slipway.releases.locks.engine_locks import EngineLock, stack_locks

RUN = {"id": 7, "run_attempt": 2, "status": "in_progress", "conclusion": None, "url": "https://api.github.com/x"}


class _Server(http.server.ThreadingHTTPServer):
    status = 200
    answer: Any = RUN
    seen: list[tuple[str, str | None]]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        self.server.seen.append((self.path, self.headers.get("Authorization")))
        content = (
            self.server.answer if isinstance(self.server.answer, bytes) else json.dumps(self.server.answer).encode()
        )
        self.send_response(self.server.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[_Server]:
    with _Server(("127.0.0.1", 0), _Handler) as serving:
        serving.seen = []
        thread = threading.Thread(target=serving.serve_forever, args=(0.01,))
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


def _environment(server: _Server, **more: str) -> dict[str, str]:
    return {"GITHUB_API_URL": f"http://127.0.0.1:{server.server_address[1]}", **more}


def _run(attempt: int = 1) -> CiRun:
    url = "https://github.com/acme/shop/actions/runs/7"
    return CiRun(url=url, repository="acme/shop", id=7, attempt=attempt, since=datetime.now(UTC))


def _engine(folder: Path, **environment: str) -> Engine:
    (folder / "Pulumi.yaml").write_text("name: shop\nruntime: python\n")
    return Engine(
        root=folder,
        stack="staging",
        environment={"PULUMI_BACKEND_URL": f"file://{folder / 'state'}", **environment},
        options=[],
    )


def _files(folder: Path) -> list[str]:
    return [str(file.relative_to(folder / "state")) for file in folder.rglob("state/**/*") if file.is_file()]


def test_a_run_is_noted_beside_the_lock_while_its_engine_runs_and_found_by_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {"GITHUB_REPOSITORY": "acme/shop", "GITHUB_RUN_ID": "7", "GITHUB_RUN_ATTEMPT": "2"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    engine = _engine(tmp_path, **environment)
    locks = stack_locks(engine)
    assert locks
    lock = EngineLock("lock.json", 4711, "runner", socket.gethostname(), datetime.now(UTC))
    with noted_run(engine, 4711):
        assert _files(tmp_path) == [f".slipway/runs/shop/staging/{socket.gethostname()}-4711.json"]
        run = run_of(locks, lock)
        assert run
        assert (run.repository, run.id, run.attempt) == ("acme/shop", 7, 2)
        assert run.url == "https://github.com/acme/shop/actions/runs/7"
        assert run_of(locks, lock._replace(pid=4712)) is None
        assert run_of(locks, lock._replace(hostname="elsewhere")) is None
        # a note that was left behind, of an engine that had the same number on a machine of the same name
        assert run_of(locks, lock._replace(since=datetime.now(UTC) + timedelta(minutes=3))) is None
        assert run_of(locks, lock._replace(since=datetime.now(UTC) - timedelta(minutes=3))) is None
    assert _files(tmp_path) == []
    remove_note(locks, socket.gethostname(), 4711)  # there is none: no error


def test_outside_of_github_nothing_is_noted(tmp_path: Path) -> None:
    for environment in ({}, {"GITHUB_RUN_ID": "7"}, {"GITHUB_RUN_ID": "x", "GITHUB_REPOSITORY": "acme/shop"}):
        with noted_run(_engine(tmp_path, **environment), 4711):
            assert _files(tmp_path) == []


def test_a_backend_that_takes_no_note_does_not_stop_a_deployment(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/.slipway").write_text("a file where a folder should be")
    with noted_run(_engine(tmp_path, GITHUB_REPOSITORY="acme/shop", GITHUB_RUN_ID="7"), 4711):
        pass


@pytest.mark.parametrize("conclusion", ["success", "failure", "cancelled", "timed_out"])
def test_a_run_that_ended_in_whatever_way_is_over(server: _Server, conclusion: str) -> None:
    server.answer = {**RUN, "status": "completed", "conclusion": conclusion}
    assert run_is_over(_run(attempt=2), _environment(server)) is True


@pytest.mark.parametrize("status", ["queued", "in_progress", "requested", "waiting", "pending"])
def test_a_run_that_goes_on_or_waits_is_not_over(server: _Server, status: str) -> None:
    server.answer = {**RUN, "status": status}
    assert run_is_over(_run(attempt=2), _environment(server)) is False


def test_an_attempt_is_over_when_a_later_one_runs(server: _Server) -> None:
    assert run_is_over(_run(), _environment(server)) is True


def test_the_run_is_asked_for_once_with_the_token_of_the_environment(server: _Server) -> None:
    run_is_over(_run(), _environment(server, GITHUB_TOKEN="a-token"))
    assert server.seen == [("/repos/acme/shop/actions/runs/7", "token a-token")]
    server.seen.clear()
    run_is_over(_run(), _environment(server))
    assert server.seen == [("/repos/acme/shop/actions/runs/7", None)]


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_a_refusal_leaves_it_unknown_and_is_not_tried_for_long(server: _Server, status: int) -> None:
    server.status, server.answer = status, {"message": "no"}
    began = time.monotonic()
    assert run_is_over(_run(), _environment(server)) is None
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("answer", [b"<html>", {}, [], {"status": 7}])
def test_rubbish_leaves_it_unknown(server: _Server, answer: object) -> None:
    server.answer = answer
    assert not run_is_over(_run(), _environment(server))


def test_a_github_that_does_not_answer_leaves_it_unknown() -> None:
    assert run_is_over(_run(), {"GITHUB_API_URL": "http://127.0.0.1:9"}) is None
