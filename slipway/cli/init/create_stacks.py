"""Stacks in the engine's backend: creating those that are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from slipway.contract.problems import Problem, SlipwayError
from slipway.releases.backend.store import backend_url, is_cloud, place_of
from slipway.releases.engine import engine_of, known_stacks, last_words

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CreatedStacks", "create_stacks"]

_PASSPHRASE = ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE")


class CreatedStacks(NamedTuple):
    """The stacks that were created, and the backend's address as it may be shown (empty without a login)."""

    created: tuple[str, ...] = ()
    backend: str = ""
    problems: tuple[Problem, ...] = ()


def create_stacks(names: Sequence[str], *, encrypted_elsewhere: Sequence[str] = ()) -> CreatedStacks:
    """Create the stacks that the backend does not have yet, and select the first where none is selected.

    Those that are `encrypted_elsewhere` (by a secrets provider in their stack file) need no passphrase.
    """
    try:
        engine = engine_of(names[0])
        url = backend_url(engine)
    except SlipwayError as error:
        fix = " && ".join(["pulumi login", *(f"pulumi stack init {name}" for name in names)])
        return CreatedStacks(problems=(Problem(error.problems[0].what, "the stacks cannot be created yet", fix),))
    try:
        known = known_stacks(engine)
    except SlipwayError as error:
        return CreatedStacks((), place_of(url), error.problems)
    phrase = is_cloud(url) or any(engine.environment.get(variable) is not None for variable in _PASSPHRASE)
    problems = {
        name: _create(name, phrase=phrase or name in encrypted_elsewhere) for name in names if name not in known
    }
    created = tuple(name for name, problem in problems.items() if problem is None)
    if created:
        try:
            engine_of("")
        except SlipwayError:  # none is selected: now commands without `--stack` mean one
            engine_of(created[0]).ask("stack", "select")
    return CreatedStacks(created, place_of(url), tuple(filter(None, problems.values())))


def _create(name: str, *, phrase: bool) -> Problem | None:
    if not phrase:
        meaning = "this backend encrypts the stack's secrets with a passphrase of yours"
        fix = f"read -rs PULUMI_CONFIG_PASSPHRASE && export PULUMI_CONFIG_PASSPHRASE && pulumi stack init {name}"
        return Problem(f"stack {name} is not created yet: PULUMI_CONFIG_PASSPHRASE is not set", meaning, fix)
    done = engine_of(name).ask("stack", "init", "--no-select")
    if done.returncode == 0:
        return None
    what = f"stack {name} could not be created ({last_words(done)})"
    return Problem(what, "its stack file is there, the stack is not", f"pulumi stack init {name}")
