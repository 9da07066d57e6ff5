"""`slipway status`: what runs on the hosts of a stack, and whether that is what was deployed."""

from __future__ import annotations

from typing import Annotated

import typer

from slipway.cli.options import StackName  # noqa: TC001  # typer reads the annotation when the command is made

__all__ = ["status"]


def status(
    *,
    stack: StackName = "",
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON (slipway/cli/schemas/status.schema.json) instead of a table.")
    ] = False,
) -> None:
    """Show the live release of every host, its containers, and where they differ from what was deployed.

    Changes nothing. A host that does not answer is shown as such, beside the others.

    Exit code: 0 when every host runs what was deployed; 1 when one does not (drift, unhealthy, unreachable,
    interrupted, nothing deployed) or the stack's settings cannot be read; 2 for wrong usage.
    """
    from slipway.hosts.host_sessions import survey  # noqa: PLC0415  # as above
    from slipway.releases.engine import read_stack  # noqa: PLC0415  # help must not wait for it
    from slipway.releases.status import status_document  # noqa: PLC0415  # as above

    found = read_stack(stack)
    document = status_document(found, survey(found.settings, found.project))
    if json:
        from json import dumps  # noqa: PLC0415  # the option has the name

        typer.echo(dumps(document, indent=2, ensure_ascii=False))
    else:
        from slipway.cli.status.status_view import show  # noqa: PLC0415  # JSON needs no rich

        show(document)
    raise typer.Exit(0 if document["as_deployed"] else 1)
