"""`slipway up`: `pulumi up` for one stack, with every host's steps as they happen."""

from typing import Annotated

import typer

from slipway.cli.options import StackName


def up(
    options: Annotated[
        list[str] | None, typer.Argument(metavar="-- PULUMI_OPTION", help="Options handed to pulumi up.")
    ] = None,
    *,
    stack: StackName = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", hidden=True)] = False,  # noqa: ARG001  # as `pulumi up` takes it
) -> None:
    """Deploy: run `pulumi up` and show every step of every host as it happens, with its duration.

    Prints the plan and goes ahead without asking; `slipway preview` shows the plan and stops there. Ctrl-C asks the
    engine to stop, once, and waits for it: a host that has begun, and is not done by then, restores what served
    before. Waits for another deployment of the stack (setting lockWait), and takes over the lock of one that is gone.

    Exit code: the engine's own (0 when every host runs the release); 1 when it could not be started; 2 for wrong usage.
    """
    given = options or []
    if given and not given[0].startswith("-"):
        raise typer.BadParameter(f"{given[0]!r} is no option of pulumi up (a stack is named with --stack)")
    from slipway.cli.deploy.update import deploy
    from slipway.releases.engine import engine_of
    from slipway.releases.locks.waiting import when_free

    engine = engine_of(stack, deploys=True)
    raise typer.Exit(when_free(engine, lambda taken_over: deploy(engine, given, message=taken_over)))
