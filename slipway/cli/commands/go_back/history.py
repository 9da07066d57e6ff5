"""`slipway history`: what happened to a stack, by whom, and what can be rolled back to."""

from typing import Annotated

import typer

from slipway.cli.options import AsJson, StackName


def history(
    *,
    stack: StackName = "",
    json: AsJson = False,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="How many of the newest to show.")] = 20,
    everything: Annotated[bool, typer.Option("--all", help="Show all of them.")] = False,
    no_hosts: Annotated[
        bool, typer.Option("--no-hosts", help="Do not ask the hosts: only updates are known then.")
    ] = False,
) -> None:
    """Show every update and what hosts did by themselves: release, kind, who, when, how long, result, way back.

    Changes nothing. A host that does not answer is named, and its own record is missing then.

    Exit code: 0; 1 when the backend or the stack's settings cannot be read; 2 for wrong usage.
    """
    from slipway.releases.engine import engine_of

    engine = engine_of(stack) if no_hosts else engine_of(stack).begin()
    from slipway.cli.printing import print_json, print_out  # while the engine decrypts
    from slipway.releases.history.document import history_document
    from slipway.releases.history.stack_history import read_history

    found = read_history(engine, hosts=not no_hosts)
    shown = list(found.entries) if everything else list(found.entries)[-count:]
    document = history_document(found, shown)
    if json:
        print_json(document)
        return
    from slipway.cli.history.history_view import history_rendered

    print_out(history_rendered(document, more=len(found.entries) - len(shown)))
