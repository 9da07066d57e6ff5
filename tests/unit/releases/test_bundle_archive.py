"""The form of a bundle: the same bytes from the same parts, and nothing that is not as promised gets in."""

import gzip
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from slipway.contract.problems import SlipwayError
from slipway.releases.bundles import archive as archive_module
from slipway.releases.bundles.archive import Bundle, name_of, packed, sha256_of, unpacked

SCHEMA = json.loads((Path(__file__).parents[3] / "slipway/cli/schemas/bundle.schema.json").read_text())
STATE = {
    "version": 3,
    "deployment": {"resources": [{"urn": "urn:pulumi:staging::slipway::pulumi:pulumi:Stack::slipway-staging"}]},
}
RELEASE = {"id": "r-0123456789ab", "application": "shop"}
PARTS = {
    "tags.json": b'{"team": "shop"}',
    "state.json": json.dumps(STATE).encode(),
    "release.json": json.dumps(RELEASE).encode(),
    "stack.yaml": b"encryptionsalt: v1:abc\n",
}
ABOUT: dict[str, Any] = {
    "contract": 1,
    "project": "slipway",
    "application": "shop",
    "stack": "staging",
    "backend": "s3",
    "update": 12,
    "state_time": "2026-11-20T13:10:00.123Z",
    "resources": 1,
    "release": "r-0123456789ab",
    "created": "2026-11-20T13:20:00Z",
    "slipway": "0.1.0",
    "engine": "v3.256.0",
}


def archive(members: list[tuple[tarfile.TarInfo, bytes]]) -> bytes:
    """A gzipped tar of these members, whatever they are."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member, content in members:
            tar.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue())


def files(parts: dict[str, bytes]) -> list[tuple[tarfile.TarInfo, bytes]]:
    members = []
    for name, content in parts.items():
        member = tarfile.TarInfo(name)
        member.size = len(content)
        members.append((member, content))
    return members


@pytest.fixture
def parts() -> dict[str, bytes]:
    """The files of a good bundle, its manifest first."""
    _, manifest = packed(ABOUT, PARTS)
    return {"manifest.json": json.dumps(manifest).encode(), **PARTS}


def refused(content: bytes) -> list[str]:
    with pytest.raises(SlipwayError) as error:
        unpacked(content, "here.tar.gz")
    assert all(problem.meaning and problem.fix for problem in error.value.problems)
    return [problem.what for problem in error.value.problems]


def test_what_went_in_comes_out() -> None:
    content, manifest = packed(ABOUT, PARTS)
    bundle = unpacked(content, "here.tar.gz")
    assert bundle == Bundle(
        state=STATE,
        release=RELEASE,
        manifest=manifest,
        stack_file=PARTS["stack.yaml"],
        tags={"team": "shop"},
        place="here.tar.gz",
    )
    assert manifest == {**ABOUT, "parts": manifest["parts"]}
    assert manifest["parts"]["stack.yaml"] == {"sha256": sha256_of(PARTS["stack.yaml"]), "size": 23}


def test_the_same_parts_give_the_same_bytes() -> None:
    content, _ = packed(ABOUT, PARTS)
    assert packed(ABOUT, PARTS)[0] == content
    assert packed({**ABOUT, "update": 13}, PARTS)[0] != content
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        members = tar.getmembers()
    assert [each.name for each in members] == ["manifest.json", *PARTS]
    assert {(each.mtime, each.uid, each.uname, each.mode) for each in members} == {(0, 0, "", 0o600)}


def test_a_bundle_of_a_stack_without_file_or_release_can_be_read() -> None:
    content, manifest = packed({**ABOUT, "release": None}, {"state.json": PARTS["state.json"]})
    bundle = unpacked(content, "here.tar.gz")
    assert (bundle.release, bundle.stack_file, bundle.tags) == (None, None, {})
    assert name_of(manifest) == "slipway-staging-12.slipway.tar.gz"


def test_the_manifest_is_as_its_schema_says() -> None:
    validator = jsonschema_rs.validator_for({"$ref": "#/$defs/manifest", "$defs": SCHEMA["$defs"]})
    assert validator.is_valid(packed(ABOUT, PARTS)[1])
    assert not validator.is_valid({**packed(ABOUT, PARTS)[1], "update": -1})


def test_every_part_that_is_damaged_missing_or_added_is_named(parts: dict[str, bytes]) -> None:
    parts["tags.json"] = b'{"team": "hack"}'
    del parts["release.json"]
    parts["../../etc/passwd"] = b"root::0:0"
    assert refused(archive(files(parts))) == [
        f"here.tar.gz: {name!r} is not what manifest.json promises"
        for name in ("../../etc/passwd", "release.json", "tags.json")
    ]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_a_part_that_is_no_ordinary_file_is_refused(kind: bytes, parts: dict[str, bytes]) -> None:
    del parts["stack.yaml"]
    member = tarfile.TarInfo("stack.yaml")
    member.type, member.linkname = kind, "/etc/shadow"
    assert len(refused(archive([*files(parts), (member, b"")]))) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content[:-9],
        lambda content: content + b"more",
        lambda content: content[:40] + bytes(9) + content[49:],
        lambda _: gzip.compress(b"not a tar" * 100),
        lambda _: gzip.compress(b""),
        lambda _: archive([]),
    ],
)
def test_a_damaged_file_is_told_as_such(spoil: Callable[[bytes], bytes]) -> None:
    [what] = refused(spoil(packed(ABOUT, PARTS)[0]))
    assert what.startswith("here.tar.gz is damaged or no bundle (")


def test_a_bundle_that_would_fill_the_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = packed(ABOUT, {**PARTS, "release.json": bytes(2 * 2**20)})[0]
    assert len(content) < 2**20
    monkeypatch.setattr(archive_module, "_LARGEST_MB", 1)
    assert refused(content) == ["here.tar.gz holds more than 1 MB, which no bundle does"]


def test_no_single_wrong_byte_gets_through() -> None:
    good = packed(ABOUT, PARTS)[0]
    places = [at for at in range(len(good)) if at not in range(4, 10)]  # time and system in gzip's header: not kept
    for at in places:
        assert refused(good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :]), at


@pytest.mark.parametrize("change", [{"contract": 2}, {"stack": "../x"}, {"parts": {}}, {"update": "12"}, {"more": 1}])
def test_a_manifest_of_another_form_is_told_as_such(change: dict[str, Any], parts: dict[str, bytes]) -> None:
    parts["manifest.json"] = json.dumps({**json.loads(parts["manifest.json"]), **change}).encode()
    [what] = refused(archive(files(parts)))
    assert what == "here.tar.gz: manifest.json is not as in form 1, which this Slipway reads"


@pytest.mark.parametrize("manifest", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_manifest_that_is_rubbish_is_told_as_such(manifest: bytes, parts: dict[str, bytes]) -> None:
    assert len(refused(archive(files({**parts, "manifest.json": manifest})))) == 1


@pytest.mark.parametrize("state", [{}, {"deployment": []}, {"deployment": {"resources": [{"urn": 1}]}}])
def test_a_state_that_the_engine_never_printed_is_told_as_such(state: dict[str, Any]) -> None:
    content, _ = packed(ABOUT, {"state.json": json.dumps(state).encode()})
    assert refused(content) == ["state.json in here.tar.gz is neither a bundle nor an export of the engine"]
