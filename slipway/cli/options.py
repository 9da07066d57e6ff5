"""Options that several commands have, said once."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["AsJson", "ContainerNumber", "ContainerUser", "HostNames", "RepositoryName", "StackName"]

StackName = Annotated[
    str,
    typer.Option(
        "--stack", "-s", envvar="PULUMI_STACK", help="Stack that is meant; the one selected in Pulumi if none."
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead (docs/reference/cli.md names the schema).")]

HostNames = Annotated[
    list[str] | None, typer.Option("--host", metavar="NAME", help="Host to look at; repeatable; all if none.")
]

ContainerNumber = Annotated[
    int | None, typer.Option("--index", metavar="N", min=1, help="Number of the container, as in web-2.")
]

ContainerUser = Annotated[
    str, typer.Option("--user", "-u", metavar="USER", help="User in the container; the image's own if none.")
]

RepositoryName = Annotated[
    str,
    typer.Option(
        "--repository", metavar="OWNER/NAME", help="On GitHub; of the workflow, else of the remote origin, if none."
    ),
]
