"""The maintenance page of a stack, switched on all of its hosts."""

from __future__ import annotations

import asyncio
import html
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.contract.commands import of_stack
from slipway.contract.problems import Problem, SlipwayError
from slipway.hosts.agent_channel import channel
from slipway.hosts.connection import reached

if TYPE_CHECKING:
    from slipway.settings.model import HostSettings, Settings

__all__ = ["PAGE_LIMIT", "Outcome", "built_in_page", "page_of", "switch"]

PAGE_LIMIT = 200_000
"""Bytes that the agent takes (slipway/agent/maintenance.py)."""

_ANSWER_SECONDS = 150.0  # the agent waits up to 60 s for a deployment to end, and up to 60 s for the edge
_PAGE = Path(__file__).resolve().parents[1] / "pages" / "maintenance.html"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result on one host; without a route of the stack there is nothing to show a page in place of."""

    host: str
    routed: bool = True
    changed: bool = False
    problems: tuple[Problem, ...] = ()


def built_in_page(application: str) -> str:
    """The page that visitors get when the user has none of their own."""
    return _PAGE.read_text().replace("{{ application }}", html.escape(application))


def page_of(file: Path) -> str:
    """The user's own page; raises SlipwayError when it cannot be read, is empty, or is larger than the agent takes."""
    try:
        content = file.read_bytes()
        text = content.decode()
    except OSError as error:
        what = f"{file} cannot be read ({error.strerror or error})"
        raise SlipwayError(what, "no host was changed", "give --page the path of a file with HTML") from None
    except UnicodeDecodeError:
        what, meaning = f"{file} is not UTF-8", "visitors would get a page of rubbish"
        raise SlipwayError(what, meaning, f"iconv -t UTF-8 {file}") from None
    if not text.strip():
        meaning = "visitors would get a blank page"
        raise SlipwayError(f"{file} is empty", meaning, "write the page, or leave --page out")
    if len(content) > PAGE_LIMIT:
        what = f"{file} has {len(content):,} bytes, {PAGE_LIMIT:,} are allowed"
        fix = "put images and styles of the page somewhere else, and refer to them"
        raise SlipwayError(what, "no host was changed", fix)
    return text


def switch(settings: Settings, project: str, page: str | None) -> list[Outcome]:
    """Show `page` in place of everything that the stack serves; None ends it. SlipwayError without any route."""

    async def switch_all() -> list[Outcome]:
        return await asyncio.gather(*(_switch(host, settings, project, page) for host in settings.hosts))

    outcomes = asyncio.run(switch_all())
    if not any(outcome.routed or outcome.problems for outcome in outcomes):
        what = f"no service of stack {settings.stack} has a route on any host"
        meaning = "there is nothing that a page could be shown in place of: no `x-slipway.route` was deployed"
        fix = of_stack("slipway up", settings.stack)
        raise SlipwayError(what, meaning, fix)
    return outcomes


async def _switch(host: HostSettings, settings: Settings, project: str, page: str | None) -> Outcome:
    """Switch one host. Its edge is read first: an agent that has nothing to switch says no more than that."""
    try:
        async with reached(host, settings.private_key()) as connection:
            async with channel(connection, host.name, project) as looking:
                edge, problems = looking.probe["edge"], looking.probe["problems"]
            if problems:
                found = tuple(Problem.from_json(each).on(host.name) for each in problems)
                return Outcome(host=host.name, problems=found)
            if edge is None or project not in edge["stacks"]:
                return Outcome(host=host.name, routed=False)
            command = ("maintenance", "--owner", settings.owner, "--off" if page is None else "--on")
            async with channel(connection, host.name, project, command=command) as switching:
                answer = await switching.answer((page or "").encode(), _ANSWER_SECONDS)
    except SlipwayError as error:
        return Outcome(host=host.name, problems=error.problems)
    return Outcome(host=host.name, changed=bool(answer["changed"]))
