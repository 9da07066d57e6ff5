"""Rolling back to an earlier release: which one, whether there is a way back, and doing it.

A rollback is an update like any other: the same program with the release instead of the Compose file, the same gates
and strategies. The engine leaves the built images in its state alone, so that the next `pulumi up` builds nothing.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from slipway.compose.release_source import unfit
from slipway.contract.commands import of_stack
from slipway.contract.outcomes import ROLLBACK
from slipway.contract.problems import Problem, SlipwayError
from slipway.images.image_check import missing_images
from slipway.releases.history.stack_history import StackHistory, read_history
from slipway.releases.past_releases import PastRelease, named_entry, past_release

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from slipway.releases.engine import Engine

__all__ = ["IMAGES_LEFT_ALONE", "Deploy", "Rollback", "carry_out", "planned", "planned_from_file", "to_validated"]

IMAGES_LEFT_ALONE = ("--exclude", "**slipway:images:RegistryImages$**")
"""Options of `pulumi up`: what was built stays in the state as it is."""


class Deploy(Protocol):
    """One `pulumi up` of a stack; its exit code. The command decides how it is shown (slipway/cli/deploy/update.py)."""

    def __call__(  # noqa: D102
        self, engine: Engine, given: Sequence[str], *, message: str, settings: Mapping[str, str], command: str
    ) -> int: ...


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """A rollback that was planned and not carried out yet."""

    target: PastRelease
    history: StackHistory
    warm: bool
    """Whether every host has all of it, so that no registry is asked."""
    obstacles: Sequence[Problem] = ()
    """Why it should not be done; `--force` does it all the same."""

    @property
    def words(self) -> str:
        """What it does, for the history."""
        entry = self.target.entry
        return f"rollback to {self.target.id}" + (f" (update {entry.number})" if entry else "")


def planned(engine: Engine, to: str = "", *, history: StackHistory | None = None) -> Rollback:
    """The rollback to the release named `to`, or to the last one that was healthy and is not the current one."""
    found = history or read_history(engine)
    target = past_release(found, named_entry(found, to or _default(found)))
    way_back = found.way_back(target.id)
    obstacles = []
    if way_back.reason:
        meaning = "it may not run with what is there now"
        if way_back.unproven:
            meaning = "it is not proven that it would run well"
        obstacles.append(
            Problem(
                f"there is no way back to {target.id}: {way_back.reason}",
                meaning,
                of_stack("slipway history", found.stack),
            )
        )
    return _planned(target, found, obstacles)


def planned_from_file(engine: Engine, place: str) -> Rollback:
    """The rollback to the release that was live when a bundle (`slipway export`) or a state export was made."""
    from slipway.releases.bundles.storage import read_bundle  # noqa: PLC0415  # few rollbacks come from a file

    bundle = read_bundle(place, engine.environment)
    if bundle.release is None:
        raise SlipwayError(f"{place} holds no release", "nothing was live when it was made", "choose another file")
    found, target = read_history(engine), PastRelease(document=bundle.release)
    obstacles = []
    if target.id in found.rejected:
        what = f"there is no way back to {target.id}: it was rolled back from: {found.rejected[target.id]}"
        obstacles.append(Problem(what, "it may turn bad again", of_stack("slipway history", found.stack)))
    return _planned(target, found, obstacles)


def _planned(target: PastRelease, history: StackHistory, obstacles: Sequence[Problem]) -> Rollback:
    if problems := list(unfit(target.document, history.settings)):  # no force helps there
        raise SlipwayError(problems)
    warm = target.id in history.warm
    unanswered = [problem for error in history.errors for problem in error.problems]  # the update would fail on them
    missing = [] if warm else missing_images(target.document["images"], history.settings)
    return Rollback(target=target, history=history, warm=warm, obstacles=[*unanswered, *obstacles, *missing])


def carry_out(engine: Engine, rollback: Rollback, *, deploy: Deploy, message: str, again: str) -> int:
    """Roll back; the engine's exit code. `message` is for the history, `again` the command to run after a fix."""
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:  # mode 0700
        file = Path(folder) / "release.json"
        file.write_text(json.dumps(rollback.target.document, ensure_ascii=False), encoding="utf-8")
        settings = {"SLIPWAY_RELEASE": str(file), "SLIPWAY_KIND": ROLLBACK}
        return deploy(engine, IMAGES_LEFT_ALONE, message=message, settings=settings, command=again)


def to_validated(stack: str, *, reason: str, deploy: Deploy, tell: Callable[[str], None]) -> int:
    """Roll back to the release that was validated last; the exit code."""
    from slipway.releases.engine import engine_of  # noqa: PLC0415  # as above
    from slipway.releases.locks.waiting import when_free, with_note  # noqa: PLC0415  # only this way in waits by itself

    engine = engine_of(stack, deploys=True)

    def roll_back(taken_over: str) -> int:
        history = read_history(engine)
        if history.validated and next(reversed(history.validated)) == history.live:
            tell(f"{history.live} is live, and it is the release that was validated last: nothing to roll back from")
            return 0
        rollback = planned(engine, "validated", history=history)
        if rollback.obstacles:
            raise SlipwayError(rollback.obstacles)
        again = of_stack("slipway rollback --to validated", engine.short)
        message = with_note(f"{rollback.words}: {reason}", taken_over)
        return carry_out(engine, rollback, deploy=deploy, message=message, again=again)

    return when_free(engine, roll_back)


def _default(history: StackHistory) -> str:
    """The last release that was healthy, is not live, and was neither rejected nor left by a rollback."""
    avoided = {history.live, *history.rejected, *history.left}
    for entry in reversed(history.entries):
        known = entry.release and (history.deployed.get(entry.release) or entry.release in history.warm)
        if entry.proven and entry.release and entry.release not in avoided and known:
            return entry.release
    others = sorted(str(each) for each in avoided - {history.live})
    beside = f"; {', '.join(others)} was left by a rollback or turned bad" if others else ""
    raise SlipwayError(
        f"stack {history.stack} has no release to go back to ({history.live or 'nothing'} is live{beside})",
        "only a release that ran well before is a way back",
        of_stack(f"slipway {'history' if others else 'up'}", history.stack),
    )
