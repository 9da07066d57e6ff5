"""`slipway move`: what it asks of the hosts and what it says. The hosts here answer from a table."""

from __future__ import annotations

import sys
from functools import partial
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from answering_hosts import answering_hosts, exit_code

from slipway.cli.deploy.move import Outcome, described
from slipway.contract.problems import Problem, SlipwayError
from slipway.hosts import host_sessions as sessions
from slipway.releases import engine as engine_module

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.releases.engine import Stack

UNREACHABLE = SlipwayError(Problem("host web-2: it cannot be reached", "its state is unknown", "ssh web-2 true"))


def answer(state: str, *, running: bool = False, restarting: bool = False, **more: Any) -> dict[str, Any]:
    names = () if not state else ("shop-db-1", "shop-web-1\x1b[2J")
    return {
        "project": "shop" if state else "",
        "state": state,
        "containers": [{"id": "1", "name": name, "running": running, "restarting": restarting} for name in names],
        "networks": ["shop_default"] if state else [],
        "down": [],
        "slow": [],
        "alone": True,
        "other_values": {},
        "folders": ["/srv/shop/uploads"] if state == "finished" else [],
        "ended": ["shop-seed-1"] if state == "finished" else [],
        "removed": ["shop-db-1", "network shop_default"] if state == "finished" else [],
        **more,
    }


@pytest.fixture
def hosts(stack: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[tuple[str, ...]]]:
    """Hosts by name: the state that each answers with, or an error. Returns what their agents are asked for."""

    def set_up(**answers: str | SlipwayError) -> list[tuple[str, ...]]:
        named = {name.replace("_", "-"): each for name, each in answers.items()}
        asked: list[tuple[str, ...]] = []

        def agent(host: str, command: tuple[str, ...]) -> SimpleNamespace:
            async def answered(_content: bytes, _seconds: float) -> dict[str, Any]:
                asked.append((host, *command))
                return answer(str(named[host]), running=named[host] == "undone")

            return SimpleNamespace(answer=answered)

        answering_hosts(monkeypatch, sessions, named, agent)
        monkeypatch.setattr(engine_module, "read_stack", lambda _: stack(*named))
        return asked

    return set_up


def test_a_way_back_that_is_refused_is_not_printed() -> None:
    moved = Outcome(host="a", project="shop", state="moved", edge_with=("blog", "wiki"))
    said = "\n".join(described(moved, "show", "staging"))
    assert "slipway move undo" not in said
    assert "no way back: the edge serves blog and wiki, too" in said


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    return exit_code(monkeypatch, "move", *arguments)


