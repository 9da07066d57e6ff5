import contextlib
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any

import pytest

import components.probe
from cli.stack import Stack
from components.errors import Problem, SlipwayError
from components.probe import survey
from components.settings import HostSettings


def test_a_host_that_fails_has_its_error_in_the_place_of_its_probe(
    stack: Callable[..., Stack], probe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    lacking = probe | {"problems": [{"what": "no engine", "meaning": "nothing runs", "mend": "install it"}]}
    answers = {"web-1": probe, "web-2": SlipwayError(Problem("unreachable", "-", "-")), "web-3": lacking}

    async def ended() -> None:
        pass

    @contextlib.asynccontextmanager
    async def channel(
        _settings: object, host: HostSettings, name: str, **options: bool
    ) -> AsyncIterator[SimpleNamespace]:
        assert name == "shop-staging"
        assert options == {"install": False, "attend": False}
        if isinstance(answers[host.name], SlipwayError):
            raise answers[host.name]
        yield SimpleNamespace(probe=answers[host.name], ended=ended)

    monkeypatch.setattr(components.probe, "_channel", channel)
    assert survey(stack(*answers).settings, "shop-staging") == answers
