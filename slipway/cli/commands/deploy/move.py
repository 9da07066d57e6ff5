"""`slipway move`: shows how far a stack has taken over from the project that ran before, undoes or finishes it."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from slipway.cli.options import StackName


class _What(StrEnum):
    SHOW = "show"
    UNDO = "undo"
    FINISH = "finish"


def move(
    what: Annotated[
        _What, typer.Argument(metavar="[show|undo|finish]", help="Show the move, undo it, or finish it.")
    ] = _What.SHOW,
    *,
    stack: StackName = "",
    remove: Annotated[
        bool, typer.Option("--remove", help="With finish: remove the old containers and networks, never a volume.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="With undo: do not ask, whatever has changed since.")
    ] = False,
) -> None:
    """Show the move from the Compose project that the setting moveFrom names; undo it, or finish it.

    The first `slipway up` takes over. Until `finish`, `undo` runs the old project again as it was, on the same
    volumes, and stops the stack's containers; the next `slipway up` takes over again. Where secrets have changed
    since, or the stack ran before the move, it asks. After `finish`, `undo` is no longer possible; it prints the
    commands that remove what is left of the old project.

    Exit code: 0 when every host is as asked and works; 1 when one is not or does not, or no host took over from a
    project; 2 for wrong usage.
    """
    if remove and what is not _What.FINISH:
        raise typer.BadParameter("only `finish` removes anything", param_hint="'--remove'")
    from slipway.cli.confirm import confirmed
    from slipway.cli.deploy import move as moves
    from slipway.cli.printing import print_problems
    from slipway.contract.commands import of_stack
    from slipway.contract.redaction import printable
    from slipway.releases.engine import read_stack

    found = read_stack(stack)
    if what is _What.UNDO:
        now = moves.ask(found.settings, found.project, "show")
        asked = moves.differing(now)
        for line in (*moves.interrupted(now), *asked):
            typer.echo(printable(line))
        command = of_stack("slipway move undo", found.settings.stack)
        if asked and not confirmed("Have the old project run all the same?", yes=yes, command=command):
            raise typer.Exit(1)
    outcomes = moves.ask(found.settings, found.project, "remove" if remove else what.value)
    for outcome in outcomes:
        print_problems(outcome.problems, found.settings.stack)
        for line in moves.described(outcome, what.value, found.settings.stack):
            typer.echo(line)
    raise typer.Exit(1 if any(outcome.problems for outcome in outcomes) else 0)
