"""What `slipway logs` prints: each line, as it is, behind the name of its container; or a line of JSON."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.contract.problems import Problem

__all__ = ["CONTRACT", "JsonLogs", "LogLine", "LogView", "TextLogs", "in_colour"]

CONTRACT = 1
"""Version of the JSON form (slipway/cli/schemas/logs.schema.json); a change that a reader cannot ignore raises it."""

_COLOURS = (36, 33, 32, 35, 34, 96, 93, 92, 95, 94)  # of ECMA-48; red is left to what is wrong
_RED, _RESET = "\x1b[31m", "\x1b[0m"
_MILLISECONDS = 23  # characters of a moment up to them


class LogLine(NamedTuple):
    """One line of one container."""

    at: str
    """RFC 3339 with nine digits of fraction, of the host's clock: sorts as text."""
    host: str
    service: str
    container: str
    """Its name."""
    stream: str
    """stdout or stderr"""
    text: str


def in_colour() -> bool:
    """Whether standard output is a terminal that may be coloured."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class LogView:
    """Prints lines on standard output as they come, and problems on standard error."""

    def __init__(self) -> None:
        self.complete = True
        self.any = False  # whether there is any container

    def containers(self, host: str, names: Sequence[str]) -> None:  # noqa: ARG002  # for who shows names
        """These containers are read from now on."""
        self.any = self.any or bool(names)

    def line(self, line: LogLine) -> None:
        """Print the next line in the order of time."""
        # not through the text layer: what an application writes need not be in the terminal's own encoding
        sys.stdout.buffer.write(f"{self._shown(line)}\n".encode("utf-8", "replace"))

    def problem(self, problem: Problem) -> None:
        """Lines are missing, and why."""
        self.complete = False
        self.flush()
        sys.stderr.write(f"slipway: error: {problem}\n")
        sys.stderr.flush()

    def flush(self) -> None:
        """Let everything be seen: nothing more is there at the moment."""
        sys.stdout.buffer.flush()

    def _shown(self, line: LogLine) -> str:
        raise NotImplementedError


class JsonLogs(LogView):
    """A line of JSON a line."""

    def _shown(self, line: LogLine) -> str:
        return json.dumps({"contract": CONTRACT, **line._asdict()}, ensure_ascii=False)


class TextLogs(LogView):
    """`web-1 api-2 | text`; on a terminal a colour for each container, and a red bar before what it wrote to stderr."""

    def __init__(self, project: str, *, timestamps: bool, colour: bool) -> None:
        super().__init__()
        self._project, self._timestamps, self._colour = project, timestamps, colour
        self._names: dict[tuple[str, str], str] = {}
        self._colours: dict[tuple[str, str], str] = {}

    def containers(self, host: str, names: Sequence[str]) -> None:
        """Make room for their names."""
        super().containers(host, names)
        for name in names:
            self._names.setdefault((host, name), f"{host} {name.removeprefix(f'{self._project}-')}")

    def _shown(self, line: LogLine) -> str:
        key = (line.host, line.container)
        name = self._names[key].ljust(max(map(len, self._names.values())))
        text = f"{line.at[:_MILLISECONDS]}Z {line.text}" if self._timestamps else line.text
        if not self._colour:
            return f"{name} | {text}"
        colour = self._colour_of(key)
        # the end keeps an application's own colours from running on into the next line
        end = _RESET if "\x1b" in line.text else ""
        return f"{colour}{name} {_RED if line.stream == 'stderr' else colour}|{_RESET} {text}{end}"

    def _colour_of(self, key: tuple[str, str]) -> str:
        """The same one each time that the same containers are looked at, whichever host answers first."""
        if key not in self._colours:
            for each in sorted(self._names.keys() - self._colours.keys()):
                self._colours[each] = f"\x1b[{_COLOURS[len(self._colours) % len(_COLOURS)]}m"
        return self._colours[key]
