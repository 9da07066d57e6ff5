"""`slipway watch`: what the watch over the release that was deployed last sees, as it happens."""

from __future__ import annotations

from typing import Annotated

import typer

from slipway.cli.options import StackName  # noqa: TC001  # typer reads the annotation when the command is made

__all__ = ["watch"]

_INTERRUPTED = 130  # what shells call a command that Ctrl-C ended


def watch(
    *,
    stack: StackName = "",
    json: Annotated[
        bool, typer.Option("--json", help="Print a line of JSON a change (slipway/cli/schemas/watch.schema.json).")
    ] = False,
) -> None:
    """Show live what the hosts' watches see of the release deployed last, until all are over.

    Changes nothing, and ends nothing: the watch runs on the hosts, with or without anybody looking.

    Exit code: 0 when every watch is over and all was well, or none was ordered; 1 when a host was rolled back or its
    watch failed or was lost, a host does not answer, or the stack's settings cannot be read; 2 for wrong usage; 130
    after Ctrl-C.
    """
    from rich.console import Console  # noqa: PLC0415  # help must not wait for it

    from slipway.cli.status.watch_events import follow  # noqa: PLC0415  # as above
    from slipway.cli.status.watch_view import JsonView, LinesView, LiveView  # noqa: PLC0415  # as above
    from slipway.releases.engine import read_stack  # noqa: PLC0415  # as above

    found = read_stack(stack)
    console = Console(highlight=False)
    if json:
        view: JsonView | LinesView | LiveView = JsonView()
    elif console.is_terminal and not console.is_dumb_terminal:
        view = LiveView(f"{found.application} on stack {found.settings.stack}", console)
    else:
        view = LinesView()
    try:
        with view as tell:
            well = follow(found.settings, found.project, tell)
    except KeyboardInterrupt:
        typer.echo("no longer looking; the hosts watch on", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    raise typer.Exit(0 if well else 1)
