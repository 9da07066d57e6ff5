"""The steps of the deployment in progress; a journal without an `end` is a deployment that nobody finished.

Lines: `begin` (release, previous, actor), `step` + `state`, `child` (a process to end after a crash), `end` (outcome).
"""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent.state.atomic_files import append_line, write_atomically
from slipway.agent.state.stack_dir import moment

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Journal", "Unfinished", "read_lines"]

_ORPHAN_SECONDS = 5.0


class Unfinished(NamedTuple):
    """A deployment that never ended."""

    release: str
    step: str
    children: tuple[tuple[int, str], ...]

    def text(self) -> str:
        """For people: the release and the last step that is known of."""
        return f"{self.release} at {self.step}" if self.step else f"{self.release} before its first step"


class Journal:
    """One stack's journal; `begin` replaces the previous deployment's."""

    def __init__(self, path: str) -> None:
        self._path = path

    def begin(self, **fields: Any) -> None:  # noqa: ANN401 - plain JSON values
        write_atomically(self._path, (json.dumps({"at": moment(), "begin": fields}) + "\n").encode())

    def step(self, name: str, state: str) -> None:
        """Note that a step `started` or `finished`."""
        self._append({"at": moment(), "step": name, "state": state})

    def child(self, pid: int) -> None:
        """Note a process that must not outlive this deployment."""
        self._append({"child": pid, "born": _born(pid)})

    def end(self, outcome: str) -> None:
        """Note that what runs is known again."""
        self._append({"at": moment(), "end": outcome})

    def unfinished(self) -> Unfinished | None:
        """The deployment that never ended, if the last one did not."""
        release, step, children = None, "", []
        for line in read_lines(self._path):
            if "begin" in line:
                release = str(line["begin"].get("release", "?"))
            elif "step" in line:
                step = f"{line['step']} {line.get('state', '')}".strip()
            elif "child" in line:
                children.append((int(line["child"]), str(line.get("born", ""))))
            elif "end" in line:
                return None
        return None if release is None else Unfinished(release, step, tuple(children))

    def _append(self, line: dict[str, Any]) -> None:
        append_line(self._path, json.dumps(line))


def end_orphans(unfinished: Unfinished) -> int:
    """End the processes that a killed deployment left at work; how many there were."""
    alive = [pid for pid, born in unfinished.children if born and _born(pid) == born]
    for pid in alive:
        try:
            os.killpg(pid, signal.SIGKILL)
        except OSError:
            continue
    until = time.monotonic() + _ORPHAN_SECONDS
    while any(_born(pid) for pid in alive) and time.monotonic() < until:
        time.sleep(0.02)
    return len(alive)


def read_lines(path: str) -> Iterator[dict[str, Any]]:
    """The lines that are whole; a line torn by a kill is skipped."""
    try:
        with open(path, "rb") as handle:
            content = handle.read()
    except OSError:
        return
    for raw in content.split(b"\n"):
        try:
            line = json.loads(raw)
        except ValueError:
            continue
        if isinstance(line, dict):
            yield line


def _born(pid: int) -> str:
    """When a process started, in the kernel's ticks: and not a later one of that number; empty when gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as handle:
            fields = handle.read().rpartition(b")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == b"Z" else fields[19].decode()
