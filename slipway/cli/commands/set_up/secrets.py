"""`slipway secrets import`: a `.env` file becomes secrets and variables of a stack."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from slipway.cli.options import PlanOnly, StackName


class _What(StrEnum):
    IMPORT = "import"


def secrets(
    what: Annotated[_What, typer.Argument(metavar="import", help="What to do.")],  # noqa: ARG001  # the only one
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Lines NAME=VALUE, as of a `.env`.")],
    *,
    secret: Annotated[
        list[str] | None, typer.Option("--secret", metavar="NAME", help="Make it a secret; repeatable.")
    ] = None,
    plain: Annotated[
        list[str] | None, typer.Option("--plain", metavar="NAME", help="Make it a variable; repeatable.")
    ] = None,
    plan: PlanOnly = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Change it without asking.")] = False,
    stack: StackName = "",
) -> None:
    """Import a .env file into a stack: what is secret encrypted, the rest as variables.

    Shows by name what is new, what changes and why something is secret, but no value, and asks before it changes the
    stack file. What the file does not name stays.

    Exit code: 0 when the stack has it all, or after --plan; 1 when a line cannot be read, or nobody can be asked, and
    then nothing is changed; 2 for wrong usage.
    """
    from slipway.cli.secrets.import_env import ImportRequest, import_env
    from slipway.releases.engine import engine_of

    import_env(ImportRequest(file, plain or (), secret or (), yes, plan), engine_of(stack))
