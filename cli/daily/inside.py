"""A command in a container of a service, or a shell on a host.

Owns: finding the host and container, and saying which one it is. Does not own: which container is best (see
`choosing`), or the streams (see `attaching`).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import typer

from cli.daily.attaching import attached
from cli.daily.choosing import INTERRUPTING, chosen, docker_exec, not_running, rank
from cli.daily.looking import Seen, looking, require_services, selected
from components.connection import reached
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    import signal
    from collections.abc import AsyncGenerator, Mapping, Sequence

    from cli.stack import Stack
    from slipway.contract.problems import Problem

__all__ = ["SHELL", "Wanted", "run_inside", "shell_on_host"]

SHELL = ("sh", "-c", "if command -v bash >/dev/null 2>&1; then exec bash; else exec sh; fi")
"""The best shell that an image has."""

_PASS_SECONDS = 5.0
_TERMINATED = 143  # what shells call a command that SIGTERM ended


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is to be run, and where."""

    service: str
    command: Sequence[str]
    host: str = ""
    """The first one with a healthy container when empty."""
    number: int | None = None
    user: str = ""
    """The image's when empty."""
    terminal: bool
    """Give it this process's terminal."""


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where it is run."""

    seen: Seen
    container: Mapping[str, Any]


def run_inside(stack: Stack, wanted: Wanted) -> int:
    """Run a command in a container; its exit code.

    Raises:
        SlipwayError: when there is no such service or host, no container of it runs, or the connection breaks.
    """
    try:
        return asyncio.run(_run_inside(stack, wanted))
    except asyncio.CancelledError:
        return _TERMINATED


def shell_on_host(stack: Stack, host: str) -> int:
    """Open a login shell on a host, the stack's first one if none is named; the shell's exit code.

    Raises:
        SlipwayError: when there is no such host, it cannot be reached or gives no terminal, or the connection breaks.
    """
    hosts = selected(stack.settings, [host] if host else [])
    machine = hosts[0]
    where = "this machine" if machine.local else f"{machine.user}@{machine.address}"
    others = f", the first of {len(hosts)} hosts (--host NAME chooses another)" if len(hosts) > 1 else ""
    typer.echo(f"{machine.name}: {where}{others}", err=True)

    async def open_shell() -> int:
        async with reached(machine, stack.settings.private_key()) as connection:
            return await attached(connection, 'exec "${SHELL:-/bin/sh}" -l', machine.name, terminal=True)

    try:
        return asyncio.run(open_shell())
    except asyncio.CancelledError:
        return _TERMINATED


async def _run_inside(stack: Stack, wanted: Wanted) -> int:
    settings = stack.settings
    hosts = selected(settings, [wanted.host] if wanted.host else [])
    async with contextlib.aclosing(looking(hosts, settings.private_key(), stack.project)) as seen:
        place = await _place(seen, wanted, settings.stack)
        listing, connection = place.seen.listing, place.seen.connection
        assert listing is not None  # noqa: S101  # of a place
        assert connection is not None  # noqa: S101  # as above
        _tell(place, wanted, stack, several=len(hosts) > 1)
        identifier, mark = place.container["id"], f"SLIPWAY_EXEC={secrets.token_hex(8)}"

        async def passed(name: signal.Signals) -> None:
            words = ("sh", "-c", INTERRUPTING, "sh", mark, name.name.removeprefix("SIG"))
            line = docker_exec(listing, identifier, words, terminal=False, user=wanted.user)
            process: Any = await connection.start(line)
            said = b""
            with contextlib.suppress(TimeoutError):
                said, _ = await asyncio.wait_for(process.communicate(), _PASS_SECONDS)
            if process.returncode != 0:
                typer.echo(f"the command may go on in {place.container['name']} {said.decode()}".rstrip(), err=True)

        command = docker_exec(
            listing,
            identifier,
            wanted.command,
            terminal=wanted.terminal,
            user=wanted.user,
            mark="" if wanted.terminal else mark,
        )
        return await attached(connection, command, place.seen.host.name, terminal=wanted.terminal, passed=passed)


async def _place(seen: AsyncGenerator[Seen, None], wanted: Wanted, stack: str) -> _Place:
    """The best container of the first host that has a good one, else of all hosts."""
    found: list[_Place] = []
    listings: dict[str, Mapping[str, Any]] = {}
    problems: list[Problem] = []
    async for each in seen:
        problems += each.problems
        if each.listing is None:
            continue
        listings[each.host.name] = each.listing
        container = chosen(each.listing, wanted.service, wanted.number)
        if container is not None:
            found.append(_Place(seen=each, container=container))
            if rank(container) == (0, 0):
                break
    if not listings:
        raise SlipwayError(problems)
    for problem in problems:
        typer.echo(f"slipway: error: {problem}", err=True)
    if not found:
        require_services([wanted.service], listings.values(), stack)
        raise not_running(listings, wanted.service, wanted.number, stack)
    return min(found, key=lambda place: rank(place.container))


def _tell(place: _Place, wanted: Wanted, stack: Stack, *, several: bool) -> None:
    """Say which container it is, unless there is but one, or it was named."""
    listing, container = place.seen.listing or {}, place.container
    alike = [
        each
        for each in listing["containers"]
        if (each["service"], each["state"], each["one_off"]) == (wanted.service, "running", False)
    ]
    name = container["name"].removeprefix(f"{stack.project}-")
    not_live = (
        "" if container["generation"] == "live" else f", of a generation that is not live ({container['release']})"
    )
    unwell = f", {container['health']}" if container["health"] in ("starting", "unhealthy") else ""
    choice = [] if wanted.host or not several else ["--host"]
    choice += [] if wanted.number is not None or len(alike) == 1 else ["--index"]
    if choice or not_live or unwell:
        other = f" ({' and '.join(choice)} choose{'s' if len(choice) == 1 else ''} another)" if choice else ""
        typer.echo(f"in {place.seen.host.name} {name}{not_live}{unwell}{other}", err=True)
