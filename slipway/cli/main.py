"""The entry point: options that every command shares, and the one form in which anything fails.

Owns: `--version`, and turning whatever a command raises into one line on standard error. Does not own: the commands.
A new command is a module under `commands/` and one line below.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from slipway.cli.commands.deploy.await_checks import await_checks
from slipway.cli.commands.deploy.promote import promote
from slipway.cli.commands.deploy.up import up
from slipway.cli.commands.deploy.validate import validate
from slipway.cli.commands.go_back.diff import diff
from slipway.cli.commands.go_back.export import export
from slipway.cli.commands.go_back.history import history
from slipway.cli.commands.go_back.import_ import import_
from slipway.cli.commands.go_back.rollback import rollback
from slipway.cli.commands.go_back.show import show
from slipway.cli.commands.look.logs import logs
from slipway.cli.commands.look.ps import ps
from slipway.cli.commands.look.status import status
from slipway.cli.commands.look.watch import watch
from slipway.cli.commands.operate.exec import exec_
from slipway.cli.commands.operate.lock import lock
from slipway.cli.commands.operate.maintenance import maintenance
from slipway.cli.commands.operate.shell import shell
from slipway.cli.commands.set_up.doctor import doctor
from slipway.cli.commands.set_up.init import init
from slipway.cli.commands.set_up.upgrade import upgrade

__all__ = ["app", "main"]

app = typer.Typer(
    name="slipway",
    help="What runs on the hosts of a stack. `pulumi preview` shows what would change, `pulumi up` makes it so.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help needs no rich, whose import takes as long as all the rest
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(short_help="Set up stack files for an application.")(init)
app.command(short_help="Upgrade this project to another version of Slipway.")(upgrade)
app.command(short_help="Look for whatever keeps a stack from being deployed.")(doctor)
app.command(short_help="Deploy, showing every step as it happens.")(up)
app.command(short_help="Show what runs, and whether it was deployed.")(status)
app.command(short_help="Show the containers of all hosts.")(ps)
app.command(short_help="Show what the containers write.")(logs)
app.command("exec", short_help="Run a command in a container.")(exec_)
app.command(short_help="Open a shell in a container, or on a host.")(shell)
app.command(short_help="Show what happened, and what could come back.")(history)
app.command(short_help="Show one update: release, changes, hosts.")(show)
app.command(short_help="Show what changed between two releases.")(diff)
app.command(short_help="Bring a release of before back.")(rollback)
app.command(short_help="Mark the live release as validated.")(validate)
app.command(short_help="Validate a release when its commit's checks pass.")(await_checks)
app.command(short_help="Take a release to the next environment.")(promote)
app.command(short_help="Show live what the watch after a deployment sees.")(watch)
app.command(short_help="Show who works on a stack, and whether the lock is stale.")(lock)
app.command(short_help="Show a maintenance page in place of everything.")(maintenance)
app.command(short_help="Keep a stack as it is now in one file.")(export)
app.command("import", short_help="Bring a stack back from such a file.")(import_)


def _version(*, wanted: bool) -> None:
    if wanted:
        from slipway.package import version  # noqa: PLC0415  # only this option needs it

        typer.echo(f"slipway {version()}")
        raise typer.Exit


@app.callback()
def _shared(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=lambda value: _version(wanted=value),
            is_eager=True,
            help="Print the version and exit.",
        ),
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; exits with the command's own code, 1 after an error and 2 after wrong usage."""
    try:
        app()
    except Exception as error:  # noqa: BLE001  # the last resort: nobody gets a traceback on the terminal
        from slipway.cli.failure import in_one_line  # noqa: PLC0415  # only a failure needs it

        typer.echo(in_one_line(error), err=True)
        sys.exit(1)
