"""Moving over from a Compose project, measured: requests lost, and how long a database on one volume is away.

Owns: the load and the watcher around a move and its undo. Does not own: the project (tests/hosts/moving.py), the files
of results (see `report`).
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

from dev.bench.measures import median
from dev.toolchain.progress import say

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["moves"]

_RATE = 200


def moves(folder: Path, image: str, runs: int) -> tuple[dict[str, float], dict[str, list[float]]]:
    """Figures and samples of moves on this machine, each undone again, beside a restart of the database."""
    from agent_harness import docker, pack  # noqa: PLC0415  # on the path when a benchmark runs
    from moving import Before  # noqa: PLC0415
    from routed_agent import RoutedAgent  # noqa: PLC0415
    from traffic import Load  # noqa: PLC0415

    name = f"b{uuid.uuid4().hex[:8]}"
    agent = RoutedAgent(pack(folder / "agent.pyz"), folder / "home", name, image)
    before = Before(agent, f"before-{name}", folder)
    restarts: list[float] = []
    away: list[float] = []
    lost = sent = retried = 0
    try:
        before.up()
        for number in range(runs):
            say(f"moving over from a Compose project and back: {number + 1} of {runs}")
            before.watch()
            docker("restart", f"{before.name}-db-1")
            restarts.append(before.seconds_without())
            with Load(agent.url, rate=_RATE, long=1, fresh=0.3, limit_seconds=300, limit_requests=100_000) as load:
                load.until(_RATE)
                before.watch()
                ended = before.move()
                if ended.code:
                    raise RuntimeError(ended.err)
                away.append(before.seconds_without())
                before.command("undo")
                load.until(load.sent() + _RATE)
            result = load.result()
            lost, sent, retried = lost + result.failed, sent + result.sent, retried + result.retried
    finally:
        before.down()
    figures = {
        "move_interruption_s": median(away),
        "move_interruption_vs_restart": median(away) / median(restarts),
        "move_lost_requests": float(lost),
        "move_sent_requests": float(sent),
        "move_retried_requests": float(retried),
    }
    return figures, {"move_interruption": away, "restart_of_the_database": restarts}
