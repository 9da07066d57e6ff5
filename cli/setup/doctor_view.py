"""What `slipway doctor` prints for people: a line per finding, what is wrong with its meaning and its fix.

Owns: the printed form. Does not own: what is told (see `examination`).
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, Group
from rich.padding import Padding
from rich.text import Text

from cli.wording import counted, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import RenderableType

__all__ = ["rendered", "show"]

_UNBOUNDED = 10_000  # columns, where no terminal says how wide it is: whatever reads a log folds its lines itself
_STYLES = {"ok": "green", "warning": "yellow", "wrong": "bold red", "skipped": "dim"}
_WIDTH = max(map(len, _STYLES)) + 2


def show(document: Mapping[str, Any]) -> None:
    """Print `document` on standard output."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(rendered(document))
        return
    console = Console(highlight=False, width=_UNBOUNDED)
    with console.capture() as capture:
        console.print(rendered(document))
    for line in capture.get().splitlines():
        typer.echo(line.rstrip())


def rendered(document: Mapping[str, Any]) -> RenderableType:
    """`document` as something rich can print."""
    blocks: list[RenderableType] = []
    for title, findings in groupby(document["findings"], _title):
        blocks.append(Text(title, "bold"))
        for finding in findings:
            blocks += _lines(finding)
    return Group(*blocks, Text(), _verdict(document))


def _title(finding: Mapping[str, Any]) -> str:
    return f"host {finding['host']}" if finding["host"] else str(finding["area"])


def _lines(finding: Mapping[str, Any]) -> Iterator[RenderableType]:
    style = _STYLES[finding["state"]]
    # The word stands alone in its column, however often the text beside it is folded.
    yield _row(Text(finding["state"], style), Text(plain(finding["what"]), "dim" if style == "dim" else ""))
    if finding["meaning"]:
        yield _row(Text(), Text(plain(finding["meaning"]), "dim"))
    if finding["fix"]:
        yield _row(Text(), Text(plain(finding["fix"]), "cyan"))


def _row(word: Text, text: Text) -> RenderableType:
    from rich.table import Table  # noqa: PLC0415  # beside its only use

    table = Table.grid(padding=(0, 0))
    table.add_column(width=_WIDTH)
    table.add_column(overflow="fold")
    table.add_row(word, text)
    return Padding(table, (0, 0, 0, 2), expand=False)


def _verdict(document: Mapping[str, Any]) -> Text:
    states = [finding["state"] for finding in document["findings"]]
    wrong, warnings = states.count("wrong"), states.count("warning")
    about = f"stack {document['stack']}: " if document["stack"] else ""
    if wrong:
        return Text(f"{about}{counted(wrong, 'thing')} to fix", "bold red")
    rest = f", {counted(warnings, 'warning')}" if warnings else ""
    return Text(f"{about}nothing is wrong{rest}", "bold green")
