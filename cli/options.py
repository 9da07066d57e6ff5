"""Options that several commands have, said once."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["AsJson", "StackName"]

StackName = Annotated[
    str,
    typer.Option(
        "--stack", "-s", envvar="PULUMI_STACK", help="Stack that is meant; the one selected in Pulumi if none."
    ),
]

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead (docs/reference/cli.md names the schema).")]
