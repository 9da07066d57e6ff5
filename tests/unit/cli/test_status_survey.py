import contextlib
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

import components.sessions
from cli.stack import Stack
from components.sessions import survey
from components.settings import HostSettings
from slipway.contract.problems import Problem, SlipwayError


def test_a_host_that_fails_has_its_error_in_the_place_of_its_probe(
    stack: Callable[..., Stack], probe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = probe | {"problems": [{"what": "no engine", "meaning": "nothing runs", "fix": "install it"}]}
    answers = {"web-1": probe, "web-2": SlipwayError(Problem("unreachable", "-", "-")), "web-3": lacking}

    @contextlib.asynccontextmanager
    async def reached(host: HostSettings, _private_key: str) -> AsyncIterator[str]:
        if isinstance(answers[host.name], SlipwayError):
            raise answers[host.name]
        yield host.name

    @contextlib.asynccontextmanager
    async def channel(_connection: str, host: str, stack: str) -> AsyncIterator[SimpleNamespace]:
        assert stack == "shop-staging"
        yield SimpleNamespace(probe=answers[host])

    monkeypatch.setattr(components.sessions, "reached", reached)
    monkeypatch.setattr(components.sessions, "channel", channel)
    assert survey(stack(*answers).settings, "shop-staging") == answers
