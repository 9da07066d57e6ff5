"""Where previews look at hosts, and where the default is that they do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from slipway.settings.load import collect_settings

if TYPE_CHECKING:
    from pathlib import Path

PULL = {"GITHUB_EVENT_NAME": "pull_request"}


@pytest.mark.parametrize(
    ("stack", "job", "preview"),
    [
        ("production", {}, "online"),
        ("production", {"GITHUB_EVENT_NAME": "push"}, "online"),
        ("production", PULL, "offline"),
        ("production", {"GITHUB_EVENT_NAME": "pull_request_target"}, "offline"),
        ("production", {"CI_MERGE_REQUEST_IID": "7"}, "offline"),
        ("production", {**PULL, "SLIPWAY_PREVIEW": "online"}, "online"),
        ("staging", PULL, "online"),
        ("staging", {**PULL, "SLIPWAY_PRODUCTION": "true"}, "offline"),
        ("staging", {"SLIPWAY_PREVIEW": "offline"}, "offline"),
    ],
)
def test_production_is_not_looked_at_from_a_pull_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stack: str, job: dict[str, str], preview: str
) -> None:
    for name in ("GITHUB_EVENT_NAME", "CI_MERGE_REQUEST_IID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    settings, _ = collect_settings(
        project="slipway", stack=stack, configuration={}, encrypted=set(), root=tmp_path, environment=job
    )
    assert settings.preview == preview
