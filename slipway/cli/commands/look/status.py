"""`slipway status`: what runs on the hosts of a stack, and whether that is what was deployed."""

import typer

from slipway.cli.options import AsJson, StackName


def status(*, stack: StackName = "", json: AsJson = False) -> None:
    """Show the live release of every host, its containers, and where they differ from what was deployed.

    Changes nothing. A host that does not answer is shown as such, beside the others.

    Exit code: 0 when every host runs what was deployed; 1 when one does not (drift, unhealthy, unreachable,
    interrupted, nothing deployed) or the stack's settings cannot be read; 2 for wrong usage.
    """
    from slipway.cli.printing import print_json, print_out
    from slipway.hosts.host_sessions import survey
    from slipway.releases.engine import read_stack
    from slipway.releases.status import status_document

    found = read_stack(stack)
    document = status_document(found, survey(found.settings, found.project))
    if json:
        print_json(document)
    else:
        from slipway.cli.status.status_view import rendered

        print_out(rendered(document))
    raise typer.Exit(0 if document["as_deployed"] else 1)
