"""`slipway exec`: a command in a container of a service."""

from typing import Annotated

import typer

from slipway.cli.options import ContainerNumber, ContainerUser, StackName


def exec_(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="Service in whose container it runs.")],
    command: Annotated[list[str], typer.Argument(metavar="-- COMMAND", help="Command with its arguments.")],
    *,
    stack: StackName = "",
    host: Annotated[
        str, typer.Option("--host", metavar="NAME", help="Host; the first with a healthy container if none.")
    ] = "",
    index: ContainerNumber = None,
    user: ContainerUser = "",
) -> None:
    """Run a command in a container of the live generation of a service.

    At a terminal the command gets it. Where standard input or output is a file or a pipe, both are passed on byte for
    byte: `slipway exec db -- pg_dump -U app app > dump.sql`.

    Exit code: the command's own; 1 when it could not be run; 2 for wrong usage.
    """
    from slipway.cli.containers.exec import ExecRequest, exec_in_container
    from slipway.cli.printing import has_terminal
    from slipway.releases.engine import read_stack

    request = ExecRequest(service=service, command=command, host=host, number=index, user=user, terminal=has_terminal())
    raise typer.Exit(exec_in_container(read_stack(stack), request))
