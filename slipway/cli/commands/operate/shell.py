"""`slipway shell`: a shell in a container of a service, or on a host."""

from __future__ import annotations

from typing import Annotated

import typer

from slipway.cli.options import ContainerNumber, ContainerUser, StackName  # noqa: TC001  # typer reads the annotations when the command is made

__all__ = ["shell"]


def shell(
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="Service whose container it opens in; the host itself if none.")
    ] = "",
    *,
    stack: StackName = "",
    host: Annotated[str, typer.Option("--host", metavar="NAME", help="Host; the first one if none.")] = "",
    index: ContainerNumber = None,
    user: ContainerUser = "",
) -> None:
    """Open a shell: in a container of a service (bash where the image has it, else sh), or on a host (the user's own).

    Exit code: the shell's own; 1 when none could be opened; 2 for wrong usage.
    """
    if not service and (index is not None or user):
        raise typer.BadParameter("--index and --user are about a container: name its service")
    from slipway.cli.containers.exec import SHELL, ExecRequest, exec_in_container, shell_on_host  # noqa: PLC0415  # as above
    from slipway.cli.containers.stdio import has_terminal  # noqa: PLC0415  # help must not wait for it
    from slipway.contract.problems import Problem, SlipwayError  # noqa: PLC0415  # as above
    from slipway.releases.engine import read_stack  # noqa: PLC0415  # as above

    if not has_terminal():
        raise SlipwayError(
            Problem(
                "standard input and output are no terminal",
                "a shell is for a person at one",
                "slipway exec SERVICE -- COMMAND, which takes files and pipes",
            )
        )
    found = read_stack(stack)
    if not service:
        raise typer.Exit(shell_on_host(found, host))
    request = ExecRequest(service=service, command=SHELL, host=host, number=index, user=user, terminal=True)
    raise typer.Exit(exec_in_container(found, request))
