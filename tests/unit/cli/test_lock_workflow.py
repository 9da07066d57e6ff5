"""Asking GitHub about a run, over HTTP. The answers are those of its API description (get-a-workflow-run)."""

import http.server
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from cli.locks.workflow import run_is_over

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


@pytest.mark.parametrize("conclusion", ["success", "failure", "cancelled", "timed_out"])
def test_a_run_that_ended_in_whatever_way_is_over(server: _Server, conclusion: str) -> None:
    server.answer = {**RUN, "status": "completed", "conclusion": conclusion}
    assert run_is_over("acme/shop", 7, _environment(server), attempt=2) is True


@pytest.mark.parametrize("status", ["queued", "in_progress", "requested", "waiting", "pending"])
def test_a_run_that_goes_on_or_waits_is_not_over(server: _Server, status: str) -> None:
    server.answer = {**RUN, "status": status}
    assert run_is_over("acme/shop", 7, _environment(server), attempt=2) is False


def test_an_attempt_is_over_when_a_later_one_runs(server: _Server) -> None:
    assert run_is_over("acme/shop", 7, _environment(server), attempt=1) is True


def test_the_run_is_asked_for_once_with_the_token_of_the_environment(server: _Server) -> None:
    run_is_over("acme/shop", 7, _environment(server, GITHUB_TOKEN="a-token"))
    assert server.seen == [("/repos/acme/shop/actions/runs/7", "token a-token")]
    server.seen.clear()
    run_is_over("acme/shop", 7, _environment(server))
    assert server.seen == [("/repos/acme/shop/actions/runs/7", None)]


@pytest.mark.parametrize("status", [401, 403, 404, 500, 503])
def test_a_refusal_leaves_it_unknown_and_is_not_tried_for_long(server: _Server, status: int) -> None:
    server.status, server.answer = status, {"message": "no"}
    began = time.monotonic()
    assert run_is_over("acme/shop", 7, _environment(server)) is None
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("answer", [b"<html>", {}, [], {"status": 7}])
def test_rubbish_leaves_it_unknown(server: _Server, answer: object) -> None:
    server.answer = answer
    assert not run_is_over("acme/shop", 7, _environment(server))


def test_a_github_that_does_not_answer_leaves_it_unknown() -> None:
    assert run_is_over("acme/shop", 7, {"GITHUB_API_URL": "http://127.0.0.1:9"}) is None
