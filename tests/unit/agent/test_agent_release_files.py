"""Files that a release ships, on the host: what containers may write is theirs once it is there."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from documents import release

from slipway.agent.release.release_files import place
from slipway.agent.release.rendering import render
from slipway.agent.state.stack_dir import StackFolder
from slipway.contract.deployment import Release

CONTENT = b"shipped"
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StackFolder:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    made = StackFolder("shop")
    made.create()
    return made


def put(folder: StackFolder, mounts: list[dict[str, Any]], files: dict[str, Any]) -> None:
    """Place what a release with these mounts and files ships."""
    made = Release.from_json({**release(volumes=mounts), "files": files})
    place(made, render(made, ["api"], {"TOKEN": "x"}, key=b"k", folder=folder), folder)


def file_of(folder: StackFolder, mode: int, **mount: Any) -> Path:
    bind = {"type": "bind", "source": f"@files/{SHA}/f", "target": "/f", **mount}
    put(folder, [bind], {SHA: {"mode": mode, "content": base64.b64encode(CONTENT).decode()}})
    return Path(folder.file(SHA, "f"))


def seeded(folder: StackFolder, **files: str) -> Path:
    listed = [
        {"path": path, "mode": 0o644, "content": base64.b64encode(text.encode()).decode()}
        for path, text in files.items()
    ]
    content = json.dumps(listed).encode()
    entry = {"mode": 0o755, "folder": True, "seeds": ["d/x"], "content": base64.b64encode(content).decode()}
    mount = {"type": "bind", "source": "@data/d/x", "target": "/x"}
    put(folder, [mount], {hashlib.sha256(content).hexdigest(): entry})
    return Path(folder.data) / "d" / "x"


def test_what_a_container_wrote_into_a_writable_file_stays(folder: StackFolder) -> None:
    path = file_of(folder, 0o600)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (CONTENT, 0o600)
    path.write_text("written")
    path.chmod(0o640)
    file_of(folder, 0o600)
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("written", 0o640)


def test_a_read_only_file_is_put_right(folder: StackFolder) -> None:
    path = file_of(folder, 0o644, read_only=True)
    path.write_text("by hand")
    file_of(folder, 0o644, read_only=True)
    assert path.read_bytes() == CONTENT


def test_a_folder_begins_with_what_ships_and_is_then_left_alone(folder: StackFolder) -> None:
    path = seeded(folder, a="1", **{"deep/b": "2"})
    assert (path / "a").read_text() + (path / "deep" / "b").read_text() == "12"
    assert [each.name for each in path.parent.iterdir()] == ["x"]
    (path / "a").unlink()
    (path / "own").write_text("3")
    seeded(folder, a="new", c="new")
    assert sorted(each.name for each in path.iterdir()) == ["deep", "own"]


def test_an_empty_folder_of_an_earlier_version_begins_as_well(folder: StackFolder) -> None:
    path = Path(folder.data) / "d" / "x"
    path.mkdir(parents=True)
    assert (seeded(folder, a="1") / "a").read_text() == "1"


def test_a_seeding_that_was_interrupted_is_begun_anew(folder: StackFolder) -> None:
    partial = Path(folder.data) / "d" / "x.slipway-seed.slipway-new"
    partial.mkdir(parents=True)
    (partial / "half").touch()
    path = seeded(folder, a="1")
    assert [each.name for each in path.parent.iterdir()] == ["x"]
    assert [each.name for each in path.iterdir()] == ["a"]


def test_an_empty_folder_that_a_container_may_have_mounted_is_filled_and_stays_itself(folder: StackFolder) -> None:
    path = Path(folder.data) / "d" / "x"
    path.mkdir(parents=True)
    before = path.stat().st_ino
    assert seeded(folder, a="1").stat().st_ino == before
    assert [each.name for each in path.iterdir()] == ["a"]


def test_a_seeding_that_was_interrupted_while_it_moved_goes_on(folder: StackFolder) -> None:
    path = Path(folder.data) / "d" / "x"
    path.mkdir(parents=True)
    (path / "a").write_text("moved already")
    seed = Path(f"{path}.slipway-seed")
    seed.mkdir()
    (seed / "b").write_text("2")
    seeded(folder, a="1", b="2")
    assert {each.name: each.read_text() for each in path.iterdir()} == {"a": "moved already", "b": "2"}
    assert not seed.exists()
