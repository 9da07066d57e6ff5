"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = [
    "INTERRUPTED", "NO_VARIABLES", "WHY", "AsJson", "ContainerNumber", "ContainerUser", "Force", "HostNames", "Message",
    "PlanOnly", "RepositoryName", "ServiceNames", "StackName",
]  # fmt: skip

INTERRUPTED = 130
"""The exit code by which shells know a command that Ctrl-C ended."""

StackName = Annotated[
    str, typer.Option("--stack", "-s", envvar="PULUMI_STACK", help="The stack; the one selected in Pulumi if none.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON (its schema: cli/schemas/ in the installed package).")]
HostNames = Annotated[
    list[str] | None, typer.Option("--host", metavar="NAME", help="Host to look at; repeatable; all if none.")
]
ServiceNames = Annotated[list[str] | None, typer.Argument(metavar="SERVICE", help="Services to show; all if none.")]
ContainerNumber = Annotated[
    int | None, typer.Option("--index", metavar="N", min=1, help="Number of the container, as in web-2.")
]
ContainerUser = Annotated[
    str, typer.Option("--user", "-u", metavar="USER", help="User in the container; the image's own if none.")
]
RepositoryName = Annotated[
    str,
    typer.Option("--repository", metavar="OWNER/NAME", help="On GitHub; the workflow's or the remote origin if none."),
]
PlanOnly = Annotated[bool, typer.Option("--plan", help="Only show what would change.")]
Force = Annotated[bool, typer.Option("--force", help="Proceed despite what stands in the way, which is printed.")]
WHY = "Why, for the history."
Message = Annotated[str, typer.Option("--message", "-m", help=WHY)]
NO_VARIABLES = "Set no variables of the GitHub environment."
