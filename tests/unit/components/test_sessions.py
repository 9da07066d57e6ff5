"""What hosts are given before the engine's commands run."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from samples import settings

from slipway.hosts import host_sessions


def test_only_a_host_without_a_certificate_is_given_one_and_on_standard_input(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, tuple[tuple[str, ...], bytes]] = {}

    @contextlib.asynccontextmanager
    async def fake_channel(_: Any, host: str, stack: str, *, command: tuple[str, ...]) -> AsyncIterator[Any]:
        async def answer(content: bytes, _seconds: float) -> None:
            given[host] = ((stack, *command), content)

        yield SimpleNamespace(answer=answer)

    async def give() -> None:
        found = host_sessions.HostSessions(settings(tmp_path), reach=False)
        for name in ("one", "two"):
            found._reached[name] = cast("Any", asyncio.ensure_future(asyncio.sleep(0)))
        channels = [SimpleNamespace(host="one", probe={"certificate": True}),
                    SimpleNamespace(host="two", probe={"certificate": False})]  # fmt: skip
        await found._give_certificates(cast("Any", channels), "shop-test")
        found.close()

    monkeypatch.setattr(host_sessions, "channel", fake_channel)
    asyncio.run(give())
    assert list(given) == ["two"]
    command, content = given["two"]
    assert command == ("shop-test", "certificate")
    pair = json.loads(content)
    assert pair["key"].startswith("-----BEGIN PRIVATE KEY-----")
