"""`slipway lock`: who works on a stack, since when and why, and whether that still lives."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import StackName  # noqa: TC001  # typer reads the annotations when the command is made

__all__ = ["lock"]


def lock(
    *,
    stack: StackName = "",
    release: Annotated[
        bool, typer.Option("--release", help="Take away the locks of operations that are over; no others.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON (cli/contract/lock.schema.json) instead of lines.")
    ] = False,
) -> None:
    """Show who works on the stack, since when and why, and whether that still lives.

    Looking changes nothing. Deployments take over by themselves what is over, so that --release is only needed before
    a plain `pulumi up`, which does not.

    Exit code: 0 when the stack is free; 1 when somebody has it, that is not known, or the backend does not answer; 2
    for wrong usage.
    """
    if release and json:
        raise typer.BadParameter("it shows what is; --release changes it", param_hint="'--json'")
    from cli.locks.document import lock_document  # noqa: PLC0415  # help must not wait for it
    from cli.locks.operation import operation  # noqa: PLC0415  # as above
    from cli.locks.place import place_of_stack  # noqa: PLC0415  # as above
    from cli.locks.refusal import at_the_service  # noqa: PLC0415  # as above
    from cli.locks.view import lines  # noqa: PLC0415  # as above
    from cli.stack import engine_of  # noqa: PLC0415  # as above

    engine = engine_of(stack)
    place = place_of_stack(engine)
    if place is None:
        raise at_the_service(engine.stack)
    if release:
        with operation(engine, what="lock --release", wait=0, tell=typer.echo) as held:
            if not held.taken_over:
                typer.echo(f"stack {place.stack} of project {place.project}: free, nothing to release")
        return
    document = lock_document(place)
    if json:
        from json import dumps  # noqa: PLC0415  # the option has the name

        typer.echo(dumps(document, indent=2, ensure_ascii=False))
    else:
        for line in lines(document):
            typer.echo(line)
    raise typer.Exit(0 if document["state"] == "free" else 1)
