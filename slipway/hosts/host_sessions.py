"""All hosts of a stack at once, from before anything is planned until the engine is done with them.

They are connected to early and side by side, in a thread of its own; the problems of all hosts are reported together.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, TypeVar

from slipway.contract.host_paths import project_on_hosts
from slipway.contract.problems import FREE_DISK, Problem, SlipwayError
from slipway.hosts.agent_channel import END_SECONDS, Channel, channel
from slipway.hosts.connection import load_asyncssh, reached
from slipway.settings.certificates import self_signed
from slipway.settings.model import OFFLINE

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from slipway.hosts.connection import Connection
    from slipway.settings.model import HostSettings, Settings

    _Probes = dict[str, Mapping[str, Any]]
    _Attended = Callable[[list[Channel]], Coroutine[Any, Any, None]]

__all__ = ["HostSessions", "ask_hosts", "full_disk", "other_owner", "survey"]

_T = TypeVar("_T")
_NOBODY = "TRAEFIK DEFAULT CERT"  # the name of the one that Traefik makes itself where it is given none
_CERTIFICATE_SECONDS = 150.0  # the agent waits for a stack that is replacing the edge


class HostSessions:
    """All hosts of a stack, looked at side by side in a thread of their own (the engine's program has its own loop)."""

    def __init__(self, settings: Settings, *, reach: bool = True) -> None:
        """Begin to connect to the hosts, unless `reach` is false (the settings are not good enough to)."""
        self._settings = settings
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="slipway-hosts", daemon=True)
        self._exits = contextlib.AsyncExitStack()
        self._reached: dict[str, asyncio.Task[Connection]] = {}
        self._listening: asyncio.Task[None] | None = None
        self._thread.start()
        if reach and settings.preview != OFFLINE:
            if not all(host.local for host in settings.hosts):
                load_asyncssh()  # beside what else is imported it takes twice as long, and hosts answer later
            asyncio.run_coroutine_threadsafe(self._reach(), self._loop)

    async def _reach(self) -> None:
        """Start connecting to every host; whoever needs the connection awaits its task."""
        for host in self._settings.hosts:
            if host.made and host.name not in self._reached:
                context = reached(host, self._settings.private_key())
                task = asyncio.ensure_future(self._exits.enter_async_context(context))
                task.add_done_callback(lambda done: done.cancelled() or done.exception())  # reported by `open`, if ever
                self._reached[host.name] = task

    def open(
        self, stack: str, *, install: bool, certificate: bool, look: str = "probe", attended: _Attended | None = None
    ) -> _Probes:
        """Probe every host: the probe document of what runs there of `stack`, by host.

        Args:
            stack: Compose project on the hosts.
            install: leave the agent on the hosts.
            certificate: give every host whose edge has none a certificate for visitors who ask for no name it knows.
            look: which of the agent's commands looks (see `channel`).
            attended: handed the open channels, which stay open until it returns.

        Raises:
            SlipwayError: with the problems of all hosts: unreachable, or lacking what Slipway needs.
        """
        ready: Future[_Probes] = Future()
        run = self._run(ready, stack, attended, look=look, install=install, certificate=certificate)
        asyncio.run_coroutine_threadsafe(run, self._loop)
        try:
            return ready.result()
        except BaseException:
            self.close()
            raise

    async def _run(
        self,
        ready: Future[_Probes],
        stack: str,
        attended: _Attended | None,
        *,
        look: str,
        install: bool,
        certificate: bool,
    ) -> None:
        async with self._exits as exits:
            try:
                channels = await self._open_all(exits, stack, install=install, look=look)
                if certificate:
                    await self._give_certificates(channels, stack)
            except Exception as error:  # noqa: BLE001  # raised again in the thread that waits for it
                ready.set_exception(error)
                return
            ready.set_result({channel.host: channel.probe for channel in channels})
            if attended:
                self._listening = asyncio.create_task(attended(channels))
                with contextlib.suppress(asyncio.CancelledError):
                    await self._listening

    async def _open_all(
        self, exits: contextlib.AsyncExitStack, stack: str, *, install: bool, look: str
    ) -> list[Channel]:
        async def opened(host: str, connection: asyncio.Task[Connection]) -> Channel:
            kind = self._settings.kind
            agent = channel(await connection, host, stack, install=install, look=look, kind=kind)
            return await exits.enter_async_context(agent)

        await self._reach()
        found = await asyncio.gather(*(opened(*each) for each in self._reached.items()), return_exceptions=True)
        channels = [result for result in found if isinstance(result, Channel)]
        lacks = [Problem.from_json(lack).on(each.host) for each in channels for lack in each.probe["problems"]]
        _raise_problems(found, lacks)
        return channels

    async def _give_certificates(self, channels: Sequence[Channel], stack: str) -> None:
        """Give every host without a certificate one.

        It goes over a connection of its own, and not into the deployment document: that is an input of the engine's
        command, which would see a change each time.
        """

        async def give(host: str) -> None:
            connection = await self._reached[host]
            pem, key = self_signed(_NOBODY)
            content = json.dumps({"certificate": pem, "key": key}).encode()
            async with channel(connection, host, stack, command=("certificate",)) as agent:
                await agent.answer(content, _CERTIFICATE_SECONDS)

        lacking = [each.host for each in channels if not each.probe["certificate"]]
        _raise_problems(await asyncio.gather(*map(give, lacking), return_exceptions=True))

    def call(self, function: Callable[..., object], *arguments: object) -> None:
        """Call `function` in the sessions' own thread."""
        self._loop.call_soon_threadsafe(function, *arguments)

    def submit(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Do `work` in the sessions' own thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def close(self) -> None:
        """Let go of every host; twice is fine."""
        if self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        """Wait until the channels are closed, which is quick once nobody listens to them any more."""
        if self._listening:
            self._listening.cancel()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        if others:
            await asyncio.wait(others, timeout=2 * END_SECONDS)


def _raise_problems(results: Sequence[object], others: Sequence[Problem] = ()) -> None:
    """Raise what stands among the results of a `gather`: the problems of all, with `others`, as one error."""
    for result in results:
        if isinstance(result, BaseException) and not isinstance(result, SlipwayError):
            raise result
    problems = [problem for result in results if isinstance(result, SlipwayError) for problem in result.problems]
    if problems or others:
        raise SlipwayError([*problems, *others])


def full_disk(probe: Mapping[str, Any], settings: Settings) -> Problem | None:
    """What is wrong where a host has less free space than asked for; the agent asks again where it starts something."""
    free, minimum = probe["machine"]["disk_free_mb"], settings.disk_minimum_mb
    if free >= minimum:
        return None
    return Problem(
        f"{free:,} MB are free on Docker's disk, diskMinimumMb asks for {minimum:,}",
        "a full disk stops databases and loses log lines, so nothing is built or started; on the host:",
        FREE_DISK,
    )


def other_owner(probe: Mapping[str, Any], project: str, stack: str) -> str:
    """Whose `project` is on a host, where that is not the application whose `stack` is called so; else empty."""
    found = str(probe.get("application") or "")
    return found if found and project_on_hosts(found, stack) != project else ""


def survey(settings: Settings, stack: str) -> dict[str, Mapping[str, Any] | SlipwayError]:
    """Probe every host of a stack once, leaving nothing on any of them; one that fails does not hide the others.

    Returns: by host, its probe document, or the error of reaching it. What a host lacks stands in its document.
    """

    async def look_at(host: HostSettings) -> Mapping[str, Any] | SlipwayError:
        try:
            async with (
                reached(host, settings.private_key()) as connection,
                channel(connection, host.name, stack) as opened,
            ):
                return opened.probe
        except SlipwayError as error:
            return error

    async def look_at_all() -> list[Mapping[str, Any] | SlipwayError]:
        return await asyncio.gather(*map(look_at, settings.hosts))

    names = [host.name for host in settings.hosts]
    return dict(zip(names, asyncio.run(look_at_all()), strict=True))


def ask_hosts(
    settings: Settings, stack: str, command: Sequence[str], seconds: float, content: bytes = b""
) -> dict[str, dict[str, Any] | SlipwayError]:
    """What the agent of every host answers to `command` within `seconds`, asked side by side; or why it does not.

    One that runs what is another stack's, by that name, refuses.
    """
    own = (command[0], "--owner", settings.owner, *command[1:])

    async def ask(host: HostSettings) -> dict[str, Any] | SlipwayError:
        try:
            async with (
                reached(host, settings.private_key()) as connection,
                channel(connection, host.name, stack, command=own) as agent,
            ):
                return await agent.answer(content, seconds)
        except SlipwayError as error:
            return error

    async def ask_all() -> list[dict[str, Any] | SlipwayError]:
        return await asyncio.gather(*map(ask, settings.hosts))

    return dict(zip((host.name for host in settings.hosts), asyncio.run(ask_all()), strict=True))
