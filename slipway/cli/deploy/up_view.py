"""What `slipway up` prints: what happened, line by line; on a terminal also what is at work below it."""

from __future__ import annotations

import re
import time
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Self

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.text import Text

from slipway.cli.deploy.up_events import STOPPING, Line, Story
from slipway.cli.fitting_table import FittingTable
from slipway.releases.format import clock

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["LinesView", "LiveView", "in_words"]

_DRAW_SECONDS = 0.125
_CLOCK_COLUMNS = 5
_WHERE_COLUMNS, _WHERE_COLUMNS_MOST = 10, 24
_PHASE_COLUMNS = _TOOK_COLUMNS = 8
_SINCE_COLUMNS = 12  # what stands beside the text of what is at work
_DIGEST = re.compile(r"(sha256:[0-9a-f]{12})[0-9a-f]{52}")
_PHASES = {"done": "green", "failed": "red", "back": "yellow"}
_STYLES = {"error": "red", "warning": "yellow", "evidence": "dim", "log": "dim"}


def in_words(line: Line) -> str:
    """A line of its own for logs: where, what, how long."""
    where = f"{line.where}: " if line.where else ""
    kind = "warning: " if line.kind == "warning" else ""
    phase = f"{line.phase} " if line.phase else ""
    took = "" if line.seconds is None else f", {line.seconds:.2f} s"
    return f"{where}{kind}{phase}{line.text}{took}"


class LinesView(AbstractContextManager["LinesView"]):
    """A line as it happens, with the time since the start: for logs, and whoever reads them later."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._began = time.monotonic()

    def __exit__(self, *_: object) -> None:
        """Nothing is left open."""

    def tick(self) -> None:
        """A log needs no sign of life."""

    def report(self, event: Mapping[str, Any]) -> None:
        """Print what the event adds."""
        now = time.monotonic()
        for line in self._story.report(event, now):
            typer.echo(f"[{clock(now - self._began)}] {in_words(line)}")


class LiveView(LinesView):
    """The lines scroll; hosts and resources at work stand below them, with what they said last and how long ago."""

    def __init__(self, story: Story, stopping: Callable[[], bool], console: Console | None = None) -> None:
        """`stopping` says whether the engine was asked to stop."""
        super().__init__(story)
        self._stopping = stopping
        self._console = console or Console(highlight=False)
        self._spinner = Spinner("dots")
        self._logs: dict[str, list[str]] = {}
        self._columns = _WHERE_COLUMNS
        self._drawn = 0.0
        # Drawn only by `tick`: a thread of rich's own would race with the lines that are printed above.
        self._live = Live(console=self._console, get_renderable=self.at_work, auto_refresh=False, transient=True)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def tick(self) -> None:
        """Redraw what is at work, now and then."""
        if time.monotonic() - self._drawn >= _DRAW_SECONDS:
            self._drawn = time.monotonic()
            self._live.refresh()

    def report(self, event: Mapping[str, Any]) -> None:
        """Print what the event adds."""
        now = time.monotonic()
        for line in self._story.report(event, now):
            if line.kind == "log":  # a build says hundreds of these; they count when it fails
                self._logs.setdefault(line.where, []).append(line.text)
                continue
            if line.kind == "error":
                for text in self._logs.pop(line.where, ()):
                    log = line._replace(kind="log", text=text, seconds=None)
                    self._console.print(self._row(log, now - self._began))
                if line.text in self._story.errors:  # the last lines of all
                    continue
            self._console.print(self._row(line, now - self._began))

    def at_work(self) -> RenderableType:
        """What is going on now, as something rich can print."""
        now = time.monotonic()
        table = FittingTable()
        longest = max((len(work.where) for work in self._story.at_work.values()), default=0)
        for work in self._story.at_work.values():
            last = work.last.removeprefix(f"{work.where} ")
            said = f"after {last}" if last and work.where in self._story.hosts.values() else last
            text = Text(_shortened(said) or "begun", "dim", no_wrap=True)
            text.truncate(max(10, self._console.width - longest - _SINCE_COLUMNS), overflow="ellipsis")
            table.add_row(Text(work.where, "bold"), text, f"{now - work.changed:.0f} s")
        elapsed = Text(f"{clock(now - self._began)} ")
        if self._stopping():
            elapsed.append(STOPPING, "yellow")
        elif not self._story.begun:
            elapsed.append("planning", "dim")
        self._spinner.update(text=elapsed)
        return Group(table, self._spinner) if self._story.at_work else self._spinner

    def _row(self, line: Line, elapsed: float) -> RenderableType:
        """A line in columns, so that what is long folds below its own beginning."""
        self._columns = max(self._columns, min(len(line.where), _WHERE_COLUMNS_MOST))
        text = Text()
        if line.kind == "warning":
            text.append("warning: ", "bold yellow")
        text.append(_shortened(line.text), _STYLES.get(line.kind, ""))
        took = "" if line.seconds is None else f"{line.seconds:.2f} s"
        row = FittingTable(prose=True)
        cells = [Text(clock(elapsed).rjust(_CLOCK_COLUMNS), "dim")]
        if line.where:
            cells.append(Text(line.where.ljust(self._columns), "bold"))
        if line.phase:
            phase = Text(line.phase.ljust(_PHASE_COLUMNS), _PHASES.get(line.phase, "cyan"))
            cells += [phase, Text(took.rjust(_TOOK_COLUMNS), "dim")]
        elif took:
            text.append(f"  {took}", "dim")
        row.add_row(*cells, text)
        return row


def _shortened(text: str) -> str:
    """Digests as people compare them: their beginning."""
    return _DIGEST.sub(r"\1", text)
