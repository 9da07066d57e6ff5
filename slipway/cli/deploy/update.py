"""One `pulumi up` of a stack, shown as it happens: what `slipway up`, `rollback` and `promote` come down to."""

from __future__ import annotations

import re
from time import monotonic
from typing import TYPE_CHECKING

import typer
from rich.console import Console

from slipway.cli.announcements import Announcements
from slipway.cli.deploy.cancelled import GoingBack
from slipway.cli.deploy.ci_summary import summarise
from slipway.cli.deploy.engine_run import EngineRun, engine_run
from slipway.cli.deploy.up_events import ENDED, ERROR, Story
from slipway.cli.deploy.up_view import LinesView, LiveView
from slipway.contract.commands import of_stack
from slipway.contract.outcomes import ROLLBACK
from slipway.contract.problems import SlipwayError
from slipway.releases.locks.ci_run import noted_run
from slipway.releases.locks.waiting import StackLockedError, conflict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.releases.engine import Engine

__all__ = ["deploy", "engine_error"]

_STOPPING = "hosts that had begun are asked to go back, and waited for"
_KILLED = re.compile(r"(from signal \w+|signal: killed): running \"")  # as pulumi-command says it of a host, and here


def deploy(
    engine: Engine,
    given: Sequence[str] = (),
    *,
    message: str = "",
    settings: Mapping[str, str] | None = None,
    command: str = "",
    announced: bool = True,
) -> int:
    """Run it; the engine's exit code.

    `given` are further options of `pulumi up`, `settings` variables of the environment that hold for this update alone;
    `command` is what errors advise to run again, `slipway up` if empty. Not `announced`, it is no deployment: no
    messages, no summary of a job, no release. Raises StackLockedError when the engine met a lock, and did nothing.
    """
    plain = ["--yes", "--skip-preview", "--non-interactive", "--color", "never", "--cwd", str(engine.root)]
    said = ["--message", message] if message else []
    environment = {**engine.environment, **(settings or {})}
    story, console, began, back = Story(), Console(highlight=False), monotonic(), GoingBack(engine.stack)
    with (
        Announcements(engine, settings) as people,
        engine_run(["up", *plain, *engine.options, *said, *given], environment) as run,
        noted_run(engine, run.pid),
    ):
        live = console.is_terminal and not console.is_dumb_terminal
        with LiveView(story, lambda: run.stopping, console) if live else LinesView(story) as view:

            def tick() -> None:
                if run.stopping and story.begun and not back.begun:
                    back.begin()
                    if not live:  # as `LiveView` shows it
                        typer.echo(_STOPPING, err=True)
                if story.begun and announced:
                    people.begin()
                view.tick()

            code = run.follow(view.report, tick)
        if code and not (run.stopping or story.errors) and (other := conflict(run.output, engine.stack)):
            raise StackLockedError(other)
        again = command or of_stack("slipway up", engine.stack)
        reasons = _end(run, story, code, monotonic() - began, command=again, engine=engine, announced=announced)
        if code and run.stopping:
            if story.begun and (live or not back.begun):
                typer.echo(_STOPPING, err=True)
            meaning = back.outcome() if story.begun else "nothing was changed"
            stopped = SlipwayError("pulumi up was stopped", meaning, again)
            typer.echo(str(stopped), err=True)
            reasons = [str(stopped)]
        if announced and (code or story.begun):
            rolled_back = not code and environment.get("SLIPWAY_KIND") == ROLLBACK
            people.say(
                "failed" if code else "rolled-back" if rolled_back else "succeeded",
                release=str(story.outputs.get("release", "")),
                seconds=monotonic() - began,
                reason=message if rolled_back else "; ".join(each.removeprefix(ERROR) for each in reasons),
                command="" if rolled_back else _way_back(story, engine),
            )
    return code


def _way_back(story: Story, engine: Engine) -> str:
    """The command that rolls back to what was live before; empty where that is nothing, or nothing else."""
    before, now = story.outputs_before.get("release"), story.outputs.get("release")
    return of_stack(f"slipway rollback --to {before}", engine.stack) if before and before != now else ""


def _end(
    run: EngineRun, story: Story, code: int, seconds: float, *, command: str, engine: Engine, announced: bool
) -> list[str]:
    """The last lines: what came of it, and on failure the errors in the family's form, which are returned."""
    release, back = str(story.outputs.get("release") or ""), _way_back(story, engine)
    if code == 0:
        how, urls = f"done in {seconds:.1f} s: {story.summary() or 'nothing to do'}", list(story.ready())
        typer.echo(how)
        if not announced:
            return []
        if release:
            typer.echo(f"release {release}")
        for url in urls:
            typer.echo(f"ready: {url}")
        summarise(engine.stack, how, release=release, urls=urls, back=back)
        return []
    if unreported := story.unreported(run.output):
        typer.echo(unreported)
    before = f"; until then: {done}" if (done := story.summary()) else ""
    how = f"{'stopped' if run.stopping else 'failed'} after {seconds:.1f} s{before}"
    typer.echo(how)
    if run.stopping:
        return []
    errors = story.errors or [engine_error(run, story, code, command, engine)]
    for error in errors:
        typer.echo(error, err=True)
    if announced:
        summarise(engine.stack, how, release=release, errors=errors, back=back)
    return errors


# Codes in errors of Hetzner's API: https://docs.hetzner.cloud/reference/cloud#errors
_HETZNER = {
    "resource_limit_exceeded": (
        "Hetzner limits how many of these an account has, and that limit is reached",
        "ask for more at https://console.hetzner.cloud (Limits), or remove some",
    ),
    "resource_unavailable": (
        "Hetzner has none of these to give at that place now",
        "choose another type or location in hetzner.servers, or wait",
    ),
}


def engine_error(run: EngineRun, story: Story, code: int, command: str, engine: Engine, *, what: str = "up") -> str:
    """The family's form of an error that is the engine's own; `what` it ran, `command` is to be run again."""
    if run.stopping:
        return str(SlipwayError(f"pulumi {what} was stopped", "nothing was changed", command))
    said = re.findall(r"^\s*error: (.*\S)", run.output, re.MULTILINE)
    reason = story.crash or next((each for each in said if each not in ENDED), f"exit code {code}")
    done = (
        "what was done so far stays, the rest was not begun" if what == "up" and story.begun else "nothing was changed"
    )
    meaning, fix = f"{done}; its own words above say what to fix", f"fix that, then {command}"
    if _KILLED.search(reason):
        meaning = "a host's agent was killed; the next update finishes or undoes what it had begun"
        fix = command
    if "no stack named" in reason:
        meaning, fix = engine.absent()
    for code_of_hetzner, (why, way_out) in _HETZNER.items():
        if code_of_hetzner in run.output:
            meaning, fix = f"{done}; {why}", f"{way_out}, then {command}"
    return str(SlipwayError(f"pulumi {what} failed ({reason})", meaning, fix))
