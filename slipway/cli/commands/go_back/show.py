"""`slipway show`: all about one update: its release, what changed, what every host reported."""

from __future__ import annotations

from typing import Annotated

import typer

from slipway.cli.options import AsJson, StackName  # noqa: TC001  # typer reads the annotations when the command is made

__all__ = ["show"]


def show(
    name: Annotated[str, typer.Argument(metavar="N", help="Update number, release, commit, `live` or `validated`.")],
    *,
    stack: StackName = "",
    json: AsJson = False,
    release: Annotated[
        bool, typer.Option("--release", help="Print the release alone, as the setting `release` takes it.")
    ] = False,
) -> None:
    """Show one update: release, who, when, why, the resources that changed, and every host's report.

    Changes nothing.

    Exit code: 0; 1 when there is no such update or it cannot be read; 2 for wrong usage.
    """
    from json import dumps  # noqa: PLC0415  # the option has the name

    from slipway.releases.engine import engine_of  # noqa: PLC0415  # as above
    from slipway.releases.history.stack_history import read_history  # noqa: PLC0415  # help must not wait for it
    from slipway.releases.past_releases import named_entry, past_release  # noqa: PLC0415  # as above

    found = read_history(engine_of(stack))
    entry = named_entry(found, name)
    if release:
        typer.echo(dumps(past_release(found, entry).document, ensure_ascii=False))
        return
    from slipway.releases.history.document import detail_document  # noqa: PLC0415  # as above

    document = detail_document(found, entry)
    if json:
        typer.echo(dumps(document, indent=2, ensure_ascii=False))
        return
    from slipway.cli.history.detail_view import rendered  # noqa: PLC0415  # JSON needs no rich
    from slipway.cli.printing import print_out  # noqa: PLC0415  # as above

    print_out(rendered(document))