@pytest.mark.parametrize(
    ("words", "state", "asked", "lines"),
    [
        ((), "moved", "show", ["web-1: took over from shop, whose containers are stopped and stay",
                               "  shop-db-1  stopped", "  way back: slipway move undo --stack staging",
                               "  once all is well: slipway move finish --stack staging"]),
        (("show",), "moving", "show", ["web-1: is taking over from shop, or was interrupted while it did",
                                       "  way back: slipway move undo --stack staging",
                                       "  continue: slipway up --stack staging"]),
        (("show",), "undoing", "show", ["web-1: is being given back to shop, or an undo was interrupted",
                                        "  way back: slipway move undo --stack staging",
                                        "  continue: slipway up --stack staging"]),
        (("undo",), "undone", "undo", ["web-1: shop runs again; the stack is stopped", "  shop-db-1  running",
                                       "  continue: slipway up --stack staging"]),
        (("finish",), "finished", "finish", ["web-1: took over from shop for good",
                                             "    docker rm shop-db-1 'shop-web-1\\x1b[2J' shop-seed-1",
                                             "    docker network rm shop_default"]),
        (("finish", "--remove"), "finished", "remove", ["web-1: took over from shop for good",
                                                         "  removed: shop-db-1", "  removed: network shop_default",
                                                         "  these folders stay in use: /srv/shop/uploads"]),
    ],
)  # fmt: skip
def test_it_says_how_far_the_move_is_and_what_leads_on(
    hosts: Callable[..., list[tuple[str, ...]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    words: tuple[str, ...],
    state: str,
    asked: str,
    lines: list[str],
) -> None:
    commands = hosts(web_1=state)
    assert run(monkeypatch, *words) == 0
    assert commands[-1] == ("web-1", "move", "--owner", "", "--do", asked)
    said = capsys.readouterr().out
    for line in lines:
        assert line in said.splitlines()
    assert "\x1b" not in said  # a container's name is another's text


def test_what_did_not_come_back_is_named_until_it_has(
    hosts: Callable[..., list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"down": ["shop-web-1\x1b[2J"]}
    monkeypatch.setattr(sys.modules[__name__], "answer", partial(answer, **more))
    hosts(web_1="undone")
    assert run(monkeypatch, "show") == 0
    said = capsys.readouterr().out
    assert "shop runs again, except for shop-web-1\\x1b[2J; the stack is stopped" in said
    assert "to start the rest: slipway move undo --stack staging" in said
    assert "\x1b" not in said


def test_an_undo_after_which_something_does_not_work_fails_with_the_reason_and_the_way_on(
    hosts: Callable[..., list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {
        "slow": ["shop-db-1 does not work yet (unhealthy)"],
        "other_values": {"web": ["DB_PASSWORD"], "beat": ["DB_PASSWORD"]},
    }
    monkeypatch.setattr(sys.modules[__name__], "answer", partial(answer, **more))
    hosts(web_1="undone")
    assert run(monkeypatch, "undo") == 1
    said = capsys.readouterr().err
    assert "host web-1: shop-db-1 does not work yet (unhealthy)" in said
    assert said.count("another value of DB_PASSWORD than in the stack: web, beat; where") == 1
    assert said.rstrip().endswith("slipway up --stack staging")


def test_what_runs_with_old_values_after_an_undo_is_said_before_it(
    hosts: Callable[..., list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {"other_values": {"shop-web-1\x1b[2J": ["DB_PASSWORD"]}}
    monkeypatch.setattr(sys.modules[__name__], "answer", partial(answer, **more))
    asked = hosts(web_1="moved")
    assert run(monkeypatch, "show") == 0
    assert "another value of DB_PASSWORD" in capsys.readouterr().out
    assert run(monkeypatch, "undo") == 1
    said = capsys.readouterr()
    assert "another value of DB_PASSWORD" in said.out
    assert "\x1b" not in said.out
    assert said.err.rstrip().endswith("slipway move undo --stack staging --yes")
    assert ("web-1", "move", "--owner", "", "--do", "undo") not in asked
    assert run(monkeypatch, "undo", "--yes") == 0
    assert ("web-1", "move", "--owner", "", "--do", "undo") in asked


def test_an_undo_that_stops_what_ran_before_the_move_asks_first(
    hosts: Callable[..., list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "answer", partial(answer, alone=False))
    asked = hosts(web_1="moved")
    assert run(monkeypatch, "undo") == 1
    assert "web-1: all of the stack stops, also what ran before it took over from shop" in capsys.readouterr().out
    assert ("web-1", "move", "--owner", "", "--do", "undo") not in asked
    assert run(monkeypatch, "undo", "--yes") == 0


def test_an_undo_says_before_it_what_visitors_miss_and_does_not_ask(
    hosts: Callable[..., list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "answer", partial(answer, interrupts=["shop-db-1", "shop-web-1\x1b[2J"]))
    asked = hosts(web_1="moved")
    assert run(monkeypatch, "undo") == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.startswith("web-1: interrupted until the stack's containers")
    assert first.endswith(": shop-db-1, shop-web-1\\x1b[2J")
    assert [each[-1] for each in asked] == ["show", "undo"]


@pytest.mark.parametrize(
    ("state", "running", "said"),
    [
        ("moved", True, "web-1: took over from shop, but shop-db-1, shop-web-1\\x1b[2J of it run"),
        ("finished", True, "web-1: took over from shop for good, but shop-db-1, shop-web-1\\x1b[2J of it run"),
        ("undone", False, "web-1: shop is stopped, as before the move; the stack is stopped"),
    ],
)
def test_what_runs_beside_the_stack_or_does_not_run_again_is_not_called_otherwise(
    hosts: Callable[..., list[tuple[str, ...]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    state: str,
    running: bool,
    said: str,
) -> None:
    own = answer
    monkeypatch.setattr(
        sys.modules[__name__], "answer", lambda state, **more: own(state, **{**more, "running": running})
    )
    hosts(web_1=state)
    assert run(monkeypatch) == 0
    assert said in capsys.readouterr().out.splitlines()


def test_what_docker_restarts_again_and_again_is_not_called_running(
    hosts: Callable[..., list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "answer", partial(answer, restarting=True))
    hosts(web_1="undone")
    assert run(monkeypatch) == 0
    assert "  shop-db-1  restarting again and again" in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(
    ("words", "state", "expected"),
    [
        ("undo", "finished", "the move from shop is finished and cannot be undone"),
        ("finish", "moving", "has not been made (moving), so it cannot be finished"),
        ("finish", "undoing", "has not been made (undoing), so it cannot be finished"),
        ("finish", "undone", "has not been made (undone), so it cannot be finished"),
    ],
)
def test_what_cannot_be_done_is_an_error_with_the_way_on(
    hosts: Callable[..., list[tuple[str, ...]]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    words: str,
    state: str,
    expected: str,
) -> None:
    hosts(web_1=state)
    assert run(monkeypatch, words) == 1
    assert expected in capsys.readouterr().err


def test_hosts_that_took_over_from_nothing_are_left_out_and_one_that_fails_is_named(
    hosts: Callable[..., list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    hosts(web_1="moved", web_2=UNREACHABLE, web_3="")
    assert run(monkeypatch, "undo") == 1
    said = capsys.readouterr()
    assert "web-3" not in said.out + said.err
    assert "host web-2: it cannot be reached" in said.err
    hosts(web_1="")
    assert run(monkeypatch) == 1
    said = capsys.readouterr()
    assert "took over from no other project" in said.err
    assert "had another name when it did, set that `name` again" in said.err


def test_only_finish_removes(hosts: Callable[..., list[tuple[str, ...]]], monkeypatch: pytest.MonkeyPatch) -> None:
    asked = hosts(web_1="moved")
    assert run(monkeypatch, "undo", "--remove") == 2
    assert asked == []
