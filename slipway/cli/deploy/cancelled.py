"""After an update that a person stopped: its deployments on other machines are asked to go back.

They outlive the engine's SSH session, as they would a cut network, and nothing else tells them that nobody wants them.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

from slipway.contract.problems import SlipwayError
from slipway.hosts.agent_channel import channel
from slipway.hosts.connection import reached
from slipway.releases.engine import read_stack
from slipway.settings.deploy_origin import actor

if TYPE_CHECKING:
    from slipway.releases.engine import Stack
    from slipway.settings.model import HostSettings

__all__ = ["GoingBack"]

_ANSWER_SECONDS = 320.0  # the agent waits 300 s


class GoingBack:
    """Asks the hosts as soon as the engine is asked to stop, and once more when it has: what it had just begun."""

    def __init__(self, stack: str) -> None:
        self._name = stack
        self._pool = ThreadPoolExecutor(1)
        self._begun = False
        self._said = "the hosts could not be asked to go back, and finish what they have begun"

    def begin(self) -> None:
        """Ask, unless that was done."""
        if not self._begun:
            self._begun = True
            self._pool.submit(self._ask_all)

    def outcome(self) -> str:
        """What serves on each host then, in a sentence."""
        self._pool.submit(self._ask_all)
        self._pool.shutdown()
        return self._said

    @cached_property
    def _stack(self) -> Stack:
        return read_stack(self._name)

    def _ask_all(self) -> None:
        async def ask_all(stack: Stack) -> list[str]:
            key = stack.settings.private_key()
            return await asyncio.gather(*(_ask(host, key, stack.project) for host in stack.settings.hosts))

        try:
            self._said = "; ".join(asyncio.run(ask_all(self._stack)))
        except SlipwayError as error:
            self._said = f"{error.what}, so the hosts were not asked to go back, and finish what they have begun"


async def _ask(host: HostSettings, private_key: str, project: str) -> str:
    try:
        async with (
            reached(host, private_key) as connection,
            channel(connection, host.name, project, command=("cancel", "--actor", actor())) as agent,
        ):
            probe = await agent.answer(b"", _ANSWER_SECONDS)
    except SlipwayError as error:
        return f"host {host.name} could not be asked ({error.what}), and finishes what it has begun"
    if probe["lock"]:
        return f"host {host.name} is still at work ({probe['lock']})"
    serves = f"release {probe['live']['release']}" if probe["live"] else "no release of this stack"
    return f"on host {host.name}, {serves} is live"
