"""All hosts forward or all hosts back: the verdict over a deployment on several hosts.

The agents' side is slipway/agent/fleet.py. Every host's agent publishes its phase; a barrier opens when each host
either waits at it or has nothing to deploy; one failure is an abort for all. An agent that hears nothing rolls back by
itself, so a driver that dies leaves the old release everywhere; a beat every few seconds tells an agent whose network
was cut that it hears nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from slipway.contract.barriers import BARRIERS, BEAT_SECONDS, DONE, ENDED, FAILED
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slipway.hosts.agent_channel import Channel

__all__ = ["Fleet", "require_parallel"]


def require_parallel(hosts: int, parallel: int | None) -> None:
    """Refuse an engine that would deploy to fewer hosts at a time than wait for each other.

    Raises:
        SlipwayError: when `parallel` (the engine's `--parallel`, None or 0 where it did not say) is below `hosts`.
    """
    if hosts > 1 and parallel and parallel < hosts:
        raise SlipwayError(
            f"{hosts} hosts must change together, and the engine runs {parallel} at a time",
            "the first ones would wait for the others until the deadline; PULUMI_PARALLEL can say it, too",
            f"pulumi up --parallel {max(16, 2 * hosts)}",
        )


class Fleet:
    """The verdict over one deployment. Everything but `__init__` runs in the sessions' thread."""

    def __init__(self, hosts: Iterable[str]) -> None:
        self._hosts = tuple(hosts)
        self._channels: dict[str, Channel] = {}
        self._deployments: dict[str, str] = {}
        self._phases: dict[str, str] = {}
        self._sent: dict[str, str] = {}
        self._settled: set[str] = set()
        self._aborted: str | None = None
        self._final = False  # the last go was given: a host may have recorded its success, so nobody is turned back
        self._pending: set[asyncio.Task[None]] = set()

    async def attend(self, channels: list[Channel]) -> None:
        """Listen to every host until all channels end."""
        self._channels = {channel.host: channel for channel in channels}
        beats = [asyncio.create_task(self._beat(channel)) for channel in channels]
        try:
            await asyncio.gather(*(self._listen(channel) for channel in channels))
        finally:
            for beat in beats:
                beat.cancel()

    async def _beat(self, channel: Channel) -> None:
        while True:
            await channel.send({"alive": True})
            await asyncio.sleep(BEAT_SECONDS)

    def settled(self, host: str) -> None:
        """The engine is done with `host`: its deployment succeeded, or nothing of it had changed."""
        self._settled.add(host)
        self._decide()

    async def _listen(self, channel: Channel) -> None:
        async for event in channel.events():
            self._heard(channel.host, event)
        if channel.host not in self._settled and self._phases.get(channel.host) not in ENDED:
            self._heard(channel.host, {"phase": FAILED, "reason": "the connection to it was lost"})

    def _heard(self, host: str, event: dict[str, Any]) -> None:
        if "phase" not in event:
            return
        self._deployments[host] = str(event.get("deployment", self._deployments.get(host, "")))
        self._phases[host] = str(event["phase"])
        if event["phase"] == FAILED and self._aborted is None:
            self._aborted = f"host {host}: {event.get('reason') or 'failed'}"
        self._decide()

    def _decide(self) -> None:
        if self._aborted is not None and not self._final:
            for host, phase in self._phases.items():
                if phase not in ENDED:
                    self._send(host, "abort", self._aborted)
            return
        for position, barrier in enumerate(BARRIERS):
            reached = {*BARRIERS[position:], DONE}
            if all(host in self._settled or self._phases.get(host) in reached for host in self._hosts):
                self._final |= barrier == BARRIERS[-1] and any(phase == barrier for phase in self._phases.values())
                for host, phase in self._phases.items():
                    if phase == barrier:
                        self._send(host, "go", barrier)

    def _send(self, host: str, verb: str, what: str) -> None:
        if self._sent.get(host) == f"{verb} {what}":
            return
        self._sent[host] = f"{verb} {what}"
        message = {"deployment": self._deployments[host], verb: what}
        task = asyncio.get_running_loop().create_task(self._channels[host].send(message))
        self._pending.add(task)
        task.add_done_callback(self._pending.discard)
