"""`slipway promote`: take the release that runs in one environment to the next, without building it again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.options import Force, Message, PlanOnly, RepositoryName

if TYPE_CHECKING:
    from slipway.releases.engine import Engine
    from slipway.releases.promotion import Promotion

_WORD = "DEPLOY"


def promote(
    *,
    source: Annotated[str, typer.Option("--from", metavar="STACK", help="Stack whose live release is promoted.")],
    target: Annotated[str, typer.Option("--to", metavar="STACK", help="Stack that gets it.")],
    confirm: Annotated[
        str, typer.Option("--confirm", metavar=_WORD, help=f"Say {_WORD} here instead of typing it.")
    ] = "",
    commit: Annotated[
        str, typer.Option("--commit", metavar="SHA", help="Refuse the release of any other commit.")
    ] = "",
    release: Annotated[str, typer.Option("--release", metavar="ID", help="Refuse any other release.")] = "",
    plan: PlanOnly = False,
    force: Force = False,
    message: Message = "",
    repository: RepositoryName = "",
) -> None:
    """Deploy exactly the images that run in one environment to another, after showing both side by side.

    Nothing is built. The Compose file is that of the release's commit, with the domain, variables and secrets of the
    target. Before anything is changed the target's state is saved in .slipway/backups/.

    Refuses a release that was not validated, an environment that is not healthy, and images that are gone. Asks you to
    type DEPLOY.

    Exit code: the engine's own (0 when every host runs the release, or ran it already); 1 when it is refused or was not
    confirmed; 2 for wrong usage.
    """
    if source == target:
        raise typer.BadParameter("--from and --to are the same stack")
    if confirm and confirm != _WORD:
        raise typer.BadParameter(f"only {_WORD} confirms it", param_hint="'--confirm'")
    from slipway.cli.history.promotion_view import rendered
    from slipway.cli.printing import override, print_out
    from slipway.releases.engine import engine_of
    from slipway.releases.promotion import planned

    into = engine_of(target, deploys=True)
    found = planned(engine_of(source, own_key=True), into, repository=repository, commit=commit, release=release)
    print_out(rendered(found))
    if plan:
        if not found.obstacles:
            _show_plan(into, found)
        return
    if found.settled and found.target.healthy:
        typer.echo(f"{target} runs these images of this commit already: nothing to do")
        return
    override(found.obstacles, force=force)
    if not confirm and not _typed(target):
        typer.echo("not confirmed, nothing was changed", err=True)
        raise typer.Exit(1)
    raise typer.Exit(_promote(into, found, message))


def _typed(target: str) -> bool:
    if not sys.stdin.isatty():
        from slipway.contract.problems import SlipwayError

        fix = f"the same command with --confirm {_WORD}"
        raise SlipwayError("nobody can confirm it here (no terminal)", "a promotion is never made by accident", fix)
    typed: str = typer.prompt(f"type {_WORD} to change {target}", default="", show_default=False)
    return typed.strip() == _WORD


def _show_plan(target: Engine, found: Promotion) -> None:
    from slipway.cli.deploy.preview import show
    from slipway.releases.promotion import carry_out, source_at, with_source

    commit = str(found.release.document["commit"]).removesuffix("-dirty")
    with source_at(found.source.history.settings.application, commit) as folder:
        again = f"slipway promote --from {found.source.stack} --to {target.short} --plan"
        code = carry_out(target, folder, with_source(found, folder), deploy=show, message="", again=again)
    typer.echo("nothing was changed; run it without --plan to promote")
    raise typer.Exit(code)


def _promote(target: Engine, found: Promotion, message: str) -> int:
    from slipway.cli.deploy.update import deploy
    from slipway.contract.problems import SlipwayError
    from slipway.releases.bundles.exporting import keep_backup
    from slipway.releases.history.stack_history import read_history
    from slipway.releases.locks.waiting import when_free, with_note
    from slipway.releases.promotion import carry_out, source_at, with_source

    release, source = found.release, found.source.stack
    words = f"promotion of {release.id} from {source}"
    again = f"slipway promote --from {source} --to {target.short}"
    commit = str(release.document["commit"]).removesuffix("-dirty")

    def deployment(taken_over: str) -> int:
        if read_history(target).live != found.target.history.live:
            what, meaning = "changed since it was shown here", "what you confirmed is not what would be replaced"
            raise SlipwayError(f"{target.short} {what}", meaning, again)
        if not commit:
            typer.echo("the release was not made from a Git commit: the current Compose file is used", err=True)
        with source_at(found.source.history.settings.application, commit) as folder:
            images = with_source(found, folder)
            if found.target.live is not None:
                typer.echo(f"saved the state of {target.short}: {keep_backup(target)}")
            said = with_note(f"{words}: {message}" if message else words, taken_over)
            return carry_out(target, folder, images, deploy=deploy, message=said, again=again)

    return when_free(target, deployment)
