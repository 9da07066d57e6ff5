"""Which service on the way of a route may keep the addresses of what changed."""

from __future__ import annotations

import pytest

from slipway.agent.strategies.graph import unchanged_proxy

EDGES = {"web": ["front", "cache"], "front": ["api"], "api": ["db"], "worker": ["db"], "cache": [], "db": []}


@pytest.mark.parametrize(
    ("changed", "proxy", "behind"),
    [
        ("cache", "web", "cache"),
        ("front", "web", "front"),
        ("api", "front", "api"),
        ("api worker", "front", "api"),
        ("api cache", "web", "cache"),
        ("front cache worker", "web", "cache front"),
        ("db", "api", "db"),
        ("web api", "front", "api"),
        ("web front", "", ""),
        ("worker", "", ""),
        ("", "", ""),
    ],
)
def test_the_nearest_that_did_not_change_itself_is_named(changed: str, proxy: str, behind: str) -> None:
    assert unchanged_proxy("web", EDGES, changed.split()) == (proxy, behind.split())
