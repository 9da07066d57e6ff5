"""What builds leave in the temporary folder: credentials go, folders of builds at work stay usable."""

from __future__ import annotations

import base64
import json
import os
import tempfile
import time
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from slipway.images import build_leftovers
from slipway.images.build_leftovers import remove_leftovers
from slipway.settings.model import Settings

if TYPE_CHECKING:
    from pathlib import Path

TAG = "registry.example/team/shop-web:staging"
AUTH = base64.b64encode(b"deployer:a-password").decode()


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(build_leftovers, "_READ_SECONDS", 0.3)
    return tmp_path


def leave(temporary: Path, name: str, *, tag: str = "", age: float = 0.0, auth: str = "") -> Path:
    """A folder as the plugin leaves it: `tag` where the build succeeded, `age` in seconds."""
    folder = temporary / f"pulumi-docker-{name}"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"auths": {"registry.example": {"auth": auth}}}))
    if tag:
        (folder / "metadata.json").write_text(json.dumps({"image.name": tag}))
    for file in folder.iterdir():
        os.utime(file, (time.time() - age,) * 2)
    return folder


def settings() -> Settings:
    return Settings(
        stack="staging",
        registry="registry.example/team",
        registry_username="deployer",
        registry_password=SecretStr("a-password"),
    )


def test_folder_of_an_own_build_goes_at_once(temporary: Path) -> None:
    folder = leave(temporary, "own", tag=TAG)
    remove_leftovers({TAG}, settings())
    assert not folder.exists()


def test_folders_of_builds_that_were_over_long_ago_go(temporary: Path) -> None:
    over, failed = leave(temporary, "over", tag="another:1", age=60), leave(temporary, "failed", age=60)
    remove_leftovers((), None)
    assert not over.exists()
    assert not (failed / "config.json").exists()


def test_build_of_another_stack_at_work_keeps_what_it_needs(temporary: Path) -> None:
    at_work, just_over = leave(temporary, "at-work"), leave(temporary, "just-over", tag="another:1")
    remove_leftovers({TAG}, settings())
    assert (at_work / "config.json").exists()
    assert (just_over / "metadata.json").exists()


def test_credentials_of_an_own_build_that_failed_go_after_a_moment(temporary: Path) -> None:
    folder = leave(temporary, "failed", auth=AUTH)
    begun = time.monotonic()
    remove_leftovers({TAG}, settings())
    assert not (folder / "config.json").exists()
    assert time.monotonic() - begun >= 0.2


def test_what_is_no_folder_of_a_build_stays(temporary: Path) -> None:
    (temporary / "pulumi-docker-file").write_text("")
    (temporary / "elsewhere").mkdir()
    (temporary / "pulumi-docker-link").symlink_to(temporary / "elsewhere")
    (temporary / "elsewhere" / "config.json").write_text("{}")
    os.utime(temporary / "elsewhere" / "config.json", (0, 0))
    remove_leftovers({TAG}, settings())
    assert (temporary / "pulumi-docker-file").exists()
    assert (temporary / "elsewhere" / "config.json").exists()
