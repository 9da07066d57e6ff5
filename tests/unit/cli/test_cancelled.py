"""What is said of the hosts after an update was stopped."""

from types import SimpleNamespace
from typing import Any

import pytest

from slipway.cli.deploy import cancelled
from slipway.contract.problems import SlipwayError

LIVE = {"release": "r-1"}


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"lock": None, "live": LIVE, "move": None}, "on host web-1, release r-1 is live"),
        ({"lock": None, "live": LIVE}, "on host web-1, release r-1 is live"),
        ({"lock": None, "live": None, "move": None}, "on host web-1, no release of this stack is live"),
        (
            {"lock": None, "live": LIVE, "move": {"state": "undone", "project": "old"}},
            "on host web-1, old runs again, and nothing of this stack",
        ),
        ({"lock": None, "live": LIVE, "move": {"state": "moved"}}, "on host web-1, release r-1 is live"),
        ({"lock": "ada", "live": LIVE, "move": None}, "host web-1 is still at work (ada)"),
        (SlipwayError("no route", "", ""), "host web-1 could not be asked (no route), and finishes what it has begun"),
    ],
)  # fmt: skip
def test_what_serves_is_said_of_every_host(monkeypatch: pytest.MonkeyPatch, answer: Any, words: str) -> None:
    monkeypatch.setattr(cancelled, "read_stack", lambda _: SimpleNamespace(settings=None, project="shop-production"))
    monkeypatch.setattr(cancelled, "ask_hosts", lambda *_: {"web-1": answer})
    back = cancelled.GoingBack("production")
    back.begin()
    assert back.outcome() == words
