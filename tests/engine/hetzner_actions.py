"""One action of the emulated Hetzner Cloud: something that takes its time."""

from __future__ import annotations

import dataclasses
import datetime as dt
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

__all__ = ["Action", "now"]


@dataclasses.dataclass(kw_only=True)
class Action:
    """Something that takes its time; its effect comes when it has ended well."""

    id: int
    command: str
    resources: list[tuple[str, int]]
    until: float
    begun: float
    effect: Callable[[], Any]
    error: tuple[str, str] | None
    work: threading.Thread | None = None
    status: str = "running"
    started: str = ""
    finished: str | None = None

    @property
    def over(self) -> bool:
        return time.monotonic() >= self.until and not (self.work and self.work.is_alive())

    def shown(self) -> dict[str, Any]:
        share = (time.monotonic() - self.begun) / max(self.until - self.begun, 0.001)
        error = {"code": self.error[0], "message": self.error[1]} if self.status == "error" and self.error else None
        return {
            "id": self.id, "command": self.command, "status": self.status, "started": self.started,
            "finished": self.finished, "error": error,
            "progress": min(int(100 * share), 99) if self.status == "running" else 100,
            "resources": [{"id": number, "type": kind} for kind, number in self.resources],
        }  # fmt: skip


def now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
