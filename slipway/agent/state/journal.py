"""The steps of the deployment in progress; a journal without an `end` is a deployment that nobody finished.

Lines: `begin` (release, previous, actor), `step` + `state`, `child` (a Compose process, so that the next run can
end an orphan), `stops` (containers that are being stopped, so that the next run does not count on them), `end`
(outcome).
"""

from __future__ import annotations

import contextlib
import json
import signal
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent import runtime
from slipway.agent.state.atomic_files import append_line, write_atomically
from slipway.agent.state.stack_dir import moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["DESTROY", "Journal", "Unfinished", "read_lines"]

_ORPHAN_SECONDS = 5.0
DESTROY = "destroy"
"""what stands for the release where a stack is destroyed"""


class Unfinished(NamedTuple):
    """A deployment that never ended."""

    release: str
    step: str
    children: tuple[tuple[int, str], ...]
    stopping: tuple[str, ...] = ()
    """containers that it was about to stop and remove, and did not say that it has"""
    since: str = ""
    """when it began, or the first of those that were cut off before it did"""

    @property
    def begun(self) -> bool:
        """Whether it did anything: else it took nothing down either."""
        return self.release != DESTROY and bool(self.step or self.stopping)

    def text(self) -> str:
        """For people: the release and the last step that is known of."""
        return f"{self.release} at {self.step}" if self.step else f"{self.release} before its first step"


class Journal:
    """One stack's journal; `begin` replaces the previous deployment's."""

    def __init__(self, path: str) -> None:
        self._path = path

    def begin(self, **fields: Any) -> None:  # noqa: ANN401 - plain JSON values
        write_atomically(self._path, (json.dumps({"at": moment(), "begin": fields}) + "\n").encode())

    def step(self, name: str, state: str, stops: Sequence[str] = ()) -> None:
        """Note that a step `started` or `finished`, and the containers that it `stops`."""
        self._append({"at": moment(), "step": name, "state": state, **({"stops": list(stops)} if stops else {})})

    def stops(self, containers: Sequence[str]) -> None:
        """Note containers that are stopped and removed before the next step."""
        self._append({"stops": list(containers)})

    def child(self, pid: int) -> None:
        """Note a process that must not outlive this deployment."""
        self._append({"child": pid, "born": runtime.born(pid)})

    def end(self, outcome: str) -> None:
        """Note that what runs is known again."""
        self._append({"at": moment(), "end": outcome})

    def unfinished(self) -> Unfinished | None:
        """The deployment that never ended, if the last one did not."""
        release, step, since, children = None, "", "", []
        stopping: list[str] = []
        for line in read_lines(self._path):
            if "begin" in line:
                release = str(line["begin"].get("release", "?"))
                stopping = line["begin"].get("stopping", [])
                since = str(line["begin"].get("since") or line.get("at", ""))
            elif "step" in line:
                step = f"{line['step']} {line.get('state', '')}".strip()
                stopping = line.get("stops", []) if line.get("state") == "started" else []
            elif "stops" in line:
                stopping = line["stops"]
            elif "child" in line:
                children.append((int(line["child"]), str(line.get("born", ""))))
            elif "end" in line:
                return None
        return None if release is None else Unfinished(release, step, tuple(children), tuple(stopping), since)

    def _append(self, line: dict[str, Any]) -> None:
        append_line(self._path, json.dumps(line))


def end_orphans(unfinished: Unfinished) -> int:
    """End the processes that a killed deployment left at work; how many there were."""
    alive = [pid for pid, born in unfinished.children if born and runtime.born(pid) == born]
    for pid in alive:
        with contextlib.suppress(OSError):
            runtime.signal_group(pid, signal.SIGKILL)
    until = runtime.monotonic() + _ORPHAN_SECONDS
    while any(runtime.born(pid) for pid in alive) and runtime.monotonic() < until:
        runtime.sleep(0.02)
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
