"""The commands that people are told to run, with the stack that they are about."""

from __future__ import annotations

import os
import re
import shlex

__all__ = ["of_stack", "runnable"]

_SLIPWAY = re.compile(r"(?<!uv run )(?<![\w/.-])slipway (?=[a-z])")
_STACKLESS = re.compile(
    r"(uv run )?(?:pulumi (login|whoami|stack (ls|init|select))\b|slipway (init|upgrade|promote|prune))\b"
)
_ENDS = re.compile(r" -- | [<>] |$")  # what follows the options of a command


def of_stack(line: str, stack: str) -> str:
    """A command line in which every command of Slipway and the engine names its stack; those that do stay as they are.

    What is wrong with a host is found by code that serves any stack; who prints it knows which one it was.
    """
    return runnable("".join(_named(part, stack) for part in re.split(r"( && | \| )", line)))


def runnable(text: str) -> str:
    """A text whose `slipway …` works as it stands: whoever ran `uv run slipway` need not have it on PATH."""
    return _SLIPWAY.sub("uv run slipway ", text) if os.environ.get("UV_RUN_RECURSION_DEPTH") else text


def _named(command: str, stack: str) -> str:
    if not re.match(r"(uv run )?(slipway|pulumi) [a-z]", command) or _STACKLESS.match(command) or not stack:
        return command
    if re.search(r" (--stack|-s)\b", _ENDS.split(command, maxsplit=1)[0]):
        return command
    return _ENDS.sub(lambda end: f" --stack {shlex.quote(stack)}{end[0]}", command, count=1)
