"""Processes from outside: health checks, start and end."""

import os
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

API = Path(__file__).resolve().parent.parent


def probe(*arguments: str, heartbeat: Path = Path("none")) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(API / "probe.py"), *arguments],
        env={"HEARTBEAT_FILE": str(heartbeat)},
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )


def test_heartbeat_is_healthy_only_while_fresh(tmp_path: Path) -> None:
    heartbeat = tmp_path / "heartbeat"
    assert "no heartbeat yet" in probe("heartbeat", "10", heartbeat=heartbeat).stdout
    heartbeat.touch()
    assert probe("heartbeat", "10", heartbeat=heartbeat).returncode == 0
    long_ago = time.time() - 60
    os.utime(heartbeat, (long_ago, long_ago))
    stale = probe("heartbeat", "10", heartbeat=heartbeat)
    assert stale.returncode == 1
    assert "60." in stale.stdout


@pytest.mark.parametrize(("status", "exit_status"), [(200, 0), (204, 1), (503, 1)])
def test_http_probe_accepts_200_only_and_shows_the_answer(status: int, exit_status: int) -> None:
    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b"the reason" if status != 204 else b"")

        def log_message(self, *_: object) -> None:
            """Keep the test's output clean."""

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.handle_request, daemon=True).start()
        result = probe("http", f"http://127.0.0.1:{server.server_port}/health")
    assert result.returncode == exit_status
    assert str(status) in result.stdout


def test_http_probe_names_what_it_could_not_reach() -> None:
    result = probe("http", "http://127.0.0.1:9/health")
    assert result.returncode == 1
    assert "127.0.0.1:9" in result.stdout


def test_scheduler_ends_at_once_on_sigterm() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "app", "scheduler"],
        cwd=API,
        env={"CACHE_URL": "redis://127.0.0.1:9/0"},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    assert "scheduling" in process.stderr.readline()
    begin = time.monotonic()
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=5) == 0
    assert time.monotonic() - begin < 1


def test_settings_problem_is_one_line_and_no_traceback() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "app", "scheduler"],
        cwd=API,
        env={"SCHEDULE_SECONDS": "soon"},
        capture_output=True,
        text=True,
        check=False,
        timeout=10,
    )
    assert result.returncode == 1
    assert "SCHEDULE_SECONDS='soon'" in result.stderr
    assert "Traceback" not in result.stderr
