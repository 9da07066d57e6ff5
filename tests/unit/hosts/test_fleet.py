"""All hosts forward or all back: who is told what, and when."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Coroutine
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.agent import fleet as agents_fleet
from slipway.contract.problems import SlipwayError
from slipway.hosts.fleet import BARRIERS, Fleet, require_parallel


class FakeChannel:
    """A host's end of a channel: what it publishes is put, what it is told is kept."""

    def __init__(self, host: str) -> None:
        self.host = host
        self.told: list[dict[str, Any]] = []
        self.beats = 0
        self._events: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        while (event := await self._events.get()) is not None:
            yield event

    async def send(self, message: dict[str, Any]) -> None:
        if message == {"alive": True}:
            self.beats += 1
        else:
            self.told.append(message)

    def publish(self, phase: str, reason: str = "") -> None:
        self._events.put_nowait({"deployment": f"d-{self.host}", "phase": phase, "reason": reason})

    def close(self) -> None:
        self._events.put_nowait(None)

    @property
    def verdicts(self) -> list[str]:
        assert all(message["deployment"] == f"d-{self.host}" for message in self.told)
        return [f"{verb} {what}" for each in self.told for verb, what in each.items() if verb != "deployment"]


class Course:
    """A fleet and its hosts' channels in one event loop."""

    def __init__(self, hosts: str) -> None:
        self.channels = {host: FakeChannel(host) for host in hosts}
        self.fleet = Fleet(hosts)

    async def __aenter__(self) -> Self:
        self._attending = asyncio.create_task(self.fleet.attend(list(self.channels.values())))  # type: ignore[arg-type]
        return self

    async def __aexit__(self, *_: object) -> None:
        for channel in self.channels.values():
            channel.close()
        await self._attending

    async def publish(self, hosts: str, phase: str, reason: str = "") -> None:
        for host in hosts:
            self.channels[host].publish(phase, reason)
        await self.settle()

    async def close(self, host: str) -> None:
        self.channels[host].close()
        await self.settle()

    async def settle(self) -> None:
        for _ in range(12):
            await asyncio.sleep(0)

    def verdicts(self, host: str) -> list[str]:
        return self.channels[host].verdicts


def run(course: Coroutine[Any, Any, None]) -> None:
    asyncio.run(course)


def test_the_barriers_are_those_that_the_agent_waits_at() -> None:
    source = open(agents_fleet.__file__).read()  # noqa: PTH123, SIM115  # its text
    assert "proven" in source
    assert BARRIERS[-1] == "proven"


def test_every_host_hears_at_once_that_the_driver_lives() -> None:
    async def course() -> None:
        async with Course("ab") as each:
            await each.settle()
            assert [each.channels[host].beats for host in "ab"] == [1, 1]

    run(course())


def test_a_barrier_opens_when_every_host_waits_at_it() -> None:
    async def course() -> None:
        async with Course("ab") as each:
            for barrier in BARRIERS:
                await each.publish("a", barrier)
                assert f"go {barrier}" not in each.verdicts("a")
                await each.publish("b", barrier)
                assert each.verdicts("a")[-1] == each.verdicts("b")[-1] == f"go {barrier}"
            await each.publish("ab", "done")
            assert each.verdicts("a") == each.verdicts("b") == [f"go {barrier}" for barrier in BARRIERS]

    run(course())


def test_a_host_with_nothing_to_deploy_holds_nobody_up() -> None:
    async def course() -> None:
        async with Course("abc") as each:
            each.fleet.settled("c")
            await each.publish("ab", "prepared")
            assert each.verdicts("a") == each.verdicts("b") == ["go prepared"]
            assert each.verdicts("c") == []

    run(course())


def test_a_host_that_settles_late_opens_the_barrier_that_waited_for_it() -> None:
    async def course() -> None:
        async with Course("ab") as each:
            await each.publish("a", "prepared")
            assert each.verdicts("a") == []
            each.fleet.settled("b")
            await each.settle()
            assert each.verdicts("a") == ["go prepared"]

    run(course())


@pytest.mark.parametrize("position", range(len(BARRIERS)))
def test_one_failure_turns_every_other_host_back(position: int) -> None:
    async def course() -> None:
        async with Course("abc") as each:
            for barrier in BARRIERS[:position]:
                await each.publish("abc", barrier)
            await each.publish("a", BARRIERS[position])
            await each.publish("b", "failed", "web is not healthy")
            assert each.verdicts("a")[-1] == "abort host b: web is not healthy"
            assert not any(verdict.startswith("abort") for verdict in each.verdicts("b"))
            await each.publish("c", BARRIERS[position])  # whoever comes later hears it as well
            assert each.verdicts("c")[-1] == "abort host b: web is not healthy"

    run(course())


def test_the_first_reason_is_the_one_that_is_told() -> None:
    async def course() -> None:
        async with Course("abc") as each:
            await each.publish("c", "prepared")
            await each.publish("a", "failed", "first")
            await each.publish("b", "failed", "another host failed: first")
            assert each.verdicts("c") == ["abort host a: first"]

    run(course())


