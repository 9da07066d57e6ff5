"""Printing what rich can render, on a terminal and into a log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.console import Console

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["print_out"]

_UNBOUNDED = 10_000  # columns, where no terminal says how wide it is: whatever reads a log folds its lines itself


def print_out(what: RenderableType) -> None:
    """Print on standard output: as wide as the terminal, or without any folding where there is none."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(what)
        return
    console = Console(highlight=False, width=_UNBOUNDED)
    with console.capture() as capture:
        console.print(what)
    for line in capture.get().splitlines():
        typer.echo(line.rstrip())  # the padding of a table's last column
