"""A table that loses nothing on a narrow terminal: no word is cut, and what does not fit stands below its row.

Rich's own table shortens every column when one is too long, and the name or number that people came for with them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.measure import Measurement
from rich.padding import Padding
from rich.text import Text

from slipway.contract.redaction import printable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from rich.console import Console, ConsoleOptions, RenderableType

__all__ = ["FittingTable"]

_GAP = 2
_BELOW = 4  # columns by which what does not fit is indented below its row
_LEAST = 30  # columns in which prose is still read; with fewer it stands below


class FittingTable:
    """Rows of cells, the one that names the row first; a header where columns have names."""

    def __init__(self, *columns: str, right: Collection[str] = (), prose: bool = False) -> None:
        """`right` names columns of figures; `prose` says that the last column is text, which may be folded."""
        self._names, self._right, self._prose = columns, right, prose
        self._rows: list[list[Text]] = []

    def add_row(self, *cells: str | Text) -> None:
        """Add a row with a cell for every column; what is no `Text` yet may be anybody's."""
        self._rows.append([cell if isinstance(cell, Text) else Text(printable(cell)) for cell in cells])

    def _widths(self) -> list[int]:
        rows = [*([[Text(name) for name in self._names]] if any(self._names) else []), *self._rows]
        return [max(cell.cell_len for cell in column) for column in zip(*rows, strict=True)]

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """As wide as its cells, as far as there is room."""
        widths = self._widths()
        wanted = min(sum(widths) + _GAP * max(len(widths) - 1, 0), options.max_width)
        return Measurement(wanted, wanted)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        """The whole table; or with its last column folded; or as many columns as fit, and the others below."""
        widths, room = self._widths(), options.max_width
        ends = [sum(widths[: each + 1]) + _GAP * each for each in range(len(widths))]
        if ends and ends[-1] > room and self._prose and room - ends[-1] + widths[-1] >= _LEAST:
            widths[-1] += room - ends[-1]
            ends[-1] = room
        shown = max(sum(end <= room for end in ends), 1)
        if any(self._names):
            yield self._line([Text(name, "dim") for name in self._names[:shown]], widths)
        for row in self._rows:
            # A word that is too long for the column that folds stands below, where it has the whole width.
            fits = shown < len(row) or all(cell_len(word) <= widths[-1] for word in row[-1].plain.split())
            beside = shown if fits or shown == 1 else shown - 1
            first, *more = row[beside - 1].wrap(console, widths[beside - 1]) or [Text()]
            yield self._line([*row[: beside - 1], first], widths)
            yield from (Padding(line, (0, 0, 0, ends[beside - 1] - widths[beside - 1])) for line in more)
            names = self._names[beside:] or [""] * len(row)
            below = zip(names, row[beside:], strict=False)
            said = [Text.assemble((f"{name} " if name else "", "dim"), cell) for name, cell in below if cell.plain]
            if said:
                yield Padding(Text(", ").join(said), (0, 0, 0, _BELOW))

    def _line(self, cells: Sequence[Text], widths: Sequence[int]) -> Text:
        line = Text(overflow="fold")
        for each, (cell, width) in enumerate(zip(cells, widths, strict=False)):
            blank = " " * (width - cell.cell_len)
            right = bool(self._names) and self._names[each] in self._right
            line.append_text(Text.assemble(" " * _GAP if each else "", *((blank, cell) if right else (cell, blank))))
        line.rstrip()
        return line
