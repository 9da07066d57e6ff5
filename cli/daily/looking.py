"""The containers of a stack on all of its hosts, side by side.

Owns: which hosts are meant, asking each one's agent for its containers, and what is said of a service that nobody
knows. Does not own: the answer (agent/listing.py), choosing one container (see `choosing`), or any printed form.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.connection import reached
from components.contract import checked
from components.probe import channel
from components.spelling import nearest
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence

    from components.connection import Connection
    from components.settings import HostSettings, Settings

__all__ = ["Seen", "listing_of", "look", "looking", "require_services", "selected"]

_ANSWER_SECONDS = 60.0  # as for a probe


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known of one host."""

    host: HostSettings
    connection: Connection | None = None
    """While it is open."""
    listing: Mapping[str, Any] | None = None
    """Its containers (slipway/contract/schemas/listing.schema.json); None when it did not answer."""
    problems: tuple[Problem, ...] = ()
    """Why it did not."""


def selected(settings: Settings, names: Sequence[str]) -> list[HostSettings]:
    """The hosts of these names, in the stack's order; all of them without names.

    Raises:
        SlipwayError: one problem for each name that no host of the stack has.
    """
    known = [host.name for host in settings.hosts]
    problems = []
    for name in names:
        if name not in known:
            close = nearest(name, known)
            problems.append(
                Problem(
                    f"stack {settings.stack} has no host '{name}'",
                    f"did you mean '{close}'?" if close else "nothing was asked of any host",
                    f"--host NAME, with one of: {', '.join(known)}",
                )
            )
    if problems:
        raise SlipwayError(problems)
    return [host for host in settings.hosts if not names or host.name in names]


async def listing_of(connection: Connection, host: HostSettings, project: str) -> Mapping[str, Any]:
    """The containers of a Compose project on a host (slipway/contract/schemas/listing.schema.json).

    Raises:
        SlipwayError: when the host, its agent or its engine does not answer.
    """
    async with channel(connection, host.name, project, command=("containers",)) as opened:
        return checked("listing", await opened.answer(b"", _ANSWER_SECONDS))


def look(hosts: Sequence[HostSettings], private_key: str, project: str) -> list[Seen]:
    """The containers on these hosts; one that does not answer does not hide the others."""

    async def look_at_all() -> list[Seen]:
        return [seen async for seen in looking(hosts, private_key, project)]

    return asyncio.run(look_at_all())


async def looking(hosts: Sequence[HostSettings], private_key: str, project: str) -> AsyncGenerator[Seen, None]:
    """The same in the hosts' order, each as soon as it is known, with its connection, which is open until the end.

    All hosts are asked at once; those that the caller does not wait for are let go. Close it (`contextlib.aclosing`)
    when leaving early.
    """
    async with contextlib.AsyncExitStack() as exits:
        tasks = [asyncio.create_task(_look_at(exits, host, private_key, project)) for host in hosts]
        try:
            for task in tasks:
                yield await task
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _look_at(exits: contextlib.AsyncExitStack, host: HostSettings, private_key: str, project: str) -> Seen:
    try:
        connection = await exits.enter_async_context(reached(host, private_key))
        listing = await listing_of(connection, host, project)
    except SlipwayError as error:
        return Seen(host=host, problems=error.problems)
    return Seen(host=host, connection=connection, listing=listing)


def require_services(wanted: Iterable[str], listings: Iterable[Mapping[str, Any]], stack: str) -> None:
    """See that each of `wanted` is a service of the release that is live, or at least has a container.

    Raises:
        SlipwayError: one problem for each that is not.
    """
    known: set[str] = set()
    for listing in listings:
        known |= {*listing["services"], *(each["service"] for each in listing["containers"])}
    problems = []
    for name in wanted:
        if name not in known:
            close = nearest(name, known)
            problems.append(
                Problem(
                    f"no service '{name}' is deployed on stack {stack}",
                    f"did you mean '{close}'?"
                    if close
                    else f"there are: {', '.join(sorted(known))}"
                    if known
                    else "nothing is deployed there",
                    f"slipway ps --all --stack {stack}",
                )
            )
    if problems:
        raise SlipwayError(problems)
