"""`slipway secrets import` and `adopt`: secrets from a `.env` or the Compose file become those of the stack."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from slipway.cli.options import PlanOnly, StackName


class _What(StrEnum):
    IMPORT = "import"
    ADOPT = "adopt"


def secrets(
    what: Annotated[
        _What, typer.Argument(metavar="import|adopt", help="From a `.env` file, or from the Compose file.")
    ],
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="With import: a file of lines NAME=VALUE.")
    ] = None,
    *,
    secret: Annotated[
        list[str] | None,
        typer.Option("--secret", metavar="NAME", help="With import: store NAME as a secret; repeatable."),
    ] = None,
    plain: Annotated[
        list[str] | None,
        typer.Option("--plain", metavar="NAME", help="With import: store NAME as a variable; repeatable."),
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="With adopt: random values instead of weak ones, for stacks without data yet.")
    ] = False,
    empty: Annotated[
        bool, typer.Option("--empty", help="With import: set what the Compose file asks for beyond FILE to nothing.")
    ] = False,
    plan: PlanOnly = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    stack: StackName = "",
) -> None:
    """Import a .env file into a stack, or adopt the secrets that the Compose file holds in plain text.

    `import FILE` stores secrets encrypted and the rest as variables. It shows by name what is new, what changes and why
    something counts as a secret, but no value. What the file does not name stays. With --empty (which needs no FILE),
    variables of the Compose file that still have no value are set to nothing, as Compose takes them.

    `adopt` makes every secret in the Compose file one of the project's stacks, with its present value, so that existing
    databases keep working. It shows the edit of the Compose file as a patch.

    Both ask before they change anything.

    Exit code: 0 when it is done, there is nothing to do, or after --plan; 1 when a file cannot be read, or nobody can
    be asked, and then nothing is changed; 2 for wrong usage.
    """
    from slipway.releases.engine import engine_of

    if what is _What.ADOPT:
        if file or secret or plain or empty:
            raise typer.BadParameter("adopt takes no file, and no --secret, --plain or --empty")
        from slipway.cli.secrets.adopt import adopt

        adopt(engine_of(stack), yes=yes, plan=plan, new=new)
        return
    if new or (file is None and (not empty or secret or plain)):
        raise typer.BadParameter("import needs a FILE (or --empty alone), and has no --new")
    from slipway.cli.secrets.import_env import ImportRequest, import_env

    import_env(ImportRequest(file, plain or (), secret or (), yes, plan, empty), engine_of(stack))
