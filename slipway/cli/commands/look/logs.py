"""`slipway logs`: what the containers of a stack write, on all of its hosts, in the order of time."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from slipway.cli.options import INTERRUPTED, AsJson, HostNames, ServiceNames, StackName

if TYPE_CHECKING:
    from collections.abc import Callable

_NO_READER = 141  # what shells call a command whose output nobody reads any more: 128 and SIGPIPE


def logs(
    services: ServiceNames = None,
    *,
    stack: StackName = "",
    host: HostNames = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep showing new lines until Ctrl-C, also of later containers.")
    ] = False,
    tail: Annotated[
        str, typer.Option("--tail", metavar="N", help="Last lines of each container, or all. [100; all with --since]")
    ] = "",
    since: Annotated[
        str, typer.Option("--since", metavar="WHEN", help="Only since then: 10m, 14:05, 2026-11-20, or RFC 3339.")
    ] = "",
    timestamps: Annotated[bool, typer.Option("--timestamps", "-t", help="Show each line's time (UTC).")] = False,
    raw: Annotated[
        bool, typer.Option("--raw", help="Write the lines alone and as they are, into a file or for a program.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Show what the stack's containers write, those of all hosts in the order of time.

    The application's own output is shown, secrets included; what would do more to a terminal than colour it is
    escaped, unless --raw asks for it. Changes nothing, and leaves nothing running.

    Exit code: 0 when every line that was asked for was shown; 1 when a host did not answer or a log could not be read
    (the others are shown), or the stack's settings cannot be read; 2 for wrong usage; 130 after Ctrl-C.
    """
    from slipway.cli.containers import time_range

    began = _parsed(time_range.since, since, "--since") if since else ""
    lines = _parsed(time_range.tail, tail or ("all" if since else "100"), "--tail")
    if raw and (json or sys.stdout.isatty()):
        said = "excludes --json" if json else "is for files and programs: this terminal would obey the lines"
        raise typer.BadParameter(said, param_hint="'--raw'")
    import asyncio

    from slipway.cli.containers.list import list_containers, require_services, selected_hosts
    from slipway.cli.containers.logs import LogQuery, LogView, RawLogs, TextLogs, in_colour, show_logs
    from slipway.releases.engine import read_stack

    found, named = read_stack(stack), services or []
    settings = found.settings
    view = LogView() if json else RawLogs(timestamps=timestamps) if raw else None
    view = view or TextLogs(found.project, timestamps=timestamps, colour=in_colour())
    try:
        hosts = selected_hosts(settings, host or [])
        if named:
            answers = list_containers(found, hosts)
            for problem in (problem for each in answers for problem in each.problems):
                view.problem(problem)
            if listings := [each.listing for each in answers if each.listing is not None]:
                require_services(named, listings, settings.stack)
            hosts = [each.host for each in answers if each.listing is not None]
        query = LogQuery(services=named, tail=lines, since=began, follow=follow)
        asyncio.run(show_logs(found, hosts, query, view))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:
        # Python flushes into nothing what nobody reads any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(_NO_READER) from None
    if view.complete and not view.any:
        typer.echo("there are no containers", err=True)
    raise typer.Exit(0 if view.complete else 1)


def _parsed(parse: Callable[[str], str], text: str, option: str) -> str:
    try:
        return parse(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} {error}", param_hint=f"'{option}'") from None
