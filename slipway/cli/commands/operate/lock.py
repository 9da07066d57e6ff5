"""`slipway lock`: who works on a stack, since when, and whether the lock is stale."""

from typing import Annotated

import typer

from slipway.cli.options import AsJson, StackName
from slipway.contract.commands import of_stack


def lock(
    *,
    stack: StackName = "",
    release: Annotated[bool, typer.Option("--release", help="Remove stale locks; no others.")] = False,
    json: AsJson = False,
) -> None:
    """Show who works on the stack, since when, and whether the lock is stale.

    Looking changes nothing. Deployments take over stale locks by themselves, so --release is only needed before a
    plain `pulumi up`, which does not.

    Exit code: 0 when the stack is free; 1 when it is locked, or the backend does not answer; 2 for wrong usage.
    """
    if release and json:
        raise typer.BadParameter("it shows what is; --release changes it", param_hint="'--json'")
    from slipway.cli.printing import print_json
    from slipway.contract.problems import SlipwayError
    from slipway.releases.engine import engine_of
    from slipway.releases.locks.document import lines, lock_document
    from slipway.releases.locks.engine_locks import stack_locks
    from slipway.releases.locks.waiting import locked, take_over

    engine = engine_of(stack)
    locks = stack_locks(engine)
    if locks is None:
        what = f"the state of stack {engine.stack} is at Pulumi Cloud, which keeps the lock itself"
        meaning = "it shows there who works on the stack, and cannot be asked from here; `pulumi cancel` removes it"
        raise SlipwayError(what, meaning, of_stack("pulumi console", engine.stack))
    if release:
        notes, living = take_over(locks, engine.environment)
        for note in notes:
            typer.echo(note)
        if living:
            raise SlipwayError([locked(engine.stack, *each) for each in living])
        if not notes:
            typer.echo(f"stack {locks.stack} of project {locks.project}: free, nothing to release")
        return
    document = lock_document(locks, engine.environment)
    if json:
        print_json(document)
    else:
        typer.echo("\n".join(lines(document)))
    raise typer.Exit(0 if document["state"] == "free" else 1)
