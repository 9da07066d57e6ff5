"""`slipway shell`: a shell in a container of a service, or on a host."""

from typing import Annotated

import typer

from slipway.cli.options import ContainerNumber, ContainerUser, StackName


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
    from slipway.cli.containers.exec import SHELL, ExecRequest, exec_in_container, shell_on_host
    from slipway.cli.printing import has_terminal
    from slipway.contract.problems import SlipwayError
    from slipway.releases.engine import read_stack

    if not has_terminal():
        what, fix = "standard input and output are no terminal", "slipway exec SERVICE -- COMMAND"
        raise SlipwayError(what, "a shell is for a person at one", fix)
    found = read_stack(stack)
    if not service:
        raise typer.Exit(shell_on_host(found, host))
    request = ExecRequest(service=service, command=SHELL, host=host, number=index, user=user, terminal=True)
    raise typer.Exit(exec_in_container(found, request))
