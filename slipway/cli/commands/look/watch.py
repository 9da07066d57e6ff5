"""`slipway watch`: what the watch over the release that was deployed last sees, as it happens."""

import typer

from slipway.cli.options import INTERRUPTED, AsJson, StackName


def watch(*, stack: StackName = "", json: AsJson = False) -> None:
    """Show live what the hosts' watches see of the release deployed last, until all are over.

    Changes nothing and ends nothing: the watch runs on the hosts, whether or not anybody looks.

    Exit code: 0 when every watch is over and all was well, or none was ordered; 1 when a host was rolled back or its
    watch failed or was lost, a host does not answer, or the stack's settings cannot be read; 2 for wrong usage; 130
    after Ctrl-C.
    """
    from rich.console import Console

    from slipway.cli.status.watch_events import follow
    from slipway.cli.status.watch_view import LinesView, LiveView, print_as_json
    from slipway.releases.engine import read_stack

    found = read_stack(stack)
    console = Console(highlight=False)
    try:
        if json:
            well = follow(found.settings, found.project, print_as_json)
        elif console.is_terminal and not console.is_dumb_terminal:
            with LiveView(f"{found.application} on stack {found.settings.stack}", console) as view:
                well = follow(found.settings, found.project, view.report)
        else:
            well = follow(found.settings, found.project, LinesView().report)
    except KeyboardInterrupt:
        typer.echo("no longer looking; the hosts watch on", err=True)
        raise typer.Exit(INTERRUPTED) from None
    raise typer.Exit(0 if well else 1)
