"""What a deployment would do on every host, asked of the agents that a preview looks at hosts with."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slipway.compose.schema_check import checked
from slipway.contract.plan import PLANS_VARIABLE, Change, sentence
from slipway.contract.redaction import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slipway.hosts.agent_channel import Channel
    from slipway.hosts.host_sessions import HostSessions

__all__ = ["NOTHING", "Plans", "basis", "change_of", "idle", "plan_text", "published"]

NOTHING = "nothing to do"
_SECONDS = 60


class Plans:
    """The agents of a preview: they wait, after their look, for the document that they are to plan."""

    def __init__(self, sessions: HostSessions) -> None:
        self._sessions = sessions
        self._waiting: dict[str, Channel] = {}
        self._asked = asyncio.Event()

    async def attend(self, channels: list[Channel]) -> None:
        """Keep the channels open until every host was asked."""
        self._waiting = {channel.host: channel for channel in channels}
        await self._asked.wait()

    async def of(self, host: str, document: str) -> dict[str, Any]:
        """The Plan document (plan.schema.json) of `host` for a deployment document.

        Raises:
            SlipwayError: what the agent complains of, or that it does not answer.
        """
        answer = await asyncio.wrap_future(self._sessions.submit(self._ask(host, document)))
        return published(checked("plan", answer), host)

    async def _ask(self, host: str, document: str) -> dict[str, Any]:
        channel = self._waiting.pop(host)
        try:
            return await channel.answer(document.encode(), _SECONDS)
        finally:
            if not self._waiting:
                self._asked.set()


def published(plan: Mapping[str, Any], host: str) -> dict[str, Any]:
    """The plan of `host`; `slipway preview` gets it in a file."""
    plan = {**plan, "host": host}
    if folder := os.environ.get(PLANS_VARIABLE):
        Path(folder, f"{host}.json").write_text(json.dumps(plan))
    return plan


def interrupted(changes: Iterable[tuple[str, Change]]) -> str:
    """What visitors notice of all that, in words; each change with what its service is called there."""
    noticed = [(name, change) for name, change in changes if change.interrupts]
    away = ", ".join(name for name, change in noticed if not change.gone)
    gone = ", ".join(name for name, change in noticed if change.gone)
    said = [f"interrupted for a while: {away}"] if away else []
    return "; ".join([*said, *([f"gone from then on: {gone}"] if gone else [])]) or "nothing is interrupted"


def change_of(entry: Mapping[str, Any]) -> Change:
    """One entry of a plan's changes."""
    return Change(**{**entry, "because": tuple(entry["because"])})


def plan_text(plan: Mapping[str, Any]) -> str:
    """A host's plan for people: a line per change, then what is left alone."""
    changes = [change_of(each) for each in plan["changes"]]
    width = max((len(change.service) for change in changes), default=0)
    lines = [f"  {change.service:<{width}}  {sentence(change)}" for change in changes]
    if changes:
        lines.append(f"  {interrupted((change.service, change) for change in changes)}")
    if plan["unchanged"]:
        lines.append(f"  unchanged: {', '.join(plan['unchanged'])}")
    head = f"plan for host {plan['host']}:" if changes else f"host {plan['host']}: {idle(plan)}"
    return "\n".join(map(printable, (head, *([f"  {said}"] if (said := basis(plan)) else []), *lines)))


def idle(plan: Mapping[str, Any]) -> str:
    """What is said of a host on which no service changes: also then a deployment may run, such as one cut off before.

    One that would only fetch an image does not: no input of the engine's changes by that.
    """
    runs = "record" in plan["steps"] and "fetch" not in plan["steps"]
    return "no container changes; what runs is checked and recorded" if runs else NOTHING


def basis(plan: Mapping[str, Any]) -> str:
    """What a plan was made from, where that is not the host."""
    return {
        "record": "from the stack's state: the host was not looked at, so drift would not show",
        "nothing": "the host was not looked at, and the stack's state has no deployment on it",
    }.get(plan["seen"], "")
