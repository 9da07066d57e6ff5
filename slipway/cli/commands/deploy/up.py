"""`slipway up`: `pulumi up` for one stack, with every host's steps as they happen."""

from __future__ import annotations

from typing import Annotated

import typer

from slipway.cli.options import StackName  # noqa: TC001  # typer reads the annotation when the command is made

__all__ = ["up"]


def up(
    options: Annotated[
        list[str] | None, typer.Argument(metavar="-- PULUMI_OPTION", help="Options handed to pulumi up.")
    ] = None,
    *,
    stack: StackName = "",
) -> None:
    """Deploy: run `pulumi up` and show every step of every host as it happens, with its duration.

    Asks nothing and shows no preview first: that is `pulumi preview`. Ctrl-C asks the engine to stop, once, and waits
    for it: a host that has begun puts back what served before. Waits for another deployment of the stack (setting
    lockWait), and takes over the lock of one that is gone.

    Exit code: the engine's own (0 when every host runs the release); 1 when it could not be started; 2 for wrong usage.
    """
    given = options or []
    if given and not given[0].startswith("-"):
        raise typer.BadParameter(f"{given[0]!r} is no option of pulumi up (a stack is named with --stack)")
    from slipway.cli.deploy.update import deploy  # noqa: PLC0415  # help must not wait for it
    from slipway.releases.engine import engine_of  # noqa: PLC0415  # as above
    from slipway.releases.locks.waiting import when_free  # noqa: PLC0415  # as above

    engine = engine_of(stack, deploys=True)
    raise typer.Exit(when_free(engine, lambda taken_over: deploy(engine, given, message=taken_over)))
