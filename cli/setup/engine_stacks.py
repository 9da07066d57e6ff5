"""Stacks in the engine's backend: which there are, and making those that are missing.

Owns: asking the engine, and what keeps it from making a stack. Does not own: stack files (see `stack_file`), where the
backend is (see cli/backend/store.py).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from cli.backend.store import backend_url, is_cloud, place_of
from cli.stack import engine_of, last_words
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.stack import Engine

__all__ = ["Made", "known_stacks", "make_stacks"]

_PASSPHRASE = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")


class Made(NamedTuple):
    """What became of the stacks."""

    made: tuple[str, ...]
    place: str
    """Where the backend is, as it may be shown; empty when nobody is logged in."""
    problems: tuple[Problem, ...]


def make_stacks(names: Sequence[str], *, encrypted_elsewhere: Sequence[str] = ()) -> Made:
    """Make the stacks that the backend does not have yet, and select the first where none is selected.

    Args:
        names: the stacks.
        encrypted_elsewhere: those whose stack file names a secrets provider, which needs no passphrase.
    """
    if not names:
        return Made((), "", ())
    init = " && ".join(f"pulumi stack init {name}" for name in names)
    engine = engine_of(names[0])
    try:
        url = backend_url(engine)
    except SlipwayError as error:
        problem = error.problems[0]
        return Made((), "", (Problem(problem.what, "the stacks cannot be made yet", f"pulumi login && {init}"),))
    try:
        known = known_stacks(engine)
    except SlipwayError as error:
        return Made((), place_of(url), error.problems)
    made: list[str] = []
    problems: list[Problem] = []
    for name in (each for each in names if each not in known):
        own_passphrase = not is_cloud(url) and name not in encrypted_elsewhere
        hindrance = (_passphrase(engine, name) if own_passphrase else None) or _make(name)
        if hindrance:
            problems.append(hindrance)
        else:
            made.append(name)
    if made:
        _select_one(made[0])
    return Made(tuple(made), place_of(url), tuple(problems))


def known_stacks(engine: Engine) -> set[str]:
    """The names of the project's stacks, without organisation and project.

    Raises:
        SlipwayError: when the backend does not tell.
    """
    done = engine.ask("stack", "ls", "--json")
    if done.returncode == 0:
        return {str(each["name"]).rsplit("/", 1)[-1] for each in json.loads(done.stdout)}
    raise SlipwayError(
        Problem(
            f"the backend does not tell which stacks there are ({last_words(done)})",
            "it is not known whether this one exists",
            "pulumi whoami --verbose, then pulumi stack ls",
        )
    )


def _select_one(name: str) -> None:
    """Select a stack where none is, so that commands without `--stack` mean one."""
    try:
        engine_of("")
    except SlipwayError:
        engine_of(name).ask("stack", "select")


def _passphrase(engine: Engine, name: str) -> Problem | None:
    if any(engine.environment.get(variable) is not None for variable in _PASSPHRASE):
        return None
    return Problem(
        f"stack {name} is not made yet: PULUMI_CONFIG_PASSPHRASE is not set",
        "this backend encrypts the stack's secrets with a passphrase of yours",
        f"read -rs PULUMI_CONFIG_PASSPHRASE && export PULUMI_CONFIG_PASSPHRASE && pulumi stack init {name}",
    )


def _make(name: str) -> Problem | None:
    done = engine_of(name).ask("stack", "init", "--no-select")
    if done.returncode == 0:
        return None
    return Problem(
        f"stack {name} could not be made ({last_words(done)})",
        "its stack file is there, the stack is not",
        f"pulumi stack init {name}",
    )
