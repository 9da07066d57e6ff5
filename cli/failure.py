"""What a command says when it fails.

Owns: the text on standard error, and where the traceback of an unexpected exception is kept.
Does not own: the family of errors (see slipway/contract/problems.py), or usage errors, which are typer's.
"""

from __future__ import annotations

import os
import tempfile
import traceback

from slipway.contract.problems import Problem, SlipwayError
from toolchain.process import ToolchainError

__all__ = ["bug", "in_one_line"]


def in_one_line(error: Exception) -> str:
    """The error in the family's form, one line per problem.

    Anything outside the family is a bug: its message may hold a secret's value, so only its type is told and the
    rest goes to a file that nobody else can read.
    """
    return str(error if isinstance(error, (SlipwayError, ToolchainError)) else SlipwayError(bug(error)))


def bug(error: Exception) -> Problem:
    """An exception outside the family, as a problem; its traceback is kept in a file."""
    handle, path = tempfile.mkstemp(prefix="slipway-", suffix=".traceback")  # mode 0600
    with os.fdopen(handle, "w") as file:
        file.write("".join(traceback.format_exception(error)))
    return Problem(
        f"a bug in Slipway ({type(error).__name__})",
        "the command gave up; it changes nothing",
        f"report it with {path} (read it first: it may name hosts and values)",
    )
