"""What `slipway init` prints when it is done: what the application is, what was written, what is left to do.

Owns: the printed form. Does not own: what is left (see `initialise`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli.wording import counted

if TYPE_CHECKING:
    from cli.setup.initialise import Outcome
    from cli.setup.needs import Needs

__all__ = ["introduce", "show"]


def introduce(needs: Needs) -> None:
    """Print what the application is, before anything is asked."""
    built = f"{', '.join(needs.built)} built" if needs.built else "none built"
    routed = f"{', '.join(needs.routed)} with a route" if needs.routed else "none with a route"
    typer.echo(f"{needs.name}: {needs.file} has {counted(len(needs.services), 'service')}: {built}; {routed}")


def show(outcome: Outcome) -> None:
    """Print what was done and what is left, on standard output."""
    width = max(map(len, (*outcome.files, *outcome.stacks)))
    for name, what in outcome.files.items():
        typer.echo(f"  {name:<{width}}  {what}")
    for stack in outcome.made:
        typer.echo(f"  {f'stack {stack}':<{width}}  made in {outcome.place}")
    if outcome.unchanged:
        typer.echo("everything was there already: nothing was changed")
    for suggestion in outcome.suggestions:
        typer.echo(f"  hint: {suggestion}")
    _to_do(outcome)


def _to_do(outcome: Outcome) -> None:
    first = outcome.stacks[0]
    for problem in outcome.problems:
        typer.echo(f"\nIn the way: {problem.what} — {problem.meaning}\n  {problem.fix}")
    for stack in outcome.stacks:
        if outcome.commands[stack]:
            typer.echo(f"\nStill to set for {stack}:")
        for command in outcome.commands[stack]:
            typer.echo(f"  {command}")
    ready = not outcome.problems and not outcome.commands[first]
    typer.echo(f"\n{'Next' if ready else 'Then'}: pulumi preview --stack {first}")
