"""One rule says when a container counts as ill."""

import pytest

from slipway.contract.outcomes import illness


@pytest.mark.parametrize(
    ("state", "health", "ill"),
    [
        ("running", None, ""),
        ("running", "healthy", ""),
        ("running", "starting", ""),
        ("completed", None, ""),
        ("running", "unhealthy", "unhealthy"),
        ("restarting", None, "restarting"),
        ("exited", "unhealthy", "exited"),
        ("paused", "healthy", "paused"),
        ("dead", None, "dead"),
    ],
)
def test_what_runs_well_or_is_done_is_not_ill_and_the_rest_is_named(state: str, health: str | None, ill: str) -> None:
    assert illness(state, health) == ill
