"""What a failed command prints, and where the traceback of an unexpected exception is kept."""

from __future__ import annotations

import os
import tempfile
import traceback
from typing import TYPE_CHECKING

import typer

from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["bug", "in_one_line", "override"]


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
    return Problem(
        f"a bug in Slipway ({type(error).__name__})",
        "the command stopped; what it had already done stays",
        f"report it with {path} (read it first: it may name hosts and values)",
    )


def override(obstacles: Sequence[Problem], *, force: bool) -> None:
    """Print what `force` overrides; without it, raise SlipwayError when there is anything."""
    if obstacles and not force:
        *others, last = obstacles
        raise SlipwayError([*others, last._replace(fix=f"{last.fix}; or --force, which proceeds anyway")])
    for obstacle in obstacles:
        typer.echo(f"overridden: {obstacle}", err=True)
