"""What `slipway ps` prints: a plain table, or the same as JSON.

Owns: the rows, and which containers are left out unless all are asked for. Does not own: looking (see `looking`). The
JSON is cli/contract/ps.schema.json.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.wording import ago, counted, plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cli.daily.looking import Seen
    from cli.stack import Stack

__all__ = ["CONTRACT", "document", "left_out", "show", "table"]

CONTRACT = 1
"""Version of the JSON form; a change that a reader cannot ignore raises it."""

_RUNS = ("running", "restarting", "paused")
_COLUMNS = ("host", "service", "container", "state", "health", "image", "generation", "ports", "started")
_FOLDED = ("container", "ports")  # where a row gives way on a narrow terminal; the rest is never cut
_SHORT = 12  # hex digits of a digest that people compare
_UNBOUNDED = 10_000  # columns, where no terminal says how wide it is
_EVERYWHERE = ("0.0.0.0:", "[::]:", ":::")  # how the engine writes that a port is open to all
_STYLES = {
    "running": "green", "healthy": "green", "live": "green",
    "starting": "yellow", "restarting": "yellow", "paused": "yellow", "other": "yellow",
    "unhealthy": "red", "dead": "red",
    "kept": "dim", "one-off": "dim",
}  # fmt: skip


def document(stack: Stack, seen: Sequence[Seen], services: Sequence[str], *, every: bool) -> dict[str, Any]:
    """What was seen, as data: of `services` alone when any are named; stopped ones and one-off runs only if `every`."""
    return {
        "contract": CONTRACT,
        "stack": stack.settings.stack,
        "application": stack.application,
        "project": stack.project,
        "hosts": [
            {
                "name": each.host.name,
                "address": each.host.address,
                "errors": [problem.to_json() for problem in each.problems],
                "live": each.listing["live"] if each.listing else None,
                "containers": [one for one in _wanted(each, services) if every or _shown(one)],
            }
            for each in seen
        ],
    }


def left_out(seen: Sequence[Seen], services: Sequence[str]) -> str:
    """In words, what is not shown unless all is asked for; empty when that is nothing."""
    found = [one for each in seen for one in _wanted(each, services) if not _shown(one)]
    one_offs = sum(one["one_off"] for one in found)
    said = [f"{len(found) - one_offs} stopped"] if len(found) > one_offs else []
    said += [counted(one_offs, "one-off run")] if one_offs else []
    return " and ".join(said)


def show(found: Mapping[str, Any], now: datetime | None = None) -> None:
    """Print the table on standard output; nothing but the table."""
    moment = now or datetime.now(UTC)
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(table(found, moment))
        return
    console = Console(highlight=False, width=_UNBOUNDED)
    with console.capture() as capture:
        console.print(table(found, moment))
    for line in capture.get().splitlines():
        typer.echo(line.rstrip())


def table(found: Mapping[str, Any], now: datetime) -> Table:
    """A row per container."""
    shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for column in _COLUMNS:
        shown.add_column(column, no_wrap=column not in _FOLDED, overflow="fold")
    for host in found["hosts"]:
        for one in host["containers"]:
            shown.add_row(
                host["name"],
                plain(one["service"]),
                plain(one["name"].removeprefix(f"{found['project']}-")),
                _state(one),
                _word(one["health"] or "-"),
                _image(one["image"]),
                _word(one["generation"]),
                _ports(one["ports"]) or "-",
                ago(one["started"], now),
            )
    return shown


def _wanted(seen: Seen, services: Sequence[str]) -> list[Mapping[str, Any]]:
    containers = seen.listing["containers"] if seen.listing else []
    return [one for one in containers if not services or one["service"] in services]


def _shown(one: Mapping[str, Any]) -> bool:
    return one["state"] in _RUNS and not one["one_off"]


def _state(one: Mapping[str, Any]) -> Text:
    if one["state"] == "exited":
        return Text(f"exited {one['exit_code']}", "red" if one["exit_code"] else "dim")
    return _word(one["state"])


def _image(reference: str) -> str:
    """The first digits of the digest; a name as it is where an image has none."""
    digest = reference.partition("@sha256:")[2]
    return digest[:_SHORT] if digest else plain(re.sub(r"^.*/", "", reference))


def _ports(published: Sequence[str]) -> str:
    """Each published port once, as short as it is clear: 8080->80, 127.0.0.1:5432->5432, 53->53/udp."""
    found = []
    for port in published:
        text = port.removesuffix("/tcp")
        for everywhere in _EVERYWHERE:
            text = text.removeprefix(everywhere)
        found.append(text)
    return ", ".join(dict.fromkeys(found))


def _word(text: str) -> Text:
    return Text(plain(text), _STYLES.get(text, ""))
