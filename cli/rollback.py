"""Going back to a release of before: which one, whether it may, and doing it.

Owns: the default target, the reasons to refuse, and calling the engine with that release. Does not own: the history
(see `cli/history`), converging (the agent's part), or what a stack lacks for a release (see components/restoring.py).

A rollback is an update like any other: the same program with the release in the place of the Compose file, the same
gates and strategies. The engine leaves the built images in its state alone meanwhile, so that going forward again, by a
plain `pulumi up`, builds nothing.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.deploying import deploy
from cli.history.stack_history import StackHistory, read_history
from cli.images_there import missing_images
from cli.releases import PastRelease, named_entry, past_release
from components.restoring import unfit
from slipway.contract.outcomes import ROLLBACK
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cli.stack import Engine

__all__ = ["IMAGES_LEFT_ALONE", "Rollback", "carry_out", "planned", "planned_from_file", "roll_back_to_validated"]

IMAGES_LEFT_ALONE = ("--exclude", "**slipway:images:RegistryImages$**")
"""Options of `pulumi up`: what was built stays in the state as it is."""

_TELLS = "slipway history tells the releases; slipway rollback --to RELEASE chooses one"


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """A way back that was looked at and not taken yet."""

    target: PastRelease
    history: StackHistory
    warm: bool
    """Whether every host has all of it, so that no registry is asked."""
    obstacles: Sequence[Problem] = ()
    """Why it should not be taken; `--force` takes it all the same."""

    @property
    def words(self) -> str:
        """What it does, for the history."""
        entry = self.target.entry
        number = f" (update {entry.number})" if entry else ""
        return f"rollback to {self.target.id}{number}"


def planned(engine: Engine, to: str = "", *, history: StackHistory | None = None) -> Rollback:
    """The way back to the release named `to`, or to the last one that was healthy and is not the current one.

    Raises:
        SlipwayError: when there is no such release, or this stack cannot run it as it is now.
    """
    found = history or read_history(engine)
    entry = named_entry(found, to or _default(found))
    target = past_release(found, entry)
    _must_fit(target, found)
    way = found.way_back(target.id)
    warm = target.id in found.warm
    obstacles: list[Problem] = [*_unanswered(found)]
    if way.kind == "no":
        meaning = "it is not proven that it would run well" if way.unproven else "it may not run with what is there now"
        obstacles.append(Problem(f"{target.id} is no way back: {way.reason}", meaning, _TELLS))
    if not warm:
        obstacles += missing_images(target.document["images"], found.settings)
    return Rollback(target=target, history=found, warm=warm, obstacles=obstacles)


def planned_from_file(engine: Engine, place: str) -> Rollback:
    """The way back to the release that was live when a bundle (`slipway export`) or a state export was made.

    Raises:
        SlipwayError: when the file cannot be read, holds no release, or this stack cannot run it.
    """
    from cli.bundles import read_state  # noqa: PLC0415  # few rollbacks come from a file

    bundle = read_state(place)
    if bundle.release is None:
        raise SlipwayError(
            Problem(f"{place} holds no release", "nothing was live when it was made", "choose another file")
        )
    found = read_history(engine)
    target = PastRelease(document=bundle.release)
    _must_fit(target, found)
    warm = target.id in found.warm
    obstacles = [*_unanswered(found), *([] if warm else missing_images(target.document["images"], found.settings))]
    if target.id in found.rejected:
        what = f"{target.id} is no way back: it was brought back from: {found.rejected[target.id]}"
        obstacles.append(Problem(what, "it may turn bad again", _TELLS))
    return Rollback(target=target, history=found, warm=warm, obstacles=obstacles)


def carry_out(engine: Engine, way: Rollback, *, message: str, again: str) -> int:
    """Take the way; the engine's exit code.

    Args:
        engine: how the engine is called, prepared for deploying.
        way: which one.
        message: for the history.
        again: the command to run again after fixing, for errors.
    """
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:  # mode 0700
        file = Path(folder) / "release.json"
        file.write_text(json.dumps(way.target.document, ensure_ascii=False), encoding="utf-8")
        settings = {"SLIPWAY_RELEASE": str(file), "SLIPWAY_KIND": ROLLBACK}
        return deploy(engine, IMAGES_LEFT_ALONE, message=message, settings=settings, command=again)


def roll_back_to_validated(stack: str, *, reason: str) -> int:
    """Bring the release back that was validated last; the exit code.

    Raises:
        SlipwayError: when there is none, or it cannot come back.
    """
    from cli.locks.waiting import when_free, with_note  # noqa: PLC0415  # only this way in waits by itself
    from cli.stack import engine_of  # noqa: PLC0415  # as above

    engine = engine_of(stack, deploys=True)

    def roll_back(taken_over: str) -> int:
        history = read_history(engine)
        if history.validated and next(reversed(history.validated)) == history.live:
            typer.echo(
                f"{history.live} is live, and it is the release that was validated last: nothing to go back from"
            )
            return 0
        way = planned(engine, "validated", history=history)
        if way.obstacles:
            raise SlipwayError(way.obstacles)
        again = f"slipway rollback --to validated --stack {engine.short}"
        return carry_out(engine, way, message=with_note(f"{way.words}: {reason}", taken_over), again=again)

    return when_free(engine, roll_back)


def _default(history: StackHistory) -> str:
    """The last release that was healthy, is not live, and was neither rejected nor left by a rollback."""
    avoided = {history.live, *history.rejected, *history.left}
    for entry in reversed(history.entries):
        known = entry.release and (history.deployed(entry.release) or entry.release in history.warm)
        if entry.proven and entry.release and entry.release not in avoided and known:
            return entry.release
    raise SlipwayError(_nowhere(history))


def _nowhere(history: StackHistory) -> Problem:
    live = history.live or "nothing"
    others = sorted(release for release in {*history.rejected, *history.left} if release != history.live)
    beside = f"; {', '.join(others)} was left by a rollback or turned bad" if others else ""
    return Problem(
        f"stack {history.stack} has no release to go back to ({live} is live{beside})",
        "only a release that ran well before is a way back",
        _TELLS if others else "deploy a release that works: pulumi up",
    )


def _must_fit(target: PastRelease, history: StackHistory) -> None:
    """Raises a `SlipwayError` when the stack, as it is now, cannot run the release; no force helps there."""
    if problems := list(unfit(target.document, history.settings)):
        raise SlipwayError(problems)


def _unanswered(history: StackHistory) -> list[Problem]:
    """Hosts that do not answer would fail the update before anything is touched: told now."""
    return [problem for error in history.errors for problem in error.problems]
