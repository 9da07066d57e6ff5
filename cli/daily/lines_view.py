"""What `slipway logs` prints: each line behind the name of its container, or a line of JSON.

Owns: the printed form. Does not own: the lines (see `lines`), or anything in them: what an application writes is shown
as it is.
"""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from cli.daily.lines import Line, Listener

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.contract.problems import Problem

__all__ = ["CONTRACT", "JsonView", "TextView", "in_colour"]

CONTRACT = 1
"""Version of the JSON form; a change that a reader cannot ignore raises it."""

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)  # of ECMA-48; red is left to what is wrong
_RED, _RESET = "\x1b[31m", "\x1b[0m"
_MILLISECONDS = 23  # characters of a moment up to them


def in_colour() -> bool:
    """Whether standard output is a terminal that may be coloured."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class _View(Listener):
    """What both forms share: problems on standard error, lines on standard output as they come."""

    def __init__(self) -> None:
        self.well = True
        """Whether no line is missing."""
        self.any = False
        """Whether there is any container."""

    def containers(self, host: str, names: Sequence[str]) -> None:  # noqa: ARG002  # the form is the listener's
        """Note whether there are any."""
        self.any = self.any or bool(names)

    def problem(self, problem: Problem) -> None:
        """Tell it where it does not disturb the lines."""
        self.well = False
        self.pause()
        sys.stderr.write(f"slipway: error: {problem}\n")
        sys.stderr.flush()

    def pause(self) -> None:
        """Let everything be seen."""
        sys.stdout.buffer.flush()

    def _write(self, text: str) -> None:
        # not through the text layer: what an application writes need not be in the terminal's own encoding
        sys.stdout.buffer.write(text.encode("utf-8", "replace"))


class JsonView(_View):
    """A line of JSON a line (cli/contract/logs.schema.json)."""

    def line(self, line: Line) -> None:
        """Print it."""
        self._write(json.dumps({"contract": CONTRACT, **line._asdict()}, ensure_ascii=False) + "\n")


class TextView(_View):
    """`web-1 api-2 | text`; on a terminal a colour for each container, and a red bar before what it wrote to stderr."""

    def __init__(self, project: str, *, timestamps: bool, colour: bool) -> None:
        super().__init__()
        self._project, self._timestamps, self._colour = project, timestamps, colour
        self._names: dict[tuple[str, str], str] = {}
        self._colours: dict[tuple[str, str], str] = {}
        self._columns = 0

    def containers(self, host: str, names: Sequence[str]) -> None:
        """Make room for their names."""
        super().containers(host, names)
        for name in names:
            shown = f"{host} {name.removeprefix(f'{self._project}-')}"
            self._names.setdefault((host, name), shown)
            self._columns = max(self._columns, len(shown))

    def line(self, line: Line) -> None:
        """Print it."""
        moment = f"{line.at[:_MILLISECONDS]}Z " if self._timestamps else ""
        self._write(f"{self._prefix(line)} {moment}{line.text}{self._end(line)}\n")

    def _prefix(self, line: Line) -> str:
        key = (line.host, line.container)
        name = f"{self._names[key]:<{self._columns}}"
        if not self._colour:
            return f"{name} |"
        bar = _RED if line.stream == "stderr" else self._colour_of(key)
        return f"{self._colour_of(key)}{name} {bar}|{_RESET}"

    def _colour_of(self, key: tuple[str, str]) -> str:
        """The same one each time that the same containers are looked at, whichever host answers first."""
        if key not in self._colours:
            for each in sorted(self._names.keys() - self._colours.keys()):
                self._colours[each] = f"\x1b[{_COLOURS[len(self._colours) % len(_COLOURS)]}m"
        return self._colours[key]

    def _end(self, line: Line) -> str:
        """What keeps an application's own colours from running on into the next line."""
        return _RESET if self._colour and "\x1b" in line.text else ""
