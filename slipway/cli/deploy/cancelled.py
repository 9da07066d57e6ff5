"""After an update that a person stopped: its deployments on other machines are asked to go back.

They outlive the engine's SSH session, as they would a cut network, and nothing else tells them that nobody wants them.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from slipway.contract.problems import SlipwayError
from slipway.hosts.agent_channel import channel
from slipway.hosts.connection import reached

if TYPE_CHECKING:
    from slipway.releases.engine import Stack
    from slipway.settings.model import HostSettings

__all__ = ["have_gone_back"]

_ANSWER_SECONDS = 320.0  # the agent waits 300 s


def have_gone_back(stack: Stack) -> str:
    """What serves on each host then, in a sentence."""

    async def ask_all() -> list[str]:
        settings = stack.settings
        return await asyncio.gather(*(_ask(host, settings.private_key(), stack.project) for host in settings.hosts))

    return "; ".join(asyncio.run(ask_all()))


async def _ask(host: HostSettings, private_key: str, project: str) -> str:
    try:
        async with (
            reached(host, private_key) as connection,
            channel(connection, host.name, project, command=("cancel",)) as agent,
        ):
            probe = await agent.answer(b"", _ANSWER_SECONDS)
    except SlipwayError as error:
        return f"host {host.name} could not be asked ({error.what}), and finishes what it has begun"
    if probe["lock"]:
        return f"host {host.name} is still at work ({probe['lock']})"
    serves = f"release {probe['live']['release']}" if probe["live"] else "no release of this stack"
    return f"on host {host.name}, {serves} is live"
