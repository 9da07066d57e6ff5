"""The failure switches do what their tests will rely on, and nothing by default."""

import subprocess
import sys
import time
from collections.abc import Callable

from fastapi.testclient import TestClient

from app.faults import CRASH_STATUS, Faults


def test_fail_health_is_503_with_a_reason_while_the_rest_serves(api: Callable[..., TestClient]) -> None:
    client = api(faults=Faults(fail_health=True))
    assert client.get("/health").status_code == 503
    assert client.get("/health").json()["reasons"] == ["FAIL_HEALTH: unhealthy on request"]
    assert client.get("/notes").status_code == 200


def test_error_rate_fails_traffic_but_spares_health(api: Callable[..., TestClient]) -> None:
    client = api(faults=Faults(error_rate=1.0))
    assert client.get("/notes").status_code == 500
    assert client.get("/health").status_code == 200


def test_slow_ms_delays_traffic_but_spares_health(api: Callable[..., TestClient]) -> None:
    client = api(faults=Faults(slow_ms=200))
    begin = time.monotonic()
    assert client.get("/notes").status_code == 200
    assert time.monotonic() - begin >= 0.2


def test_crash_after_ends_the_process_without_clean_up() -> None:
    program = "import time; from app.faults import Faults; Faults(crash_after=0.05).arm_crash(); time.sleep(20)"
    assert subprocess.run([sys.executable, "-c", program], timeout=10, check=False).returncode == CRASH_STATUS
