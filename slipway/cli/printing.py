"""Printing for people, for programs, and about failures."""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
import traceback
from typing import TYPE_CHECKING

import typer

from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import RenderableType

__all__ = ["bug", "has_terminal", "in_one_line", "json_text", "override", "print_json", "print_out", "print_problems"]

_UNBOUNDED = 10_000  # columns, where no terminal says how wide it is: whatever reads a log folds its lines itself


def has_terminal() -> bool:
    """Whether a person sits at this process: both standard input and output are a terminal."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stdout))


def print_json(document: object) -> None:
    """Print a document as JSON on standard output."""
    typer.echo(json_text(document, indent=2))


def json_text(document: object, indent: int | None = None) -> str:
    """A document as JSON that does nothing to a terminal: `json` itself escapes only the first 32 characters."""
    text = json.dumps(document, indent=indent, ensure_ascii=False)
    return re.sub(r"[^\n -~]", lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text)


def print_problems(problems: Iterable[Problem], stack: str) -> None:
    """Print problems of a stack on standard error, a line each."""
    for problem in problems:
        typer.echo(f"slipway: error: {problem.of_stack(stack)}", err=True)


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


def in_one_line(error: Exception) -> str:
    """The error in the family's form, one line per problem."""
    return str(error if isinstance(error, SlipwayError) else SlipwayError(bug(error)))


def bug(error: Exception) -> Problem:
    """The problem of an exception outside the family: a bug.

    Its message may hold a secret's value, so only its type is named; the rest goes to a file that nobody else can read.
    """
    handle, path = tempfile.mkstemp(prefix="slipway-", suffix=".traceback")  # mode 0600
    with os.fdopen(handle, "w") as file:
        file.write("".join(traceback.format_exception(error)))
    what, meaning = f"a bug in Slipway ({type(error).__name__})", "the command stopped; what it had already done stays"
    return Problem(what, meaning, f"report it with {path} (read it first: it may name hosts and values)")


def override(obstacles: Sequence[Problem], *, force: bool) -> None:
    """Print what `force` overrides; without it, raise SlipwayError when there is anything."""
    if obstacles and not force:
        *others, last = obstacles
        raise SlipwayError([*others, last._replace(fix=f"{last.fix}; or --force, which proceeds anyway")])
    for obstacle in obstacles:
        typer.echo(f"overridden: {obstacle}", err=True)
