"""`slipway host key`: a key that may look at the hosts of a stack and do nothing else."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from slipway.cli.options import StackName


class _What(StrEnum):
    KEY = "key"


def host(
    what: Annotated[_What, typer.Argument(metavar="key", help="The hosts' authorized keys.")],  # noqa: ARG001  # the only one
    public_key: Annotated[Path, typer.Argument(metavar="FILE", help="Public key, as ssh-keygen writes it.")],
    *,
    preview: Annotated[bool, typer.Option("--preview", help="Make it a key for previews of this stack.")] = False,
    add: Annotated[bool, typer.Option("--add", help="Add the line on every host that is reached over SSH.")] = False,
    stack: StackName = "",
) -> None:
    """Print the line of authorized_keys that lets a key look at a stack, for previews, and do nothing else.

    Set the private half as sshKey where previews run. It needs the agent of the last deployment, so deploy once before,
    and again after an upgrade of Slipway.

    Exit code: 0; 1 when a host cannot be reached or the file holds no public key; 2 for wrong usage.
    """
    if not preview:
        raise typer.BadParameter("only keys for previews are made: add --preview", param_hint="'key'")
    from slipway.cli.init.preview_key import add_line, authorized_line
    from slipway.cli.printing import print_problems
    from slipway.releases.engine import read_stack

    found = read_stack(stack)
    line = authorized_line(public_key, found.project, found.settings)
    if not add:
        typer.echo(line)
        return
    failed = False
    for name, outcome in add_line(line, found.settings).items():
        if isinstance(outcome, bool):
            typer.echo(f"{name}: {'added' if outcome else 'was there'}")
        else:
            print_problems(outcome.problems, found.settings.stack)
            failed = True
    raise typer.Exit(1 if failed else 0)
