"""An application behind the edge, for traffic tests: one service whose release says how it behaves.

Owns: the application, and traffic to it through a host's edge. Does not own: the load itself (see `traffic`).
"""

from __future__ import annotations

import contextlib
import http.client
import os
from typing import TYPE_CHECKING

from applications import Application, health
from traffic import Load, Result

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from remote_stack import RemoteStack

    from dev.testhosts.server import TestHost

__all__ = ["HARMLESS", "RATE", "REQUESTS", "answer", "change", "loaded", "nothing_lost", "routed"]

REQUESTS = int(os.environ.get("SLIPWAY_TEST_REQUESTS", "1500"))
"""Requests that each change is under, at least; 20000 is what the promise was shown with."""
RATE = 250
HARMLESS = {"SICK": "", "SMOKE_FAILS": "", "CRASH_AFTER": "", "FAIL_RATE": "", "SLOW_MS": "", "START": "0",
            "START_PERIOD": "10s", "STRATEGY": "rolling", "KEEP": "0s", "MONITOR": "0s"}  # fmt: skip

COMPOSE = (
    """\
name: shop
services:
  web:
    image: ${IMAGE:?}
    restart: unless-stopped
    stop_grace_period: 5s
    environment:
      VERSION: ${VERSION}
      START: ${START:-0}
      SICK: ${SICK:-}
      SMOKE_FAILS: ${SMOKE_FAILS:-}
      CRASH_AFTER: ${CRASH_AFTER:-}
      FAIL_RATE: ${FAIL_RATE:-}
      SLOW_MS: ${SLOW_MS:-}
    volumes: ["data:/data"]
"""
    + health("${START_PERIOD:-10s}", indent=4)
    + """\
    deploy:
      replicas: 1
      update_config: {order: start-first, monitor: "${MONITOR:-0s}"}
    x-slipway:
      port: 8000
      route: /
      strategy: ${STRATEGY:-rolling}
      drain: 5s
      keep: ${KEEP:-0s}
      preview: next.shop.test
      canary: {steps: [20, 50, 100], pause: 2s, minimumRequests: 40, patience: 5s, tooLittle: fail, latencyFloor: 1s}
      smoke:
        - http: {path: /smoke, status: 200, deadline: 2}
volumes:
  data:
"""
)


def routed(folder: Path) -> Application:
    """The application, in `folder`."""
    return Application(folder, {"compose.yaml": COMPOSE})


def answer(host: TestHost) -> str:
    """The version that the edge of a host leads to."""
    connection = http.client.HTTPConnection(host.address, 80, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().headers.get("X-Version", "")
    except OSError:
        return ""
    finally:
        connection.close()


@contextlib.contextmanager
def loaded(host: TestHost) -> Iterator[list[Result]]:
    """Traffic to the edge of `host` around a block."""
    found: list[Result] = []
    with Load(f"http://{host.address}/", rate=RATE, long=2, long_seconds=3, websockets=1) as load:
        load.until(RATE)
        load.mark("during")
        yield found
        load.mark("after")
        load.until(max(REQUESTS, load.sent() + RATE))
    found.append(load.result())


def nothing_lost(result: Result) -> None:
    """Every request was answered well, and there were enough of every kind."""
    assert result.failed == 0, result.describe()
    assert result.requests.ok >= REQUESTS
    assert result.long.ok > 0
    assert result.websockets.echoes > 0


def change(stack: RemoteStack, version: str, **variables: str) -> None:
    """Have the next `up` deploy this version, harmless but for what `variables` say."""
    stack.variables |= {**HARMLESS, "VERSION": version, **variables}
