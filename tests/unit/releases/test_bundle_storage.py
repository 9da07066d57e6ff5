"""Where bundles lie: whole or not at all, and for their owner only."""

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from test_bundle_archive import ABOUT, PARTS, RELEASE, STATE

from slipway.contract.problems import SlipwayError
from slipway.releases.bundles.archive import packed
from slipway.releases.bundles.storage import read_bundle, write_bundle

CONTENT = packed(ABOUT, PARTS)[0]
NAME = "slipway-staging-12-r-0123456789ab.slipway.tar.gz"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def mode(path: str | Path) -> int:
    return stat.S_IMODE(Path(path).stat().st_mode)


@pytest.mark.parametrize(
    ("to", "lies"),
    [
        ("", NAME),
        ("kept/", f"kept/{NAME}"),
        ("kept/of/old", f"kept/of/old/{NAME}"),
        ("mine.tar.gz", "mine.tar.gz"),
        ("kept/mine.slipway.tar.gz", "kept/mine.slipway.tar.gz"),
        ("file://{here}/kept/", "{here}/kept/" + NAME),
        ("file://{here}/a%20b.tar.gz", "{here}/a b.tar.gz"),
    ],
)
def test_a_place_is_a_file_by_its_ending_and_a_folder_otherwise(to: str, lies: str, tmp_path: Path) -> None:
    place = write_bundle(CONTENT, to.format(here=tmp_path), NAME, {})
    assert place == lies.format(here=tmp_path)
    assert Path(place).read_bytes() == CONTENT
    assert mode(place) == 0o600
    assert read_bundle(place, {}).state == STATE


def test_a_folder_that_is_made_is_its_owners_alone_and_one_that_was_there_stays_as_it_is(tmp_path: Path) -> None:
    write_bundle(CONTENT, "new/", NAME, {})
    assert mode("new") == 0o700
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)  # whatever the umask is
    write_bundle(CONTENT, "open/", NAME, {})
    assert mode("open") == 0o755


def test_a_bundle_that_was_there_is_replaced_and_becomes_private(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"old")
    (tmp_path / NAME).chmod(0o644)
    write_bundle(CONTENT, "", NAME, {})
    assert (tmp_path / NAME).read_bytes() == CONTENT
    assert mode(tmp_path / NAME) == 0o600


@pytest.mark.parametrize(
    ("number", "told"),
    [
        (errno.ENOSPC, f"slipway: error: {NAME} cannot be written (No space left on device) — "),
        (errno.EIO, f"slipway: error: {NAME} cannot be written (Input/output error) — "),
    ],
)
def test_a_full_disk_leaves_what_was_there_and_nothing_half_written(
    number: int, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / NAME).write_bytes(b"old")

    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(SlipwayError) as error:
        write_bundle(CONTENT, "", NAME, {})
    assert str(error.value).startswith(told)
    assert [each.name for each in tmp_path.iterdir()] == [NAME]
    assert (tmp_path / NAME).read_bytes() == b"old"


def test_an_interruption_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_bundle(CONTENT, "", NAME, {})
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_stays(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("mine")
    with pytest.raises(SlipwayError, match="cannot be written"):
        write_bundle(CONTENT, "kept", NAME, {})
    assert (tmp_path / "kept").read_text() == "mine"


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("nowhere.tar.gz", "nowhere.tar.gz cannot be read (No such file or directory)"),
        (".", ". cannot be read (Is a directory)"),
        ("https://example.com/a.tar.gz?token=canary", "https://example.com is not an object store"),
    ],
)
def test_a_place_without_a_bundle_is_told_without_its_parameters(where: str, told: str) -> None:
    with pytest.raises(SlipwayError) as error:
        read_bundle(where, {})
    assert error.value.problems[0].what.startswith(told)
    assert "canary" not in str(error.value)


def _deployed(document: object) -> dict[str, Any]:
    outputs = {"release": "r-0123456789ab", "document": document}
    resource = {
        "urn": "urn:pulumi:staging::slipway::slipway:deployment:ComposeDeployment::shop-staging",
        "type": "slipway:deployment:ComposeDeployment",
        "outputs": outputs,
    }
    return {"version": 3, "deployment": {"resources": [resource]}}


def test_a_plain_export_of_the_engine_is_read_too(tmp_path: Path) -> None:
    state = _deployed(json.dumps(RELEASE))
    (tmp_path / "state.json").write_text(json.dumps(state, indent=4))
    bundle = read_bundle("state.json", {})
    assert (bundle.manifest, bundle.stack_file, bundle.tags) == (None, None, {})
    assert bundle.state == state
    assert bundle.release == RELEASE


@pytest.mark.parametrize("document", [None, "{", "[]", {"4dabf18193072939515e22adb298388d": "x", "ciphertext": "v1"}])
def test_a_state_whose_release_cannot_be_read_is_a_state_all_the_same(document: object, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text(json.dumps(_deployed(document)))
    assert read_bundle("state.json", {}).release is None


@pytest.mark.parametrize("content", [b"", b"rubbish", b"{}", b'{"deployment": 1}', b"[" * 100_000, b"\xff\xfe\x00"])
def test_what_is_neither_bundle_nor_export_is_told_as_such(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(SlipwayError, match="x is neither a bundle nor an export of the engine"):
        read_bundle("x", {})
