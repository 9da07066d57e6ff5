import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from rich.console import Console

from slipway.cli.main import main
from slipway.cli.status import watch_events as watch_events_module
from slipway.cli.status.watch_events import HostWatch
from slipway.cli.status.watch_view import LinesView, LiveView, figures, sentence
from slipway.contract.problems import Problem
from slipway.releases import engine as engine_module
from slipway.releases.engine import Stack

PROBLEM = Problem("host web-2: it cannot be reached", "its state is unknown", "ssh web-2 true")


def _watch(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["slipway", "watch", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    return int(str(ended.value.code or 0))


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch, stack: Callable[..., Stack]) -> Callable[..., None]:
    """Let `follow` tell these sights, then say whether all is well."""

    def set_up(*sights: HostWatch, well: bool) -> None:
        def follow(_settings: object, _project: str, tell: Callable[[HostWatch], None]) -> bool:
            for sight in sights:
                tell(sight)
            return well

        monkeypatch.setattr(engine_module, "read_stack", lambda _: stack("web-1"))
        monkeypatch.setattr(watch_events_module, "follow", follow)

    return set_up


@pytest.mark.parametrize("well", [True, False])
def test_the_exit_code_says_whether_all_went_well(
    well: bool,  # noqa: FBT001  # pytest's parameter
    seen: Callable[..., None],
    watch: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen(HostWatch(host="web-1", watch=watch, ended=True), well=well)
    assert _watch(monkeypatch) == (0 if well else 1)


def test_json_is_a_line_a_sight_and_nothing_else(
    seen: Callable[..., None],
    watch: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    seen(HostWatch(host="web-1", watch=watch), HostWatch(host="web-2", problems=(PROBLEM,), ended=True), well=False)
    assert _watch(monkeypatch, "--json", "--stack", "staging") == 1
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["host"], first["watch"], first["ended"], first["well"]) == ("web-1", watch, False, True)
    assert (second["host"], second["watch"], second["ended"], second["well"]) == ("web-2", None, True, False)
    assert second["errors"] == [PROBLEM.to_json()]


def test_ctrl_c_only_ends_the_looking(
    stack: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def follow(*_: object) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(engine_module, "read_stack", lambda _: stack("web-1"))
    monkeypatch.setattr(watch_events_module, "follow", follow)
    assert _watch(monkeypatch) == 130
    assert "the hosts watch on" in capsys.readouterr().err


def test_a_log_gets_a_line_a_change_and_not_one_a_second(
    watch: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    report = LinesView().report
    for second in range(30):
        report(HostWatch(host="web-1", watch=watch | {"left": 2617 - second}))
    report(HostWatch(host="web-1", watch=watch | {"state": "returning", "reason": "api: 9 % of 500 requests failed"}))
    bad = watch | {"state": "returned", "reason": "api: 9 % of 500 requests failed; r-1 serves", "alive": False}
    report(HostWatch(host="web-1", watch=bad | {"services": {}, "kept": []}, ended=True))
    traffic = "api 1,204 requests, 3 errors, p95 48 ms; old generation of api kept, 9 min left"
    why = "api: 9 % of 500 requests failed"
    assert capsys.readouterr().out.splitlines() == [
        f"[0:00] web-1: watching r-0123456789ab, 43 min left; {traffic}",
        f"[0:00] web-1: r-0123456789ab is bad, rolling back to the previous release: {why}; {traffic}",
        f"[0:00] web-1: r-0123456789ab was rolled back: {why}; r-1 serves",
    ]


def test_a_log_gets_a_sign_of_life_every_minute(
    watch: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter(range(0, 1000, 20))
    monkeypatch.setattr("slipway.cli.status.watch_view.time.monotonic", lambda: float(next(clock)))
    report = LinesView().report
    for second in range(7):
        report(HostWatch(host="web-1", watch=watch | {"left": 2617 - 20 * second}))
    assert [line.split("]")[0] for line in capsys.readouterr().out.splitlines()] == ["[0:20", "[1:20", "[2:20"]


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_shows_every_host_with_its_traffic(watch: dict[str, Any], width: int) -> None:
    console = Console(width=width, color_system=None, highlight=False)
    view = LiveView("shop on stack staging", console)
    view.report(HostWatch(host="web-1", watch=watch))
    view.report(HostWatch(host="web-2", problems=(PROBLEM,), ended=True))
    view.report(HostWatch(host="web-3", ended=True))
    with console.capture() as capture:
        console.print(view.rendered())
    lines = [line.rstrip() for line in capture.get().splitlines()]
    assert lines[:7] == [
        "shop on stack staging, 0:00",
        "",
        "web-1: watching r-0123456789ab, 43 min left",
        "  service  requests    errors    p50    p95",
        "  api         1,204  3 (0.2%)  12 ms  48 ms",
        "  api: 0.2 % of 1204 requests failed",
        "  old generation of api kept, 9 min left",
    ]
    assert " ".join(lines[7:]).strip() == f"web-2: slipway: error: {PROBLEM}  web-3: nothing is watched here"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"left": 0}, "the watch over r-0123456789ab is over, and all was well"),
        ({"reason": "cannot look: no engine"}, "watching r-0123456789ab, 43 min left; cannot look: no engine"),
        ({"state": "failed", "reason": "going back failed"}, "r-0123456789ab is bad: going back failed"),
        ({"state": "over"}, "the watch over r-0123456789ab is over, and all was well"),
        (
            {"alive": False},
            "the watch over r-0123456789ab is lost: its process is gone, and nobody else judges this release",
        ),
    ],
)
def test_every_state_is_a_sentence(change: dict[str, Any], text: str, watch: dict[str, Any]) -> None:
    ended = "reason" not in change or "state" in change
    assert sentence(HostWatch(host="web-1", watch=watch | change, ended=ended)) == text


def test_figures_without_requests_have_no_latency() -> None:
    nothing = {"requests": 0, "errors": 0, "p50": None, "p95": None, "verdict": ""}
    assert figures(nothing) == "0 requests, 0 errors"
    assert figures(nothing | {"requests": 1, "errors": 1, "p95": 2.5}) == "1 request, 1 error, p95 2.50 s"
