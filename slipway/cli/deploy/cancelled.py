"""After an update that a person stopped: its deployments on other machines are asked to go back.

They outlive the engine's SSH session, as they would a cut network, and nothing else tells them that nobody wants them.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

from slipway.contract.problems import SlipwayError
from slipway.hosts.host_sessions import ask_hosts
from slipway.releases.engine import read_stack
from slipway.settings.deploy_origin import actor

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.releases.engine import Stack

__all__ = ["GoingBack"]

_ANSWER_SECONDS = 320.0  # the agent waits 300 s


class GoingBack:
    """Asks the hosts as soon as the engine is asked to stop, and once more when it has: what it had just begun."""

    def __init__(self, stack: str) -> None:
        self._name = stack
        self._pool = ThreadPoolExecutor(1)
        self.begun = False
        """Whether they were asked."""
        self._said = "the hosts could not be asked to go back, and finish what they have begun"

    def begin(self) -> None:
        """Ask, unless that was done."""
        if not self.begun:
            self.begun = True
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
        try:
            command = ("cancel", "--actor", actor())
            answers = ask_hosts(self._stack.settings, self._stack.project, command, _ANSWER_SECONDS)
            self._said = "; ".join(_said(*each) for each in answers.items())
        except SlipwayError as error:
            self._said = f"{error.what}, so the hosts were not asked to go back, and finish what they have begun"


def _said(host: str, probe: Mapping[str, Any] | SlipwayError) -> str:
    if isinstance(probe, SlipwayError):
        return f"host {host} could not be asked ({probe.what}), and finishes what it has begun"
    if probe["lock"]:
        return f"host {host} is still at work ({probe['lock']})"
    move = probe.get("move") or {}
    if move.get("state") == "undone":
        return f"on host {host}, {move['project']} runs again, and nothing of this stack"
    serves = f"release {probe['live']['release']}" if probe["live"] else "no release of this stack"
    return f"on host {host}, {serves} is live"
