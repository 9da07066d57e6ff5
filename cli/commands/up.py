"""`slipway up`: `pulumi up` for one stack, with every host's steps as they happen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cli.engine_run import EngineRun
    from cli.story import Story

__all__ = ["up"]


def up(
    options: Annotated[
        list[str] | None, typer.Argument(metavar="-- PULUMI_OPTION", help="Options handed to pulumi up.")
    ] = None,
    *,
    stack: Annotated[
        str,
        typer.Option(
            "--stack", "-s", envvar="PULUMI_STACK", help="Stack to deploy; the one selected in Pulumi if none."
        ),
    ] = "",
) -> None:
    """Deploy: run `pulumi up` and show every step of every host as it happens, with its duration.

    Asks nothing and shows no preview first: that is `pulumi preview`. Ctrl-C asks the engine to stop, once, and waits
    for it: a host that has begun puts back what served before.

    Exit code: the engine's own (0 when every host runs the release); 1 when it could not be started; 2 for wrong usage.
    """
    given = options or []
    if given and not given[0].startswith("-"):
        raise typer.BadParameter(f"{given[0]!r} is no option of pulumi up (a stack is named with --stack)")
    from time import monotonic  # noqa: PLC0415  # help must not wait for it

    from rich.console import Console  # noqa: PLC0415  # as above

    from cli.engine_run import EngineRun  # noqa: PLC0415  # as above
    from cli.stack import engine_of  # noqa: PLC0415  # as above
    from cli.story import Story  # noqa: PLC0415  # as above
    from cli.up_view import LinesView, LiveView  # noqa: PLC0415  # as above

    engine = engine_of(stack, deploys=True)
    plain = ["--yes", "--skip-preview", "--non-interactive", "--color", "never", "--cwd", str(engine.root)]
    story, console, began = Story(), Console(highlight=False), monotonic()
    with EngineRun(["up", *plain, *engine.options, *given], engine.environment) as run:
        live = console.is_terminal and not console.is_dumb_terminal
        with LiveView(story, lambda: run.stopping, console) if live else LinesView(story) as view:
            code = run.follow(view.tell, view.tick)
        _end(run, story, code, monotonic() - began)
    raise typer.Exit(code)


def _end(run: EngineRun, story: Story, code: int, seconds: float) -> None:
    """The last lines: what came of it, and on failure the errors in the family's form."""
    if code == 0:
        typer.echo(f"done in {seconds:.1f} s: {story.summary() or 'nothing to do'}")
        if release := story.outputs.get("release"):
            typer.echo(f"release {release}")
        for url in story.ready():
            typer.echo(f"ready: {url}")
        return
    untold = story.untold(run.output)
    if untold:
        typer.echo(untold)
    before = story.summary()
    ended = "stopped" if run.stopping else "failed"
    typer.echo(f"{ended} after {seconds:.1f} s" + (f"; until then: {before}" if before else ""))
    for error in story.errors or [_unnamed(run, code)]:
        typer.echo(error, err=True)


def _unnamed(run: EngineRun, code: int) -> str:
    """The family's form of an error that is the engine's own."""
    from cli.story import ENDED  # noqa: PLC0415  # as above
    from components.errors import Problem, SlipwayError  # noqa: PLC0415  # as above

    if run.stopping:
        meaning = "hosts that had begun put back what served before; the next run finishes or undoes the rest"
        return str(SlipwayError(Problem("pulumi up was stopped", meaning, "slipway up")))
    said = [
        line.strip().removeprefix("error: ") for line in run.output.splitlines() if line.strip().startswith("error: ")
    ]
    what = next((each for each in said if each not in ENDED), f"exit code {code}")
    meaning = "what was done so far stays, the rest was not begun; its own words are above"
    return str(SlipwayError(Problem(f"pulumi up failed ({what})", meaning, "mend what it names, then slipway up")))
