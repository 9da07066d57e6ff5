"""`slipway doctor`: everything that a deployment of a stack needs, checked before one fails for the lack of it."""

import typer

from slipway.cli.options import AsJson, StackName


def doctor(*, stack: StackName = "", json: AsJson = False) -> None:
    """Check this machine, the backend, the stack's settings, its Compose file, its registry and its hosts.

    Changes and installs nothing, and stops at no failure: each finding is a line, and what is wrong comes with its fix.

    Exit code: 0 when nothing is wrong; 1 when something is; 2 for wrong usage.
    """
    from slipway.cli.doctor.doctor import examine, report
    from slipway.cli.printing import print_json, print_out

    document = examine(stack)
    if json:
        print_json(document)
    else:
        print_out(report(document))
    raise typer.Exit(0 if document["well"] else 1)
