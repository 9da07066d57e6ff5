"""`slipway rollback`: roll back to an earlier release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.options import StackName  # noqa: TC001  # typer reads the annotation when the command is made

if TYPE_CHECKING:
    from slipway.contract.problems import Problem
    from slipway.releases.rollback import Rollback

__all__ = ["rollback"]


def rollback(
    *,
    stack: StackName = "",
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="N|RELEASE",
            help="Update number, release, commit or `validated`; the last healthy release before the live one if none.",
        ),
    ] = "",
    file: Annotated[
        str,
        typer.Option("--from", metavar="FILE", help="Bundle (slipway export) or state export with the release."),
    ] = "",
    plan: Annotated[bool, typer.Option("--plan", help="Only show what would change.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Go although something speaks against it; says what.")] = False,
    message: Annotated[str, typer.Option("--message", "-m", help="Why, for the history.")] = "",
) -> None:
    """Roll back to an earlier release: its images by digest, its Compose file and files, with the secrets of now.

    Runs through the same gates and strategies as any deployment, and is an update in the history. Nothing is built. The
    next `pulumi up` goes forward again.

    Refuses when images are gone, when a migration since then cannot be undone, or when the release never ran well.

    Exit code: the engine's own (0 when every host runs the release); 1 when it is refused; 2 for wrong usage.
    """
    if to and file:
        raise typer.BadParameter("either --to or --from, not both")
    from slipway.releases.engine import engine_of  # noqa: PLC0415  # help must not wait for it

    engine = engine_of(stack, deploys=not plan).begin()
    from slipway.cli.deploy.update import deploy  # noqa: PLC0415  # while the engine decrypts
    from slipway.contract.problems import SlipwayError  # noqa: PLC0415  # as above
    from slipway.releases.locks.waiting import when_free, with_note  # noqa: PLC0415  # as above
    from slipway.releases.rollback import carry_out, planned, planned_from_file  # noqa: PLC0415  # as above

    if plan:
        _show(planned_from_file(engine, file) if file else planned(engine, to))
        return

    def roll_back(taken_over: str) -> int:
        found = planned_from_file(engine, file) if file else planned(engine, to)
        if found.obstacles and not force:
            raise SlipwayError([*found.obstacles[:-1], _forcible(found)])
        for obstacle in found.obstacles:
            typer.echo(f"overridden: {obstacle}", err=True)
        _say(found)
        again = f"slipway rollback --stack {engine.short}" + (
            f" --to {found.target.id}" if not file else f" --from {file}"
        )
        said = f"{found.words}: {message}" if message else found.words
        return carry_out(engine, found, deploy=deploy, message=with_note(said, taken_over), again=again)

    raise typer.Exit(when_free(engine, roll_back))


def _forcible(found: Rollback) -> Problem:
    last = found.obstacles[-1]
    return last._replace(fix=f"{last.fix}; or --force, which goes there all the same")


def _say(found: Rollback) -> None:
    live = found.history.live or "nothing"
    how = "all of it is on the hosts" if found.warm else "images are pulled from their registry"
    typer.echo(f"from {live} back to {found.target.id} ({how})")


def _show(found: Rollback) -> None:
    from slipway.cli.history.diff_view import rendered  # noqa: PLC0415  # as above
    from slipway.cli.printing import print_out  # noqa: PLC0415  # as above
    from slipway.releases.past_releases import named_entry, past_release  # noqa: PLC0415  # as above
    from slipway.releases.release_diff import difference  # noqa: PLC0415  # only --plan needs it

    _say(found)
    for obstacle in found.obstacles:
        typer.echo(f"speaks against it: {obstacle}")
    if found.history.live:
        live = past_release(found.history, named_entry(found.history, "live"))
        print_out(rendered(difference(live.document, found.target.document)))
    typer.echo("nothing was changed; without --plan it is done")
