"""`slipway doctor`: everything that a deployment of a stack needs, looked at before one fails for the lack of it."""

from __future__ import annotations

from typing import Annotated

import typer

from slipway.cli.options import StackName  # noqa: TC001  # typer reads the annotations when the command is made

__all__ = ["doctor"]


def doctor(
    *,
    stack: StackName = "",
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON (slipway/cli/schemas/doctor.schema.json) instead of text.")
    ] = False,
) -> None:
    """Look at this machine, the backend, the stack's settings, its Compose file, its registry and its hosts.

    Changes nothing, gets nothing, and stops at no failure: each finding is a line, and what is wrong says what fixes
    it.

    Exit code: 0 when nothing is wrong; 1 when something is; 2 for wrong usage.
    """
    from slipway.cli.doctor.doctor import examine, report  # noqa: PLC0415  # help must not wait for it

    document = examine(stack)
    if json:
        from json import dumps  # noqa: PLC0415  # the option has the name

        typer.echo(dumps(document, indent=2, ensure_ascii=False))
    else:
        from slipway.cli.printing import print_out  # noqa: PLC0415  # JSON needs no rich

        print_out(report(document))
    raise typer.Exit(0 if document["well"] else 1)
