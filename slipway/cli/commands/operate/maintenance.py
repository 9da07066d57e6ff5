"""`slipway maintenance`: a page in place of everything that a stack serves, while something is fixed by hand."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.options import StackName
from slipway.contract.commands import of_stack

if TYPE_CHECKING:
    from slipway.cli.status.maintenance import Outcome


class _Switch(StrEnum):
    ON = "on"
    OFF = "off"


def maintenance(
    switch: Annotated[_Switch, typer.Argument(metavar="on|off", help="Show the page, or serve again.")],
    *,
    stack: StackName = "",
    page: Annotated[
        Path | None, typer.Option("--page", metavar="FILE", help="HTML file to show; a plain built-in page if none.")
    ] = None,
) -> None:
    """Answer every request with a maintenance page (status 503), on all hosts of the stack, or serve again.

    Containers keep running, and deployments leave the page in place. A second time changes nothing and says so.

    Exit code: 0 when every host that has a route of the stack is as asked; 1 when one is not, or the stack's settings
    cannot be read; 2 for wrong usage.
    """
    if page is not None and switch is _Switch.OFF:
        raise typer.BadParameter("only `on` shows a page", param_hint="'--page'")
    from slipway.cli.printing import print_problems
    from slipway.cli.status import maintenance as pages
    from slipway.releases.engine import read_stack

    own = page and pages.page_of(page)
    found = read_stack(stack)
    text = own or pages.built_in_page(found.application)
    outcomes = pages.switch(found.settings, found.project, text if switch is _Switch.ON else None)
    for outcome in outcomes:
        print_problems(outcome.problems, found.settings.stack)
        if not outcome.problems:
            typer.echo(f"{outcome.host}: {_described(outcome, switch)}")
    failed = [outcome.host for outcome in outcomes if outcome.problems]
    if failed:
        done = ", ".join(each.host for each in outcomes if each.routed and not each.problems) or "no host"
        again = of_stack(f"slipway maintenance {switch}", found.settings.stack) + (f" --page {page}" if page else "")
        typer.echo(f"page {switch}: {done}; not known: {', '.join(failed)}; once that is fixed: {again}", err=True)
    raise typer.Exit(1 if failed else 0)


def _described(outcome: Outcome, switch: _Switch) -> str:
    if not outcome.routed:
        return "has no route of this stack, so nothing to show a page in place of"
    if switch is _Switch.ON:
        return "maintenance page on" if outcome.changed else "maintenance page was on already, with this page"
    return "maintenance page off, serves again" if outcome.changed else "maintenance page was off already"
