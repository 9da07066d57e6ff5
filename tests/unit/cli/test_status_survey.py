import contextlib
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from slipway.contract.problems import Problem, SlipwayError
from slipway.hosts import host_sessions as host_sessions_module
from slipway.hosts.host_sessions import survey
from slipway.releases.engine import Stack
from slipway.settings.model import HostSettings


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

    monkeypatch.setattr(host_sessions_module, "reached", reached)
    monkeypatch.setattr(host_sessions_module, "channel", channel)
    assert survey(stack(*answers).settings, "shop-staging") == answers
