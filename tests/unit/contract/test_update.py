"""How many containers of an update may fail."""

from __future__ import annotations

import pytest

from slipway.contract.deployment import Update


@pytest.mark.parametrize(
    ("ratio", "action", "containers", "tolerated"),
    [
        (0.0, "rollback", 4, 0),
        (0.5, "rollback", 4, 2),
        (0.5, "rollback", 3, 1),
        (0.5, "rollback", 1, 0),
        (0.29, "rollback", 100, 29),
        (1.0, "rollback", 4, 3),
        (0.0, "continue", 4, 3),
        (0.0, "continue", 1, 0),
        (1.0, "rollback", 0, 0),
    ],
)
def test_as_many_may_fail_as_the_ratio_says_and_never_all(
    ratio: float, action: str, containers: int, tolerated: int
) -> None:
    assert Update(max_failure_ratio=ratio, failure_action=action).tolerated(containers) == tolerated
