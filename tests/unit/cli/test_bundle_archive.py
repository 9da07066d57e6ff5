"""The form of a bundle: the same bytes from the same parts, and nothing that is not as promised gets in."""

import gzip
import io
import json
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from cli.bundles.archive import Bundle, name_of, names_of, packed, sha256_of, unpacked
from slipway.contract.problems import SlipwayError

SCHEMA = json.loads((Path(__file__).parents[3] / "cli/contract/bundle.schema.json").read_text())
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
        sha256=sha256_of(content),
    )
    assert manifest == {**ABOUT, "parts": manifest["parts"]}
    assert manifest["parts"]["stack.yaml"] == {"sha256": sha256_of(PARTS["stack.yaml"]), "size": 23}


def test_the_same_parts_give_the_same_bytes_in_whatever_order_they_come() -> None:
    content, _ = packed(ABOUT, PARTS)
    assert packed(ABOUT, dict(sorted(PARTS.items())))[0] == content
    assert packed({**ABOUT, "update": 13}, PARTS)[0] != content
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        members = tar.getmembers()
    assert [each.name for each in members] == [
        "manifest.json", "state.json", "release.json", "stack.yaml", "tags.json",
    ]  # fmt: skip
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


def test_names_tell_a_stacks_bundles_from_those_of_stacks_with_similar_names() -> None:
    mine = names_of("slipway", "a")
    assert mine.fullmatch(name_of({**ABOUT, "stack": "a"}))
    assert mine.fullmatch(name_of({**ABOUT, "stack": "a", "release": None}))
    assert not mine.fullmatch(name_of({**ABOUT, "stack": "a-1"}))
    assert not mine.fullmatch(name_of({**ABOUT, "stack": "a-1", "release": None}))
    assert not mine.fullmatch(name_of({**ABOUT, "stack": "b"}))
    assert not names_of("slipway", "a.b").fullmatch(name_of({**ABOUT, "stack": "aXb"}))


def test_every_damaged_part_is_named_with_what_was_expected_and_found(parts: dict[str, bytes]) -> None:
    parts["state.json"] += b" "
    parts["tags.json"] = b'{"team": "hack"}'
    del parts["release.json"]
    size, missing, content = refused(archive(files(parts)))
    assert (
        size == f"here.tar.gz: state.json has {len(parts['state.json'])} bytes, {len(PARTS['state.json'])} are promised"
    )
    assert missing == f"here.tar.gz: release.json is missing ({len(PARTS['release.json'])} bytes are promised)"
    assert content == (
        f"here.tar.gz: tags.json has SHA-256 {sha256_of(parts['tags.json'])}, "
        f"{sha256_of(PARTS['tags.json'])} is promised"
    )


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "./state.json", "state.json/../x", "other.json", "\x1b[2J"]
)
def test_a_file_that_no_bundle_has_is_refused_and_written_nowhere(name: str, parts: dict[str, bytes]) -> None:
    [what] = refused(archive(files({**parts, name: b"root::0:0"})))
    assert what == f"here.tar.gz holds {name!r}, which no bundle has"


def _link(name: str, kind: bytes) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, "/etc/shadow"
    return member


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_a_part_that_is_no_ordinary_file_is_refused(kind: bytes, parts: dict[str, bytes]) -> None:
    del parts["stack.yaml"]
    whats = refused(archive([*files(parts), (_link("stack.yaml", kind), b"")]))
    assert whats[0] == "here.tar.gz holds 'stack.yaml', which is no ordinary file"


def test_a_part_that_claims_to_have_holes_is_refused_before_it_is_read() -> None:
    sparse = tarfile.TarInfo("state.json")
    sparse.pax_headers = {"GNU.sparse.major": "0", "GNU.sparse.minor": "1", "GNU.sparse.name": "state.json",
                          "GNU.sparse.size": str(10**15), "GNU.sparse.map": "0,1"}  # fmt: skip
    sparse.size = 1
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(sparse, io.BytesIO(b"x"))
    whats = refused(gzip.compress(buffer.getvalue()))
    assert whats[0] == "here.tar.gz holds 'state.json', which is no ordinary file"


def test_a_part_that_is_there_twice_is_refused(parts: dict[str, bytes]) -> None:
    whats = refused(archive([*files(parts), *files({"state.json": parts["state.json"]})]))
    assert whats == ["here.tar.gz holds 'state.json', twice"]


def test_few_bytes_that_stand_for_many_are_refused_without_being_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.bundles.archive.LARGEST", 1_000_000)
    bomb = gzip.compress(bytes(20_000_000))
    assert len(bomb) < 100_000
    tracemalloc.start()
    try:
        assert refused(bomb) == ["here.tar.gz holds more than 1,000,000 bytes"]
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_stack_that_could_not_be_read_again_is_not_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.bundles.archive.LARGEST", 500)
    with pytest.raises(SlipwayError, match="are allowed"):
        packed(ABOUT, PARTS)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda content: content[:-9], "here.tar.gz is damaged: its end is missing"),
        (lambda content: content + b"more", "here.tar.gz is damaged: something follows its end"),
        (lambda content: content[:40] + bytes(9) + content[49:], "here.tar.gz is no bundle (not gzip: "),
        (lambda _: gzip.compress(b"not a tar" * 100), "here.tar.gz is no bundle (not a tar archive: "),
        (lambda _: gzip.compress(b""), "here.tar.gz is no bundle (not a tar archive: "),
        (lambda _: archive([]), "here.tar.gz is no bundle (there is no manifest.json in it)"),
    ],
)
def test_a_damaged_file_is_told_as_such(spoil: Callable[[bytes], bytes], told: str) -> None:
    [what] = refused(spoil(packed(ABOUT, PARTS)[0]))
    assert what.startswith(told)


def test_no_single_wrong_byte_gets_through() -> None:
    good = packed(ABOUT, PARTS)[0]
    places = [at for at in range(len(good)) if at not in range(4, 10)]  # time and system in gzip's header: not kept
    for at in places:
        assert refused(good[:at] + bytes([good[at] ^ 0xFF]) + good[at + 1 :]), at


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"contract": 2}, "here.tar.gz has form 2, this Slipway reads form 1"),
        ({"stack": "../x"}, "here.tar.gz: stack in manifest.json breaks its form ("),
        ({"parts": {}}, "here.tar.gz: parts in manifest.json breaks its form ("),
        ({"update": "12"}, "here.tar.gz: update in manifest.json breaks its form ("),
        ({"more": 1}, "here.tar.gz: the document in manifest.json breaks its form ("),
    ],
)
def test_a_manifest_of_another_form_is_told_as_such(change: dict[str, Any], told: str, parts: dict[str, bytes]) -> None:
    parts["manifest.json"] = json.dumps({**json.loads(parts["manifest.json"]), **change}).encode()
    [what] = refused(archive(files(parts)))
    assert what.startswith(told)


@pytest.mark.parametrize("manifest", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_manifest_that_is_rubbish_is_told_as_such(manifest: bytes, parts: dict[str, bytes]) -> None:
    assert refused(archive(files({**parts, "manifest.json": manifest}))) == [
        "here.tar.gz: manifest.json is not a JSON object"
    ]


@pytest.mark.parametrize("state", [{}, {"deployment": []}, {"deployment": {"resources": [{"urn": 1}]}}])
def test_a_state_that_the_engine_never_printed_is_told_as_such(state: dict[str, Any]) -> None:
    content, _ = packed(ABOUT, {"state.json": json.dumps(state).encode()})
    assert refused(content) == ["here.tar.gz: state.json is no export of the engine"]
