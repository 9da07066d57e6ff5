"""Failures on request: how tests and benchmarks make a release that misbehaves. All off by default.

The switches are environment variables of the API, so that a faulty release is the same image with another value:

- `FAIL_HEALTH=1`: `/health` answers 503 and says why.
- `CRASH_AFTER=20`: the process ends with status 70 that many seconds after it began to serve.
- `START_DELAY=5`: it begins to serve that many seconds later.
- `SLOW_MS=250`: every answer except `/health` comes that many milliseconds later.
- `ERROR_RATE=0.05`: that share of the answers except `/health` is a 500.

The last two spare `/health` on purpose: they make the release that passes every check and fails its users, which only
real traffic shows.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

__all__ = ["Faults", "FaultyTraffic"]

CRASH_STATUS = 70  # EX_SOFTWARE of sysexits.h

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Faults:
    """The failures that are switched on."""

    fail_health: bool = False
    crash_after: float | None = None
    start_delay: float = 0.0
    slow_ms: float = 0.0
    error_rate: float = 0.0

    @property
    def disturb_traffic(self) -> bool:
        """Whether ordinary requests are slowed or failed."""
        return bool(self.slow_ms or self.error_rate)

    def delay_start(self) -> None:
        """Sleep for `start_delay`."""
        if self.start_delay:
            logger.warning("START_DELAY: serving %g s later", self.start_delay)
            time.sleep(self.start_delay)

    def arm_crash(self) -> None:
        """Let the process end by itself after `crash_after` seconds, as a crash would: without cleaning up."""
        if self.crash_after is None:
            return
        logger.warning("CRASH_AFTER: this process ends in %g s", self.crash_after)
        timer = threading.Timer(self.crash_after, _crash)
        timer.daemon = True
        timer.start()


class FaultyTraffic:
    """ASGI middleware that slows and fails requests other than the health check."""

    def __init__(self, app: ASGIApp, *, faults: Faults) -> None:
        self._app = app
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, late or not at all."""
        if scope["type"] == "http" and scope["path"] != "/health":
            await asyncio.sleep(self._faults.slow_ms / 1000)
            if random.random() < self._faults.error_rate:  # noqa: S311 - a failure need not be unpredictable
                await _answer_500(send)
                return
        await self._app(scope, receive, send)


async def _answer_500(send: Send) -> None:
    body = json.dumps({"detail": "ERROR_RATE: failed on request"}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 500, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _crash() -> None:
    logger.critical("CRASH_AFTER: ending on request")
    os._exit(CRASH_STATUS)
