"""What counts as over, well and lost. The hosts here are lists of what their agents say, in turn."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema_rs
import pytest

from slipway import cli as cli_module
from slipway.cli.status.watch_events import HostWatch, follow
from slipway.contract.problems import Problem, SlipwayError
from slipway.releases.engine import Stack
from slipway.settings.model import HostSettings

BROKEN = Problem("host web-1: the connection broke", "its state is unknown", "run it again")
UNREACHABLE = SlipwayError(Problem("host web-1: it cannot be reached", "its state is unknown", "ssh web-1 true"))
_SCHEMA = Path(cli_module.__file__).parent / "schemas" / "watch.schema.json"
_AGENT = Path(cli_module.__file__).parents[1] / "contract" / "schemas"

Following = Callable[..., tuple[bool, dict[str, list[HostWatch]]]]


@pytest.fixture
def following(stack: Callable[..., Stack], monkeypatch: pytest.MonkeyPatch) -> Following:
    """Follow hosts of which each connection is a list of watches (or the error of making it); well, and all sights."""

    def run(**hosts: list[Any]) -> tuple[bool, dict[str, list[HostWatch]]]:
        named = {name.replace("_", "-"): list(connections) for name, connections in hosts.items()}

        @contextlib.asynccontextmanager
        async def reached(host: HostSettings, _private_key: str) -> AsyncIterator[list[Any]]:
            said = named[host.name].pop(0) if named[host.name] else UNREACHABLE
            if isinstance(said, SlipwayError):
                raise said
            yield said

        @contextlib.asynccontextmanager
        async def channel(
            said: list[Any], _host: str, project: str, *, command: tuple[str, ...]
        ) -> AsyncIterator[SimpleNamespace]:
            assert (project, command) == ("shop-staging", ("observe",))

            async def events() -> AsyncIterator[dict[str, Any]]:
                for watch in said:
                    if watch == "silence":
                        await asyncio.sleep(60)
                    yield {"contract": 1, "watch": watch}

            async def complaint() -> Problem:
                return BROKEN

            yield SimpleNamespace(events=events, complaint=complaint)

        monkeypatch.setattr(cli_module.status.watch_events, "reached", reached)
        monkeypatch.setattr(cli_module.status.watch_events, "channel", channel)
        monkeypatch.setattr(cli_module.status.watch_events, "_AGAIN_SECONDS", 0.01)
        monkeypatch.setattr(cli_module.status.watch_events, "_GONE_SECONDS", 0.1)
        sights: dict[str, list[HostWatch]] = {name: [] for name in named}
        well = follow(stack(*named).settings, "shop-staging", lambda seen: sights[seen.host].append(seen))
        validator = jsonschema_rs.validator_for(
            json.loads(_SCHEMA.read_text()),
            retriever=lambda uri: json.loads((_AGENT / uri.rsplit("/", 1)[-1]).read_text()),
        )
        for each in (sight for seen in sights.values() for sight in seen):
            assert [error.message for error in validator.iter_errors(each.document)] == []
        return well, sights

    return run


def test_it_ends_well_when_every_watch_is_over(following: Following, watch: dict[str, Any]) -> None:
    over = watch | {"state": "over", "left": 0, "kept": [], "alive": False}
    well, sights = following(web_1=[[watch, over]], web_2=[[over]])
    assert well
    assert [sight.ended for sight in sights["web-1"]] == [False, True]
    assert [sight.ended for sight in sights["web-2"]] == [True]


def test_a_watch_that_only_stays_for_what_is_kept_is_over(following: Following, watch: dict[str, Any]) -> None:
    last = watch | {"left": 0}
    well, sights = following(web_1=[[watch, last | {"left": 1}, last, "silence"]])
    assert well
    assert [sight.ended for sight in sights["web-1"]] == [False, False, False, True]


@pytest.mark.parametrize("state", ["returned", "failed"])
def test_one_host_that_was_rolled_back_or_could_not_be_makes_it_end_badly(
    state: str, following: Following, watch: dict[str, Any]
) -> None:
    bad = watch | {"state": state, "reason": "api: worse; rolled back to release r-1", "alive": False}
    well, sights = following(web_1=[[watch, watch | {"state": "returning"}, bad]], web_2=[[watch | {"state": "over"}]])
    assert not well
    assert [sight.ended for sight in sights["web-1"]] == [False, False, True]


def test_a_host_on_which_nothing_was_ever_watched_is_well(following: Following) -> None:
    well, sights = following(web_1=[[None]])
    assert well
    assert sights["web-1"] == [HostWatch(host="web-1", ended=True)]


def test_a_watch_without_a_process_is_lost(following: Following, watch: dict[str, Any]) -> None:
    well, sights = following(web_1=[[watch, watch | {"alive": False}, "silence"]])
    assert not well
    assert sights["web-1"][-1].lost
    assert sights["web-1"][-1].ended


def test_a_watch_that_another_deployment_takes_over_is_not_lost(following: Following, watch: dict[str, Any]) -> None:
    well, sights = following(web_1=[[watch | {"alive": False}, watch, watch | {"state": "over", "alive": False}]])
    assert well
    assert [sight.ended for sight in sights["web-1"]] == [False, False, True]


def test_a_host_that_never_answered_is_told_and_not_tried_again(following: Following, watch: dict[str, Any]) -> None:
    well, sights = following(web_1=[UNREACHABLE], web_2=[[watch | {"state": "over"}]])
    assert not well
    assert sights["web-1"] == [HostWatch(host="web-1", problems=UNREACHABLE.problems, ended=True)]
    assert sights["web-2"][-1].ended


def test_a_broken_connection_is_made_again(following: Following, watch: dict[str, Any]) -> None:
    well, sights = following(web_1=[[watch], UNREACHABLE, [watch, watch | {"state": "over", "alive": False}]])
    assert well
    assert [bool(sight.problems) for sight in sights["web-1"]] == [False, True, True, False, False]
    assert sights["web-1"][1].watch == watch


def test_a_host_that_stays_away_is_given_up(following: Following, watch: dict[str, Any]) -> None:
    well, sights = following(web_1=[[watch]])
    assert not well
    assert 2 < len(sights["web-1"]) < 20
    assert sights["web-1"][-1].ended
