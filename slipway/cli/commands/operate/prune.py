"""`slipway prune`: delete images from the registry that no stack needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.options import PlanOnly

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.contract.problems import Problem
    from slipway.releases.pruning.prune import Pruning


def prune(
    *,
    keep: Annotated[
        int, typer.Option("--keep", metavar="N", min=1, help="Last releases of each stack whose images stay.")
    ] = 20,
    days: Annotated[int, typer.Option("--days", metavar="N", min=0, help="Images younger than that stay.")] = 30,
    keep_tag: Annotated[
        list[str] | None,
        typer.Option("--keep-tag", metavar="PATTERN", help="Images with such a tag stay, as in 'v*'; repeatable."),
    ] = None,
    plan: PlanOnly = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
) -> None:
    """Delete old images of the project's builds from their registry; what any stack needs stays.

    Needed is what a stack's state names, what its hosts run or keep, what was validated last, and the last releases
    that ran well (--keep; the stack's `retention` if that is more), with their platforms, signatures and attestations.
    So is what is tagged with the name of a stack. When one stack or host cannot be read, nothing is deleted.

    Images at ghcr.io are deleted by GitHub's API, with the token in GITHUB_TOKEN; elsewhere by the registry's own.

    Exit code: 0 when it is done, or nothing was to do; 1 when something cannot be read or was refused, or nobody
    confirmed it; 2 for wrong usage.
    """
    import os

    from slipway.cli.confirm import confirmed
    from slipway.cli.printing import print_problems
    from slipway.contract.problems import SlipwayError
    from slipway.releases.engine import engine_of
    from slipway.releases.pruning.needs import read_needs, unchanged
    from slipway.releases.pruning.prune import carry_out, planned

    engine = engine_of("production")  # any name will do to ask for all of them
    needs = read_needs(engine, keep)
    found = planned(needs, os.environ, days=days, keep_tags=keep_tag or ())
    _show(found)
    count = sum(len(each.gone) for each in found)
    if not count or plan:
        typer.echo("nothing was deleted" if plan else "nothing to delete")
        return
    if not confirmed(f"delete {count} of them?", yes=yes, command="slipway prune"):
        typer.echo("not confirmed, nothing was deleted", err=True)
        raise typer.Exit(1)
    problems: list[Problem] = []
    try:
        for each in found:
            if each.gone:
                unchanged(engine, needs)  # what one that was updated since needs now is not known
                problems += carry_out(each)
    except SlipwayError as error:
        problems += error.problems
    print_problems(problems, "")
    raise typer.Exit(1 if problems else 0)


def _show(found: Sequence[Pruning]) -> None:
    from slipway.contract.redaction import printable

    for each in found:
        typer.echo(f"{each.repository}: {len(each.gone)} of {len(each.images)} go")
        for image in each.gone:
            date = f"{image.created:%Y-%m-%d}" if image.created else "no date   "
            typer.echo(f"  {image.digest[:19]}  {date}  {printable(', '.join(image.tags))}".rstrip())
    if not found:
        typer.echo("no stack has pushed a build")
