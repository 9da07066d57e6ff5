"""A connection that breaks shows in each stream once, as an error of the SSH library's own."""

import asyncio
import gc
from types import SimpleNamespace
from typing import Any

import pytest

from slipway.contract.problems import SlipwayError
from slipway.hosts.agent_channel import Channel


class _ConnectionLostError(Exception):
    """As asyncssh's: of no family that Python knows."""


class _Broken:
    async def read(self, *_: int) -> bytes:
        raise _ConnectionLostError

    readline = read

    def write(self, _: bytes) -> None:
        raise _ConnectionLostError

    write_eof = write


@pytest.fixture
def channel() -> Channel:
    async def wait() -> None:
        raise _ConnectionLostError

    process: Any = SimpleNamespace(stdin=_Broken(), stdout=_Broken(), stderr=_Broken(), wait=wait)
    return Channel("web-1", process)


def test_a_broken_connection_can_be_let_go_so_that_another_one_is_made(channel: Channel) -> None:
    assert asyncio.run(channel.release()) is None


def test_a_broken_connection_is_a_problem_of_its_host(channel: Channel) -> None:
    assert asyncio.run(channel.complaint()).what.startswith("host web-1: the agent did not answer")


def test_events_end_with_the_connection(channel: Channel) -> None:
    async def events() -> list[dict[str, Any]]:
        return [event async for event in channel.events()]

    assert asyncio.run(events()) == []


def test_an_agent_that_nobody_waits_for_any_more_leaves_no_complaint() -> None:
    said: list[dict[str, Any]] = []

    async def abandon() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        silent = SimpleNamespace(read=lambda *_: asyncio.sleep(60), write_eof=lambda: None)
        process: Any = SimpleNamespace(stdin=silent, stdout=silent, stderr=silent, wait=silent.read)
        task = asyncio.create_task(Channel("web-1", process).release())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        del task
        gc.collect()
        await asyncio.sleep(0)

    asyncio.run(abandon())
    assert said == []


RUBBISH = [
    b"[]", b"null", b"5", b'"text"', b'{"failed":5}', b'{"failed":[1]}', b"[" * 100_000, b'{"probe"', b"\xff\xfe", b"",
]  # fmt: skip


class _Says:
    """What a host prints: one line after the agent's first."""

    def __init__(self, line: bytes) -> None:
        self._lines = [b"agent: here\n", line + b"\n"]

    async def readline(self) -> bytes:
        return self._lines.pop(0) if self._lines else b""

    async def read(self, *_: int) -> bytes:
        return b""


def _saying(line: bytes) -> Channel:
    process: Any = SimpleNamespace(stdin=_Broken(), stdout=_Says(line), stderr=_Says(b""))
    return Channel("web-1", process)


def test_an_answer_counts_of_an_agent_that_has_ended_before_it_was_told_all() -> None:
    async def answered() -> dict[str, Any]:
        channel = _saying(b'{"containers": []}')
        await channel.ship()
        return await channel.answer(b"", 1)

    assert asyncio.run(answered()) == {"containers": []}


@pytest.mark.parametrize("line", RUBBISH)
def test_a_host_that_says_rubbish_is_a_problem_of_that_host(line: bytes) -> None:
    with pytest.raises(SlipwayError, match="host web-1: the agent did not answer"):
        asyncio.run(_saying(line).start())


@pytest.mark.parametrize("line", [each for each in RUBBISH if each])
def test_rubbish_is_no_event(line: bytes) -> None:
    async def events() -> list[dict[str, Any]]:
        channel = _saying(line)
        await channel.ship()
        return [event async for event in channel.events()]

    assert asyncio.run(events()) == []
