"""The containers of a stack on all of its hosts, asked side by side, and what `slipway ps` shows of them."""

from __future__ import annotations

import asyncio
import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.compose.schema_check import checked
from slipway.contract.commands import of_stack
from slipway.contract.problems import Problem, SlipwayError
from slipway.contract.redaction import printable
from slipway.hosts.agent_channel import channel
from slipway.hosts.connection import Connection, reached
from slipway.releases.format import ago, counted
from slipway.settings.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
    from datetime import datetime

    from slipway.cli.fitting_table import FittingTable
    from slipway.releases.engine import Stack
    from slipway.settings.model import HostSettings, Settings

__all__ = [
    "HostListing", "host_listings", "left_out", "list_containers", "ps_document", "ps_table",
    "require_services", "selected_hosts",
]  # fmt: skip

_CONTRACT = 1  # version of schemas/ps.schema.json; a change that a reader cannot ignore raises it
_ANSWER_SECONDS = 60.0  # as for a probe
_RUNS = ("running", "restarting", "paused")
_COLUMNS = ("host", "service", "container", "state", "health", "image", "generation", "ports", "started")
_EVERYWHERE = re.compile(r"^(0\.0\.0\.0|\[::\]|::):")  # how the engine writes that a port is open to all


@dataclass(frozen=True, kw_only=True)
class HostListing:
    """The containers of one host, while the connection is open; or why it did not answer."""

    host: HostSettings
    connection: Connection | None = None
    listing: Mapping[str, Any] | None = None  # of slipway/contract/schemas/listing.schema.json
    problems: tuple[Problem, ...] = ()


def selected_hosts(settings: Settings, names: Sequence[str]) -> list[HostSettings]:
    """The hosts of these names, in the stack's order, or all of them; raises SlipwayError for unknown names."""
    known = [host.name for host in settings.hosts]
    what, fix = f"stack {settings.stack} has no host '%s'", f"--host NAME, with one of: {', '.join(known)}"
    _refuse_unknown(names, known, what, "nothing was asked of any host", fix)
    return [host for host in settings.hosts if not names or host.name in names]


def require_services(names: Iterable[str], listings: Collection[Mapping[str, Any]], stack: str) -> None:
    """Raise SlipwayError for each of these that is no service of the live release and has no container either."""
    services = (name for each in listings for name in each["services"])
    known = sorted({*services, *(one["service"] for each in listings for one in each["containers"])})
    there = f"there are: {', '.join(known)}" if known else "nothing is deployed there"
    what = f"no service '%s' is deployed on stack {stack}"
    _refuse_unknown(names, known, what, there, of_stack("slipway ps --all", stack))


def _refuse_unknown(names: Iterable[str], known: Sequence[str], what: str, otherwise: str, fix: str) -> None:
    problems = [
        Problem(what % name, f"did you mean '{close}'?" if (close := nearest(name, known)) else otherwise, fix)
        for name in names
        if name not in known
    ]
    if problems:
        raise SlipwayError(problems)


def list_containers(stack: Stack, hosts: Sequence[HostSettings]) -> list[HostListing]:
    """The containers on these hosts of the stack; one that does not answer does not hide the others."""

    async def list_all() -> list[HostListing]:
        return [each async for each in host_listings(stack, hosts)]

    return asyncio.run(list_all())


async def host_listings(stack: Stack, hosts: Sequence[HostSettings]) -> AsyncGenerator[HostListing, None]:
    """The same in the hosts' order, each as soon as it is known; its connection stays open until the end.

    All hosts are asked at once. Close it (`contextlib.aclosing`) to abandon those that nobody waits for.
    """
    async with contextlib.AsyncExitStack() as exits:
        tasks = [asyncio.create_task(_ask(exits, stack, host)) for host in hosts]
        try:
            for task in tasks:
                yield await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _ask(exits: contextlib.AsyncExitStack, stack: Stack, host: HostSettings) -> HostListing:
    try:
        connection = await exits.enter_async_context(reached(host, stack.settings.private_key()))
        async with channel(connection, host.name, stack.project, command=("containers",)) as opened:
            listing = checked("listing", await opened.answer(b"", _ANSWER_SECONDS))
    except SlipwayError as error:
        return HostListing(host=host, problems=error.of_stack(stack.settings.stack).problems)
    return HostListing(host=host, connection=connection, listing=listing)


def ps_document(
    stack: Stack, listings: Sequence[HostListing], services: Sequence[str], *, every: bool
) -> dict[str, Any]:
    """What `slipway ps` shows: all services if none are named; stopped containers and one-off runs only if `every`."""
    return {
        "contract": _CONTRACT,
        "stack": stack.settings.stack,
        "application": stack.application,
        "project": stack.project,
        "hosts": [
            {
                "name": each.host.name,
                "address": each.host.address,
                "errors": [problem.to_json() for problem in each.problems],
                "live": each.listing["live"] if each.listing else None,
                "containers": [one for one in _of_services(each, services) if every or _runs(one)],
            }
            for each in listings
        ],
    }


def left_out(listings: Sequence[HostListing], services: Sequence[str]) -> str:
    """In words, what is not shown unless all is asked for; empty when that is nothing."""
    hidden = [one for each in listings for one in _of_services(each, services) if not _runs(one)]
    one_offs = sum(one["one_off"] for one in hidden)
    stopped = [f"{len(hidden) - one_offs} stopped"] if len(hidden) > one_offs else []
    return " and ".join([*stopped, *([counted(one_offs, "one-off run")] if one_offs else [])])


def ps_table(document: Mapping[str, Any], now: datetime) -> FittingTable:
    """A row per container."""
    from rich.text import Text  # exec and logs need no rich

    from slipway.cli.fitting_table import FittingTable
    from slipway.cli.style import image, state

    made = FittingTable(*_COLUMNS)
    for host in document["hosts"]:
        for one in host["containers"]:
            ended = Text(f"exited {one['exit_code']}", "red" if one["exit_code"] else "dim")
            made.add_row(
                host["name"],
                printable(one["service"]),
                printable(one["name"].removeprefix(f"{document['project']}-")),
                ended if one["state"] == "exited" else state(one["state"]),
                state(one["health"] or "-"),
                image(one["image"]),
                state(one["generation"]),
                _ports(one["ports"]) or "-",
                ago(one["started"], now),
            )
    return made


def _of_services(listing: HostListing, services: Sequence[str]) -> list[Mapping[str, Any]]:
    containers = listing.listing["containers"] if listing.listing else []
    return [one for one in containers if not services or one["service"] in services]


def _runs(container: Mapping[str, Any]) -> bool:
    return container["state"] in _RUNS and not container["one_off"]


def _ports(published: Sequence[str]) -> str:
    """Each published port once, as short as it is clear: 8080->80, 127.0.0.1:5432->5432, 53->53/udp."""
    return ", ".join(dict.fromkeys(_EVERYWHERE.sub("", port.removesuffix("/tcp")) for port in published))
