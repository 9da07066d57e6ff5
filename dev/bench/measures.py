"""What is measured: each function returns samples or counts of one thing, nothing is judged here."""

from __future__ import annotations

import contextlib
import re
import statistics
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.hosts.agent_package import pack_agent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from dev.testhosts.server import TestHost

__all__ = ["agent_memory", "agent_packed_kb", "agent_start", "interleaved", "median", "seconds"]

_AGENT = re.compile(rb"agent-[0-9a-f]{12}\.pyz\0deploy\0")


def median(samples: Sequence[float]) -> float:
    """The median, in the samples' unit."""
    return statistics.median(samples)


def seconds(action: Callable[[], object]) -> float:
    """How long `action` takes, in seconds of wall time."""
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


def interleaved(runs: int, *actions: Callable[[], object]) -> list[list[float]]:
    """`runs` samples (seconds) of each action, taken in turn so that a slow moment of the machine meets all of them."""
    samples: list[list[float]] = [[] for _ in actions]
    for _ in range(runs):
        for taken, action in zip(samples, actions, strict=True):
            taken.append(seconds(action))
    return samples


def agent_packed_kb() -> float:
    """Size of the packed agent, KB of 1,000 bytes."""
    return len(pack_agent().content) / 1000


def agent_start(host: TestHost, runs: int) -> list[float]:
    """Seconds from starting the agent on a host to its end, doing nothing (`version`), without SSH."""
    path = host.run("ls -d ~/.local/share/slipway/stacks/*/agent-*.pyz").split()[0]
    clock = "import subprocess, sys, time; t = time.monotonic(); subprocess.run(sys.argv[1:], check=True, stdout=2); "
    clock += "print(time.monotonic() - t)"
    return [float(host.inside(["python3", "-c", clock, "python3", path, "version"])) for _ in range(runs)]


@contextlib.contextmanager
def agent_memory() -> Iterator[list[float]]:
    """Collect the peak resident size (MB of 10^6 bytes) of every deploying agent that runs inside the block.

    The agent's own process only: Compose and Docker, which it starts, are not its memory. Test hosts share this
    machine's process table, so /proc tells; the kernel keeps the peak (VmHWM).
    """
    peaks: dict[str, float] = {}
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            for folder in Path("/proc").iterdir():
                with contextlib.suppress(OSError, AttributeError):
                    if folder.name.isdigit() and _AGENT.search((folder / "cmdline").read_bytes()):
                        found = re.search(r"VmHWM:\s+(\d+) kB", (folder / "status").read_text())
                        peaks[folder.name] = int(found[1]) * 1024 / 1e6 if found else 0.0

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    result: list[float] = []
    try:
        yield result
    finally:
        done.set()
        thread.join()
        result += peaks.values()
