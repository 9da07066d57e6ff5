"""The entry point: the options of the program itself, and one form for every failure."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from slipway.cli.command_groups import CommandGroups

__all__ = ["app", "main"]

app = typer.Typer(
    name="slipway",
    cls=CommandGroups,
    help="Deploy Compose applications to your own servers. `pulumi preview` shows what would change and `pulumi up` "
    "deploys it; these commands show more, and lead back.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help needs no rich, whose import takes as long as all the rest
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:  # noqa: FBT001  # typer passes it by position
    if wanted:
        from slipway.package import version

        typer.echo(f"slipway {version()}")
        raise typer.Exit


@app.callback()
def _shared(
    *,
    version: Annotated[  # its callback does it
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; exits with the command's own code, 1 after an error and 2 after wrong usage."""
    try:
        app()
    except Exception as error:  # noqa: BLE001  # the last resort: nobody gets a traceback on the terminal
        from slipway.cli.printing import in_one_line

        typer.echo(in_one_line(error), err=True)
        sys.exit(1)
