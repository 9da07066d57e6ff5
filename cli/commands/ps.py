"""`slipway ps`: the containers of a stack on all of its hosts."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import HostNames, StackName  # noqa: TC001  # typer reads the annotations when the command is made

__all__ = ["ps"]


def ps(
    services: Annotated[
        list[str] | None, typer.Argument(metavar="SERVICE", help="Services to show; all if none.")
    ] = None,
    *,
    stack: StackName = "",
    host: HostNames = None,
    every: Annotated[bool, typer.Option("--all", "-a", help="Stopped containers and one-off runs too.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print JSON (cli/contract/ps.schema.json) instead of a table.")
    ] = False,
) -> None:
    """Show the stack's containers: state, health, image, generation, published ports.

    Changes nothing. Whether what runs is what was deployed is told by `slipway status`.

    Exit code: 0 when every host answered; 1 when one did not, a service or host is not known, or the stack's settings
    cannot be read; 2 for wrong usage.
    """
    from cli.daily.listing_view import document, left_out, show  # noqa: PLC0415  # help must not wait for it
    from cli.daily.looking import look, require_services, selected  # noqa: PLC0415  # as above
    from cli.stack import read_stack  # noqa: PLC0415  # as above

    found = read_stack(stack)
    wanted = services or []
    seen = look(selected(found.settings, host or []), found.settings.private_key(), found.project)
    silent = [problem for each in seen for problem in each.problems]
    answers = [each.listing for each in seen if each.listing is not None]
    if answers:
        require_services(wanted, answers, found.settings.stack)
    told = document(found, seen, wanted, every=every)
    if json:
        from json import dumps  # noqa: PLC0415  # the option has the name

        typer.echo(dumps(told, indent=2, ensure_ascii=False))
    elif any(each["containers"] for each in told["hosts"]):
        show(told)
    elif answers:
        typer.echo("nothing runs" if not every else "there are no containers", err=True)
    hidden = "" if every or json else left_out(seen, wanted)
    if hidden:
        typer.echo(f"not shown: {hidden} (slipway ps --all)", err=True)
    for problem in silent:
        typer.echo(f"slipway: error: {problem}", err=True)
    raise typer.Exit(1 if silent else 0)
