"""The remark behind an update in `slipway history`."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.cli.history.history_view import _remarks

ENTRY: dict[str, Any] = {
    "validated": False, "result": "failed", "release": None, "back": {"kind": "no", "reason": "it failed"},
    "returned": None, "kind": "deploy", "reason": "", "message": "v2: faster",
}  # fmt: skip


@pytest.mark.parametrize(
    ("more", "known", "said"),
    [
        ({}, True, "no host finished or undid it: its own output says why"),
        ({}, False, "not known why"),
        ({"reason": "web is not healthy"}, True, "web is not healthy"),
        ({"result": "succeeded"}, True, "v2: faster"),
        ({"result": "succeeded", "kind": "rollback", "message": "rollback to r-1: because"}, True, "because"),
    ],
)
def test_no_title_of_a_commit_reads_as_the_reason_of_a_failure(more: dict[str, Any], *, known: bool, said: str) -> None:
    assert _remarks(ENTRY | more, known=known) == said
