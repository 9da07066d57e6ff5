"""Values that a stack lacks and a `.env` file may have: where that file is, and the command that takes them from it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from slipway.contract.problems import Problem
from slipway.settings.dotenv_file import of_the_machine, read_dotenv
from slipway.settings.setting_files import secrets_import

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from slipway.settings.model import Settings

__all__ = ["MANY", "many_missing", "unset_here"]

MANY = 3
"""More missing values than this are asked for as a file."""
_MISSING = ("variable-missing", "secret-missing")


def many_missing(problems: Sequence[Problem], settings: Settings) -> Iterator[Problem]:
    """How to set all values that are missing, beyond the problem of each, when these are many."""
    names = sorted({problem.subject for problem in problems if problem.code in _MISSING})
    if len(names) <= MANY:
        return
    file, given = _dotenv(settings)
    held = len(given.keys() & set(names))
    takes = "this takes all of a file at once, what is secret encrypted"
    others = "--empty sets those without a line to nothing, as Compose takes them; it shows which before it does"
    if held == len(names):
        meaning = f"{file} has all of them; {takes}"
    else:
        where = f"{file} has {held} of them" if held else "write them as NAME=VALUE into a file that git ignores"
        meaning = f"{where}; {takes}, and {others}"
    yield Problem(
        f"{len(names)} values of the Compose file are missing",
        meaning,
        secrets_import(settings.stack, file, empty=0 < held < len(names)),
        "values-missing",
    )


def unset_here(services: Mapping[str, Mapping[str, object]], settings: Settings) -> Iterator[Problem]:
    """A warning of variables that `docker compose up` takes from the folder's `.env`, and this stack leaves unset."""
    file, given = _dotenv(settings)
    names = sorted(name for name in _unset(services) if given.get(name))
    if names:
        have, them = ("has", "it") if len(names) == 1 else ("have", "them")
        what = f"{', '.join(names)} {have} a value in {file}, and none in the stack"
        meaning = f"stack {settings.stack} runs without {them}, unlike `docker compose up` here"
        yield Problem(what, meaning, secrets_import(settings.stack, file))


def _unset(services: Mapping[str, Mapping[str, object]]) -> Collection[str]:
    environments = [each.get("environment") for each in services.values()]
    return {name for each in environments if isinstance(each, dict) for name, value in each.items() if value is None}


def _dotenv(settings: Settings) -> tuple[str, Mapping[str, str]]:
    """The path of the `.env` beside the Compose file, from here, and what of it a stack takes; nothing without one."""
    path = settings.application / ".env"
    values = read_dotenv(path).values.items()
    return os.path.relpath(path), {name: value for name, value in values if not of_the_machine(name)}
