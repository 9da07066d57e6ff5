"""`slipway diff`: what changed between two releases of a stack."""

from __future__ import annotations

from typing import Annotated

import typer

from slipway.cli.options import AsJson, StackName  # noqa: TC001  # typer reads the annotations when the command is made

__all__ = ["diff"]


def diff(
    before: Annotated[str, typer.Argument(metavar="N", help="Update number, release, commit, `live` or `validated`.")],
    after: Annotated[
        str, typer.Argument(metavar="[M]", help="As N; the live release if none.", show_default=False)
    ] = "live",
    *,
    stack: StackName = "",
    json: AsJson = False,
) -> None:
    """Show how two releases differ: images, Compose file, x-slipway, configuration files, names of secrets.

    Values of secrets are in no release, so they are not here. Changes nothing.

    Exit code: 0; 1 when there is no such release or it cannot be read; 2 for wrong usage.
    """
    from slipway.releases.engine import engine_of  # noqa: PLC0415  # as above
    from slipway.releases.history.stack_history import read_history  # noqa: PLC0415  # help must not wait for it
    from slipway.releases.past_releases import named_entry, past_release  # noqa: PLC0415  # as above
    from slipway.releases.release_diff import difference  # noqa: PLC0415  # as above

    found = read_history(engine_of(stack), hosts=bool({before, after} & {"live", "validated"}))
    old, new = (past_release(found, named_entry(found, name)).document for name in (before, after))
    document = difference(old, new)
    if json:
        from json import dumps  # noqa: PLC0415  # the option has the name

        typer.echo(dumps(document, indent=2, ensure_ascii=False))
        return
    from slipway.cli.history.diff_view import rendered  # noqa: PLC0415  # as above
    from slipway.cli.printing import print_out  # noqa: PLC0415  # JSON needs no rich

    print_out(rendered(document))
