"""`slipway secrets import` and `adopt`: what is secret, out of files and into the stack."""

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
    what: Annotated[_What, typer.Argument(metavar="import|adopt", help="From a file, or from the Compose file.")],
    file: Annotated[
        Path | None, typer.Argument(metavar="[FILE]", help="To import: lines NAME=VALUE, as of a `.env`.")
    ] = None,
    *,
    secret: Annotated[
        list[str] | None, typer.Option("--secret", metavar="NAME", help="Import it as a secret; repeatable.")
    ] = None,
    plain: Annotated[
        list[str] | None, typer.Option("--plain", metavar="NAME", help="Import it as a variable; repeatable.")
    ] = None,
    new: Annotated[
        bool, typer.Option("--new", help="Adopt with random values where today's are weak: no database has them yet.")
    ] = False,
    plan: PlanOnly = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Change it without asking.")] = False,
    stack: StackName = "",
) -> None:
    """Import a .env file into a stack, or adopt what stands in the clear in the Compose file.

    `import FILE`: what is secret encrypted, the rest as variables. Shows by name what is new, what changes and why
    something is secret, but no value. What the file does not name stays.

    `adopt`: every secret that the Compose file holds itself becomes one of the project's stacks, with today's value, so
    that existing databases go on. Shows the edit of the Compose file as a patch.

    Both ask before they change anything.

    Exit code: 0 when it is done, there is nothing to do, or after --plan; 1 when a file cannot be read, or nobody can
    be asked, and then nothing is changed; 2 for wrong usage.
    """
    from slipway.releases.engine import engine_of

    if what is _What.ADOPT:
        if file or secret or plain:
            raise typer.BadParameter("adopt takes no file, and no --secret or --plain")
        from slipway.cli.secrets.adopt import adopt

        adopt(engine_of(stack), yes=yes, plan=plan, new=new)
        return
    if file is None or new:
        raise typer.BadParameter("import needs a FILE, and has no --new")
    from slipway.cli.secrets.import_env import ImportRequest, import_env

    import_env(ImportRequest(file, plain or (), secret or (), yes, plan), engine_of(stack))
