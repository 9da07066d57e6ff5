"""An application behind the edge, for traffic tests: one service whose release says how it behaves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from applications import Application

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["routed"]

COMPOSE = """\
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
    healthcheck:
      test: [CMD, python3, -IS, /app.py, probe]
      interval: 1s
      timeout: 3s
      retries: 3
      start_period: 10s
      start_interval: 200ms
    deploy:
      replicas: 1
      update_config: {order: start-first, monitor: "${MONITOR:-0s}"}
    x-slipway:
      port: 8000
      route: /
      strategy: ${STRATEGY:-rolling}
      drain: 10s
      keep: ${KEEP:-0s}
      preview: next.shop.test
      canary: {steps: [20, 50, 100], pause: 2s, minimumRequests: 40, patience: 5s, tooLittle: fail, latencyFloor: 1s}
      smoke:
        - http: {path: /smoke, status: 200, deadline: 2}
volumes:
  data:
"""


def routed(folder: Path) -> Application:
    """The application, in `folder`."""
    return Application(folder, {"compose.yaml": COMPOSE})
