"""`slipway show`: all about one update: its release, what changed, what every host reported."""

from typing import Annotated

import typer

from slipway.cli.options import AsJson, StackName


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
    from slipway.cli.printing import json_text, print_json, print_out
    from slipway.releases.engine import engine_of
    from slipway.releases.history.stack_history import read_history
    from slipway.releases.past_releases import named_entry, past_release

    found = read_history(engine_of(stack))
    entry = named_entry(found, name)
    if release:
        typer.echo(json_text(past_release(found, entry).document))
        return
    from slipway.releases.history.document import detail_document

    document = detail_document(found, entry)
    if json:
        print_json(document)
        return
    from slipway.cli.history.history_view import update_rendered

    print_out(update_rendered(document))
