"""`slipway rollback`: roll back to an earlier release."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.options import Force, Message, PlanOnly, StackName

if TYPE_CHECKING:
    from slipway.releases.rollback import Rollback

_TO = "Update number, release, commit or `validated`; the last healthy release before the live one if none."


def rollback(
    *,
    stack: StackName = "",
    to: Annotated[str, typer.Option("--to", metavar="N|RELEASE", help=_TO)] = "",
    file: Annotated[
        str, typer.Option("--from", metavar="FILE", help="Bundle (slipway export) or state export with the release.")
    ] = "",
    plan: PlanOnly = False,
    force: Force = False,
    message: Message = "",
) -> None:
    """Roll back to an earlier release: its images by digest, its Compose file and files, with the current secrets.

    Runs through the same gates and strategies as any deployment, and is an update in the history. Nothing is built. The
    next `pulumi up` goes forward again.

    Refuses when images are gone, when a migration since then cannot be undone, or when the release never ran well.

    Exit code: the engine's own (0 when every host runs the release); 1 when it is refused; 2 for wrong usage.
    """
    if to and file:
        raise typer.BadParameter("either --to or --from, not both")
    from slipway.releases.engine import engine_of

    engine = engine_of(stack, deploys=True).begin()
    from slipway.cli.deploy.update import deploy  # while the engine decrypts
    from slipway.cli.printing import override
    from slipway.releases.locks.waiting import when_free, with_note
    from slipway.releases.rollback import carry_out, planned, planned_from_file

    def target() -> Rollback:
        return planned_from_file(engine, file) if file else planned(engine, to)

    def again_for(found: Rollback) -> str:
        return f"slipway rollback --stack {engine.short} " + (f"--from {file}" if file else f"--to {found.target.id}")

    if plan:
        found = target()
        _show(found)
        if found.obstacles:
            typer.echo("nothing was changed; --force in place of --plan rolls back in spite of that")
            return
        from slipway.cli.deploy.preview import show

        code = carry_out(engine, found, deploy=show, message="", again=f"{again_for(found)} --plan")
        typer.echo("nothing was changed; run it without --plan to roll back")
        raise typer.Exit(code)

    def roll_back(taken_over: str) -> int:
        found = target()
        override(found.obstacles, force=force)
        _announce(found)
        again = again_for(found)
        said = f"{found.words}: {message}" if message else found.words
        return carry_out(engine, found, deploy=deploy, message=with_note(said, taken_over), again=again)

    raise typer.Exit(when_free(engine, roll_back))


def _announce(found: Rollback) -> None:
    how = "all of it is on the hosts" if found.warm else "images are pulled from their registry"
    typer.echo(f"from {found.history.live or 'nothing'} back to {found.target.id} ({how})")


def _show(found: Rollback) -> None:
    from slipway.cli.history.history_view import diff_rendered
    from slipway.cli.printing import print_out
    from slipway.releases.past_releases import named_entry, past_release
    from slipway.releases.release_diff import difference

    _announce(found)
    for obstacle in found.obstacles:
        typer.echo(f"in the way: {obstacle}")
    if found.history.live:
        live = past_release(found.history, named_entry(found.history, "live"))
        print_out(diff_rendered(difference(live.document, found.target.document)))
