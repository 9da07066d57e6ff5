"""The question before a change that was shown."""

from __future__ import annotations

import typer

from slipway.cli.printing import has_terminal
from slipway.contract.problems import SlipwayError

__all__ = ["confirmed"]


def confirmed(question: str, *, yes: bool, command: str) -> bool:
    """Whether the change is wanted; `command` is the one that was run.

    Raises SlipwayError where there is neither `yes` nor a terminal to ask at.
    """
    if yes:
        return True
    if has_terminal():
        return typer.confirm(question)
    raise SlipwayError("nobody can be asked: there is no terminal", "nothing was changed", f"{command} --yes")
