"""`slipway diff`: what changed between two releases of a stack."""

from typing import Annotated

import typer

from slipway.cli.options import AsJson, StackName


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
    from slipway.cli.printing import print_json, print_out
    from slipway.releases.engine import engine_of
    from slipway.releases.history.stack_history import read_history
    from slipway.releases.past_releases import named_entry, past_release
    from slipway.releases.release_diff import difference

    found = read_history(engine_of(stack), hosts=bool({before, after} & {"live", "validated"}))
    old, new = (past_release(found, named_entry(found, name)).document for name in (before, after))
    document = difference(old, new)
    if json:
        print_json(document)
        return
    from slipway.cli.history.history_view import diff_rendered

    print_out(diff_rendered(document))
