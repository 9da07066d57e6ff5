"""Printing for people, for programs, and about failures."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import RenderableType

    from slipway.contract.problems import Problem

__all__ = ["print_json", "print_out", "print_problems"]

_UNBOUNDED = 10_000  # columns, where no terminal says how wide it is: whatever reads a log folds its lines itself


def print_json(document: object) -> None:
    """Print a document as JSON on standard output."""
    typer.echo(json.dumps(document, indent=2, ensure_ascii=False))


def print_problems(problems: Iterable[Problem]) -> None:
    """Print problems on standard error, a line each."""
    for problem in problems:
        typer.echo(f"slipway: error: {problem}", err=True)


def print_out(what: RenderableType) -> None:
    """Print on standard output: as wide as the terminal, or without any folding where there is none."""
    from rich.console import Console  # JSON needs no rich

    console = Console(highlight=False)
    if console.is_terminal:
        console.print(what)
        return
    console = Console(highlight=False, width=_UNBOUNDED)
    with console.capture() as capture:
        console.print(what)
    for line in capture.get().splitlines():
        typer.echo(line.rstrip())  # the padding of a table's last column
