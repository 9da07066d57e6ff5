"""Lines of several hosts and containers: their order, their looks, and what can be asked for."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import jsonschema_rs
import pytest

from slipway.cli.containers import logs
from slipway.cli.containers.logs import LogLine, LogQuery, LogView, RawLogs, TextLogs, merged, sorted_live
from slipway.cli.containers.time_range import since, tail
from slipway.contract.problems import Problem

NOW = datetime(2026, 11, 20, 14, 0, 0, tzinfo=timezone(timedelta(hours=1)))
SCHEMA = Path(__file__).resolve().parents[3] / "slipway/cli/schemas/logs.schema.json"


def line(second: int, host: str = "web-1", text: str = "", **more: str) -> LogLine:
    values = {"service": "api", "container": "shop-staging-api-1", "stream": "stdout", **more}
    return LogLine(at=f"2026-11-20T13:00:{second:02d}.000000000Z", host=host, text=text or f"{host} {second}", **values)


def queue(*found: LogLine | None) -> asyncio.Queue[LogLine | None]:
    made: asyncio.Queue[LogLine | None] = asyncio.Queue()
    for each in found:
        made.put_nowait(each)
    return made


# --- order


def test_streams_are_merged_by_time_and_each_is_read_only_up_to_its_end() -> None:
    async def run() -> tuple[list[int], int]:
        first = queue(line(1), line(4), line(5), None, line(9))
        second = queue(line(2, "web-2"), line(3, "web-2"), line(6, "web-2"), None)
        told = [int(each.at[17:19]) async for each in merged([first, second, queue(None)])]
        return told, first.qsize()

    assert asyncio.run(run()) == ([1, 2, 3, 4, 5, 6], 1)


def test_a_slow_host_holds_up_what_is_younger_than_its_lines() -> None:
    async def run() -> list[str]:
        slow: asyncio.Queue[LogLine | None] = asyncio.Queue()

        async def answer_late() -> None:
            await asyncio.sleep(0.05)
            slow.put_nowait(line(1, "web-2"))
            slow.put_nowait(None)

        late = asyncio.create_task(answer_late())
        told = [each.host async for each in merged([queue(line(2), None), slow])]
        await late
        return told

    assert asyncio.run(run()) == ["web-2", "web-1"]


def test_lines_that_come_a_little_late_are_put_in_order() -> None:
    async def run() -> list[int]:
        early, late = queue(line(2), line(4)), queue()

        async def answer_late() -> None:
            await asyncio.sleep(0.02)
            for each in (line(1, "web-2"), line(3, "web-2"), None):
                late.put_nowait(each)
            await asyncio.sleep(0.15)
            early.put_nowait(None)

        telling = asyncio.create_task(answer_late())
        told = [int(each.at[17:19]) async for batch in sorted_live([early, late], hold=0.1) for each in batch]
        await telling
        return told

    assert asyncio.run(run()) == [1, 2, 3, 4]


def test_a_host_with_a_wrong_clock_holds_up_nobody() -> None:
    async def run() -> float:
        right, wrong = queue(line(30)), queue()

        async def chatter() -> None:
            while True:
                wrong.put_nowait(line(1, "web-2"))
                await asyncio.sleep(0.005)

        talking = asyncio.create_task(chatter())
        loop = asyncio.get_running_loop()
        began = loop.time()
        async for batch in sorted_live([right, wrong], hold=0.05):
            if any(each.host == "web-1" for each in batch):
                break
            assert loop.time() - began < 2, "starved"
        talking.cancel()
        return loop.time() - began

    assert asyncio.run(run()) < 1


def test_what_still_waits_at_the_end_is_told() -> None:
    async def run() -> list[LogLine]:
        return [each async for batch in sorted_live([queue(line(2), line(1), None)], hold=30) for each in batch]

    assert asyncio.run(run()) == [line(1), line(2)]


@pytest.mark.parametrize(
    ("at", "after"),
    [
        ("2026-11-20T13:00:00.000000000Z", "1795179600.000000001"),
        ("2026-11-20T13:00:00.999999999Z", "1795179601.000000000"),
    ],
)
def test_a_connection_made_again_begins_after_the_last_line(at: str, after: str) -> None:
    assert logs._after(at) == after


def test_the_agent_is_asked_for_no_more_than_was_wanted() -> None:
    assert LogQuery().command() == ("logs", "--tail", "all")
    asked = LogQuery(services=["web", "db"], tail="5", since="-60", follow=True).command()
    assert asked == ("logs", "--services", "web,db", "--tail", "5", "--since", "-60", "--follow")


# --- looks


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """The lines on standard output since the last time."""

    def read() -> list[str]:
        return capsys.readouterr().out.splitlines()

    return read


def view(*, colour: bool = False, timestamps: bool = False, names: Sequence[str] = ("api-1", "worker-12")) -> TextLogs:
    made = TextLogs("shop-staging", timestamps=timestamps, colour=colour)
    made.containers("web-1", [f"shop-staging-{name}" for name in names])
    return made


def test_lines_stand_behind_the_name_of_their_container(shown: Callable[[], list[str]]) -> None:
    made = view()
    made.line(line(1, text="GET / 200"))
    made.line(line(2, text="", container="shop-staging-worker-12")._replace(text=""))
    assert shown() == ["web-1 api-1     | GET / 200", "web-1 worker-12 | "]


def test_a_container_that_comes_later_makes_room_for_its_name(shown: Callable[[], list[str]]) -> None:
    made = view(names=["api-1"])
    made.line(line(1, text="a"))
    made.containers("web-1", ["shop-staging-api-10"])
    made.line(line(2, text="b", container="shop-staging-api-10"))
    assert shown() == ["web-1 api-1 | a", "web-1 api-10 | b"]


def test_moments_are_shown_when_asked_for(shown: Callable[[], list[str]]) -> None:
    view(timestamps=True, names=["api-1"]).line(line(7, text="hello"))
    assert shown() == ["web-1 api-1 | 2026-11-20T13:00:07.000Z hello"]


def test_colour_tells_containers_and_standard_error_apart_and_never_runs_on(shown: Callable[[], list[str]]) -> None:
    made = view(colour=True, names=["api-1", "db-1"])
    made.line(line(1, text="\x1b[1mbold"))
    made.line(line(2, text="plain", container="shop-staging-db-1", stream="stderr"))
    assert shown() == [
        "\x1b[36mweb-1 api-1 \x1b[36m|\x1b[0m \x1b[1mbold\x1b[0m",
        "\x1b[33mweb-1 db-1  \x1b[31m|\x1b[0m plain",
    ]


@pytest.mark.parametrize(
    ("terminal", "name", "value", "expected"),
    [
        (True, "TERM", "xterm", True),
        (False, "TERM", "xterm", False),
        (True, "TERM", "dumb", False),
        (True, "NO_COLOR", "1", False),
    ],
)
def test_colour_is_for_a_terminal_that_may_have_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, *, terminal: bool, expected: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal)
    assert logs.in_colour() is expected


@pytest.mark.parametrize(
    ("text", "there", "coloured"),
    [
        ("pässwörd=hunter2 \N{SNOWMAN}\t1\u202f200 \u20ac", "pässwörd=hunter2 \N{SNOWMAN}\t1 200 \u20ac", ""),
        ("\x1b[1;31mred\x1b[0m \x1b[38:5:1mtoo", "red too", "\x1b[1;31mred\x1b[0m \x1b[38:5:1mtoo\x1b[0m"),
        ("10 %\r100 %\r", r"10 %\r100 %", ""),
        ("\x1b]52;c;QUJD\x07\x1b[2J\x9b1m", r"\x1b]52;c;QUJD\x07\x1b[2J\x9b1m", ""),
        ("\x1b[31m\x1b]0;title\x1b\\", r"\x1b]0;title\x1b\\"[:-1], "\x1b[31m" + r"\x1b]0;title\x1b\\"[:-1] + "\x1b[0m"),
        ("user\u202egnp.exe\x00", r"user\u202egnp.exe\x00", ""),
    ],
)
def test_of_what_an_application_does_to_a_terminal_colour_alone_is_done(
    shown: Callable[[], list[str]], text: str, there: str, coloured: str
) -> None:
    view(names=["api-1"]).line(line(1, text=text))
    assert shown() == [f"web-1 api-1 | {there}"]
    view(names=["api-1"], colour=True).line(line(1, text=text))
    [found] = shown()
    assert found.partition("|\x1b[0m ")[2].removesuffix("\x1b[0m") == (coloured or there).removesuffix("\x1b[0m")


def test_raw_lines_are_what_an_application_wrote_and_nothing_else(shown: Callable[[], list[str]]) -> None:
    text = "\x1b[2J<{%x%}>\x07"
    RawLogs(timestamps=False).line(line(1, text=text))
    RawLogs(timestamps=True).line(line(1, text="hello"))
    assert shown() == [text, "2026-11-20T13:00:01.000Z hello"]


def test_json_is_a_line_a_line_in_its_documented_form(shown: Callable[[], list[str]]) -> None:
    made = LogView()
    made.containers("web-1", ["shop-staging-api-1"])
    made.line(line(1, text='say "hi"\t\x1b[0m'))
    made.line(line(2, "web-2", text="err", stream="stderr"))
    told = [json.loads(each) for each in shown()]
    validator = jsonschema_rs.validator_for(json.loads(SCHEMA.read_text()))
    for each in told:
        validator.validate(each)
    assert [(each["host"], each["stream"], each["text"]) for each in told] == [
        ("web-1", "stdout", 'say "hi"\t\x1b[0m'),
        ("web-2", "stderr", "err"),
    ]


def test_a_problem_is_told_on_standard_error_and_remembered(capsys: pytest.CaptureFixture[str]) -> None:
    made = view()
    assert made.complete
    made.problem(Problem("host web-2: it cannot be reached", "its state is unknown", "ssh web-2 true"))
    said = capsys.readouterr()
    assert said.err.startswith("slipway: error: host web-2: it cannot be reached — ")
    assert said.out == ""
    assert not made.complete


# --- what can be asked for


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("10m", "-600"),
        ("1h30m", "-5400"),
        ("500ms", "-0.5"),
        ("90", "-90"),
        ("2026-11-20T12:00:00Z", f"{datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp():.6f}"),
        ("2026-11-20T12:00:00+02:00", f"{datetime(2026, 11, 20, 10, tzinfo=UTC).timestamp():.6f}"),
    ],
)
def test_a_duration_is_by_the_hosts_clock_and_a_time_is_a_time(text: str, told: str) -> None:
    assert since(text, NOW) == told


def test_a_time_of_day_is_the_last_one_that_was() -> None:
    here = NOW.astimezone()
    assert since(f"{here:%H:%M}", here) == f"{here.timestamp():.6f}"
    later = here + timedelta(minutes=1)
    assert float(since(f"{later:%H:%M}", here)) == pytest.approx(here.timestamp() - 86400 + 60, abs=3601)


@pytest.mark.parametrize("text", ["", "soon", "-10m", "10 parsecs", "25:00", "2026-13-01", "1969-01-01", "40d"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither|before 1970"):
        since(text, NOW)


@pytest.mark.parametrize("text", ["0", "100", "all"])
def test_a_number_of_lines_or_all_can_be_asked_for(text: str) -> None:
    assert tail(text) == text


@pytest.mark.parametrize("text", ["-1", "ten", "1.5", "ALL", "٣", ""])
def test_any_other_number_of_lines_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="neither a number of lines nor all"):
        tail(text)