def test_a_failure_without_a_reason_still_turns_back() -> None:
    async def course() -> None:
        async with Course("ab") as each:
            await each.publish("a", "prepared")
            await each.publish("b", "failed")
            assert each.verdicts("a") == ["abort host b: failed"]

    run(course())


def test_a_lost_host_turns_the_others_back() -> None:
    async def course() -> None:
        async with Course("ab") as each:
            await each.publish("ab", "prepared")
            await each.close("b")
            assert each.verdicts("a") == ["go prepared", "abort host b: the connection to it was lost"]

    run(course())


def test_a_host_that_has_ended_may_leave() -> None:
    async def course() -> None:
        async with Course("ab") as each:
            for barrier in BARRIERS:
                await each.publish("ab", barrier)
            await each.publish("b", "done")
            await each.close("b")
            assert each.verdicts("a") == [f"go {barrier}" for barrier in BARRIERS]

    run(course())


@pytest.mark.parametrize("how", ["lost", "failed"])
def test_after_the_last_go_nobody_is_turned_back(how: str) -> None:
    """One host may have recorded its success already; turning another back would leave the fleet half and half."""

    async def course() -> None:
        async with Course("ab") as each:
            for barrier in BARRIERS:
                await each.publish("ab", barrier)
            if how == "lost":
                await each.close("b")
            else:
                await each.publish("b", "failed", "the disk is full")
            assert each.verdicts("a") == [f"go {barrier}" for barrier in BARRIERS]

    run(course())


def test_a_host_that_is_lost_before_its_first_phase_turns_the_others_back() -> None:
    async def course() -> None:
        async with Course("ab") as each:
            await each.publish("a", "prepared")
            await each.close("b")
            assert each.verdicts("a") == ["abort host b: the connection to it was lost"]

    run(course())


def test_a_settled_host_may_be_lost() -> None:
    async def course() -> None:
        async with Course("ab") as each:
            each.fleet.settled("b")
            await each.close("b")
            await each.publish("a", "prepared")
            assert each.verdicts("a") == ["go prepared"]

    run(course())


def test_lines_that_are_no_phases_are_passed_over() -> None:
    async def course() -> None:
        async with Course("ab") as each:
            each.channels["a"]._events.put_nowait({"progress": "x"})
            await each.publish("ab", "prepared")
            assert each.verdicts("a") == ["go prepared"]

    run(course())


def test_nobody_is_told_twice() -> None:
    async def course() -> None:
        async with Course("ab") as each:
            await each.publish("ab", "prepared")
            await each.publish("ab", "prepared")
            each.fleet.settled("a")
            await each.settle()
            assert each.verdicts("a") == ["go prepared"]

    run(course())


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.sampled_from(["next", "next", "next", "fail", "settle"])), max_size=24
    )
)
def test_in_any_course_of_events_nobody_passes_a_barrier_that_another_never_reaches(
    moves: list[tuple[str, str]],
) -> None:
    """Hosts obey: one goes on only after its go, and ends when it is turned back."""

    async def course() -> None:
        async with Course("abc") as each:
            reached = dict.fromkeys("abc", 0)
            ended: dict[str, str] = {}
            for host, move in moves:
                if host in ended:
                    continue
                if any(verdict.startswith("abort") for verdict in each.verdicts(host)):
                    ended[host] = "failed"
                    await each.publish(host, "failed", "told to")
                elif move == "fail" and reached[host] < len(BARRIERS):
                    ended[host] = "failed"
                    await each.publish(host, "failed", "by itself")
                elif move == "settle" and not reached[host]:
                    ended[host] = "settled"
                    each.fleet.settled(host)
                    await each.settle()
                elif move == "next" and (
                    not reached[host] or f"go {BARRIERS[reached[host] - 1]}" in each.verdicts(host)
                ):
                    if reached[host] == len(BARRIERS):
                        ended[host] = "done"
                        await each.publish(host, "done")
                    else:
                        await each.publish(host, BARRIERS[reached[host]])
                        reached[host] += 1
                for one, other in itertools.permutations("abc", 2):
                    passed = sum(verdict.startswith("go ") for verdict in each.verdicts(one))
                    assert ended.get(other) == "settled" or passed <= reached[other]

    run(course())


@pytest.mark.parametrize(("hosts", "parallel"), [(1, 1), (4, 4), (4, 16), (4, None), (4, 0), (0, 1)])
def test_an_engine_that_deploys_to_all_hosts_at_a_time_is_fine(hosts: int, parallel: int | None) -> None:
    with contextlib.nullcontext():
        require_parallel(hosts, parallel)


@pytest.mark.parametrize(("hosts", "parallel"), [(2, 1), (20, 16)])
def test_an_engine_that_would_wait_for_itself_is_refused_with_the_command(hosts: int, parallel: int) -> None:
    with pytest.raises(SlipwayError) as raised:
        require_parallel(hosts, parallel)
    [problem] = raised.value.problems
    assert problem.fix.startswith(f"pulumi up --parallel {max(16, 2 * hosts)}")
