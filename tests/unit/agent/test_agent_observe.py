"""What `slipway watch` hears first: at once what is watched, or that nothing is."""

from __future__ import annotations

import json
import os
import select
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from slipway.agent.watch.watch import observe

if TYPE_CHECKING:
    from pathlib import Path

    from slipway.agent.output import Output
    from slipway.agent.state.stack_dir import StackFolder

MINE, GONE = os.getpid(), 2**22 + 1


@pytest.mark.parametrize(
    ("order", "seen", "told"),
    [
        pytest.param(None, None, [None], id="nothing was ever watched"),
        pytest.param(None, ("r-1", GONE), ["r-1"], id="a watch that is over"),
        pytest.param(("r-1", 100), ("r-1", MINE), ["r-1"], id="a watch that goes on"),
        pytest.param(("r-2", 0), None, [], id="a watch that begins"),
        pytest.param(("r-2", 0), ("r-1", GONE), [], id="a watch that begins after another one"),
        pytest.param(("r-1", 0), ("r-1", GONE), [], id="a watch that begins again"),
        pytest.param(("r-2", 100), ("r-1", GONE), ["r-1"], id="a watch that never began"),
    ],
)
def test_the_first_answer_comes_at_once_and_is_about_what_was_ordered_last(
    order: tuple[str, int] | None, seen: tuple[str, int] | None, told: list[str | None],
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder = SimpleNamespace(watch=str(tmp_path / "watch.json"), watched=str(tmp_path / "watched.json"))
    if order:
        release, age = order
        (tmp_path / "watch.json").write_text(json.dumps({"id": "1", "release": release, "began": time.time() - age}))
    if seen:
        (tmp_path / "watched.json").write_text(json.dumps(dict(zip(("release", "pid"), seen, strict=True))))
    looks = iter([[], [], [0]])
    monkeypatch.setattr(select, "select", lambda *_: (next(looks), [], []))
    monkeypatch.setattr(os, "read", lambda *_: b"")
    documents: list[dict[str, Any]] = []
    observe(cast("StackFolder", folder), cast("Output", SimpleNamespace(result=documents.append)))
    assert [each["watch"] and each["watch"]["release"] for each in documents] == told
