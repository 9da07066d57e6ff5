"""`slipway history`: what happened to a stack, by whom, and what could come back."""

from __future__ import annotations

from typing import Annotated

import typer

from slipway.cli.options import AsJson, StackName  # noqa: TC001  # typer reads the annotations when the command is made

__all__ = ["history"]


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
    from slipway.releases.engine import engine_of  # noqa: PLC0415  # help must not wait for it

    engine = engine_of(stack) if no_hosts else engine_of(stack).begin()
    from slipway.releases.history.document import history_document  # noqa: PLC0415  # while the engine decrypts
    from slipway.releases.history.stack_history import read_history  # noqa: PLC0415  # as above

    found = read_history(engine, hosts=not no_hosts)
    shown = list(found.entries) if everything else list(found.entries)[-count:]
    document = history_document(found, shown)
    if json:
        from json import dumps  # noqa: PLC0415  # the option has the name

        typer.echo(dumps(document, indent=2, ensure_ascii=False))
        return
    from slipway.cli.history.history_view import rendered  # noqa: PLC0415  # JSON needs no rich
    from slipway.cli.printing import print_out  # noqa: PLC0415  # as above

    print_out(rendered(document, more=len(found.entries) - len(shown)))
