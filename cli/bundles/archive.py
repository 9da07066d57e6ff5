"""The form of a bundle: a gzipped tar of known files, each named with size and SHA-256 in its manifest.

Owns: making one, always the same bytes from the same parts, and taking one apart while trusting nothing in it. Does
not own: what the parts mean, or where a bundle lies (see `places`). The form is cli/contract/bundle.schema.json.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import io
import json
import re
import tarfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from cli.bundles.state import well_formed
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["CONTRACT", "LARGEST", "SUFFIX", "Bundle", "name_of", "names_of", "packed", "sha256_of", "unpacked"]

CONTRACT = 1
"""Version of the form; a change that a reader cannot ignore raises it."""
SUFFIX = ".slipway.tar.gz"
LARGEST = 256_000_000
"""Bytes that a bundle may hold; a hundred times what a large stack has, and what a machine has memory for."""

MANIFEST, STATE, RELEASE, STACK_FILE, TAGS = "manifest.json", "state.json", "release.json", "stack.yaml", "tags.json"
_PARTS = (STATE, RELEASE, STACK_FILE, TAGS)  # in this order
_SCHEMA = Path(__file__).resolve().parent.parent / "contract" / "bundle.schema.json"
_AGAIN = "fetch or copy it again, or take another bundle of the stack; it cannot be fixed"
_LESS = "nothing was brought back"


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle, or what `pulumi stack export` printed, as it was read."""

    state: Mapping[str, Any]
    """The state, as `pulumi stack export` prints it; secrets are encrypted."""
    release: Mapping[str, Any] | None
    """Document of the release that was deployed last (deployment.schema.json); None when not known."""
    manifest: Mapping[str, Any] | None = None
    """What the bundle says of itself (cli/contract/bundle.schema.json); None for a plain export."""
    stack_file: bytes | None = None
    """The stack's own file; None when it had none, and for a plain export."""
    tags: Mapping[str, str] = field(default_factory=dict)
    place: str = ""
    """Where it was read, as it may be shown."""
    sha256: str = ""
    """Of the whole file."""


def name_of(manifest: Mapping[str, Any], moment: str = "") -> str:
    """The name of a bundle's file: PROJECT-STACK-UPDATE-RELEASE, the last only if something was deployed.

    With `moment`, it is at the end: of the same update several can lie side by side.
    """
    words = [manifest["project"], manifest["stack"], str(manifest["update"]), manifest["release"], moment]
    return "-".join(word for word in words if word) + SUFFIX


def names_of(project: str, stack: str) -> re.Pattern[str]:
    """What the name of every bundle of this stack is like, and of no other stack."""
    return re.compile(
        rf"{re.escape(project)}-{re.escape(stack)}-\d+(-r-[0-9a-f]{{12}})?(-\d{{8}}T\d{{12}}Z)?{re.escape(SUFFIX)}"
    )


def sha256_of(content: bytes) -> str:
    """SHA-256 in hex digits."""
    return hashlib.sha256(content).hexdigest()


def packed(about: Mapping[str, Any], parts: Mapping[str, bytes]) -> tuple[bytes, dict[str, Any]]:
    """The bundle of `parts`, and its manifest: `about` with the parts' sizes and sums.

    Raises:
        SlipwayError: when it is larger than could be read again.
    """
    held = {name: parts[name] for name in _PARTS if name in parts}
    sums = {name: {"sha256": sha256_of(content), "size": len(content)} for name, content in held.items()}
    manifest = {**about, "parts": sums}
    head = (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()
    size = sum(map(len, held.values()), len(head))
    if size > LARGEST:
        raise SlipwayError(
            Problem(
                f"the stack's bundle would hold {size:,} bytes, {LARGEST:,} are allowed",
                "no bundle was made",
                "lower the setting retention, or move big configuration files into images",
            )
        )
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in {MANIFEST: head, **held}.items():
            member = tarfile.TarInfo(name)  # owner root, time 0: nothing of this machine
            member.size, member.mode = len(content), 0o600
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0), manifest


def unpacked(content: bytes, place: str) -> Bundle:
    """The bundle in `content`; `place` is what an error calls it.

    Raises:
        SlipwayError: when it is no bundle, or naming every part that is damaged, missing or does not belong there.
    """
    found, strangers = _members(content, place)
    if MANIFEST not in found:
        raise SlipwayError([*strangers, _no_bundle(place, f"there is no {MANIFEST} in it")])
    manifest = _manifest(found.pop(MANIFEST), place)
    if problems := [*strangers, *_damage(found, manifest["parts"], place)]:
        raise SlipwayError(problems)
    parts = {name: _json(name, part, place) for name, part in found.items() if name != STACK_FILE}
    if not well_formed(parts[STATE]):
        raise SlipwayError(Problem(f"{place}: {STATE} is no export of the engine", f"it is damaged; {_LESS}", _AGAIN))
    return Bundle(
        state=parts[STATE],
        release=parts.get(RELEASE),
        manifest=manifest,
        stack_file=found.get(STACK_FILE),
        tags=parts.get(TAGS, {}),
        place=place,
        sha256=sha256_of(content),
    )


def _members(content: bytes, place: str) -> tuple[dict[str, bytes], list[Problem]]:
    """The files of a bundle by name, and what else was in it. Nothing of it is written anywhere."""
    found: dict[str, bytes] = {}
    strangers = []
    try:
        with tarfile.open(fileobj=io.BytesIO(_inflated(content, place)), mode="r:") as archive:
            for member in archive:
                if member.name not in (MANIFEST, *_PARTS) or not _plain(member) or member.name in found:
                    strangers.append(_stranger(member, place))
                    continue
                opened = archive.extractfile(member)
                found[member.name] = opened.read() if opened else b""
    except (tarfile.TarError, ValueError) as error:
        raise SlipwayError(_no_bundle(place, f"not a tar archive: {error}")) from None
    return found, strangers


def _plain(member: tarfile.TarInfo) -> bool:
    """Whether it is an ordinary file; one with holes could claim any size."""
    return member.type == tarfile.REGTYPE and not member.issparse()


def _stranger(member: tarfile.TarInfo, place: str) -> Problem:
    kind = "which no bundle has"
    if member.name in (MANIFEST, *_PARTS):
        kind = "twice" if _plain(member) else "which is no ordinary file"
    return Problem(f"{place} holds {member.name[:80]!r}, {kind}", f"somebody changed it; {_LESS}", _AGAIN)


def _inflated(content: bytes, place: str) -> bytes:
    """`content` without its compression, at most LARGEST bytes of it: a few bytes can stand for many."""
    inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)  # 16: a gzip header and its checksum
    try:
        inflated = inflater.decompress(content, LARGEST + 1)
    except zlib.error as error:
        raise SlipwayError(_no_bundle(place, f"not gzip: {error}")) from None
    if len(inflated) > LARGEST:
        raise SlipwayError(Problem(f"{place} holds more than {LARGEST:,} bytes", f"no bundle does; {_LESS}", _AGAIN))
    if not inflater.eof or inflater.unused_data:
        more = "something follows its end" if inflater.eof else "its end is missing"
        raise SlipwayError(Problem(f"{place} is damaged: {more}", _LESS, _AGAIN))
    return inflated


@functools.cache
def _validator() -> Any:  # noqa: ANN401  # the library's class differs by draft
    return jsonschema_rs.validator_for({"$ref": "#/$defs/manifest", "$defs": json.loads(_SCHEMA.read_text())["$defs"]})


def _manifest(content: bytes, place: str) -> dict[str, Any]:
    manifest: dict[str, Any] = _json(MANIFEST, content, place)
    if manifest.get("contract", CONTRACT) != CONTRACT:
        raise SlipwayError(
            Problem(
                f"{place} has form {str(manifest['contract'])[:20]}, this Slipway reads form {CONTRACT}",
                f"it was made by another version of Slipway; {_LESS}",
                "take the version of Slipway that made it, or one near it (git log)",
            )
        )
    error = next(_validator().iter_errors(manifest), None)
    if error is not None:
        where = "/".join(str(part) for part in error.instance_path) or "the document"
        rule = "/".join(str(part) for part in error.schema_path)
        raise SlipwayError(Problem(f"{place}: {where} in {MANIFEST} breaks its form ({rule})", _LESS, _AGAIN))
    return manifest


def _damage(found: Mapping[str, bytes], expected: Mapping[str, Any], place: str) -> Iterator[Problem]:
    for name in _PARTS:
        told = expected.get(name)
        if told is None and name in found:
            yield Problem(f"{place}: {name} is not in {MANIFEST}", f"somebody added it; {_LESS}", _AGAIN)
        elif told is not None and name not in found:
            yield Problem(f"{place}: {name} is missing ({told['size']:,} bytes are promised)", _LESS, _AGAIN)
        elif told is not None and len(found[name]) != told["size"]:
            size, promised = len(found[name]), told["size"]
            yield Problem(
                f"{place}: {name} has {size:,} bytes, {promised:,} are promised", f"it is damaged; {_LESS}", _AGAIN
            )
        elif told is not None and (found_sum := sha256_of(found[name])) != told["sha256"]:
            yield Problem(
                f"{place}: {name} has SHA-256 {found_sum}, {told['sha256']} is promised",
                f"it is damaged; {_LESS}",
                _AGAIN,
            )


def _json(name: str, content: bytes, place: str) -> Any:  # noqa: ANN401  # whatever the JSON holds
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict):
        return found
    raise SlipwayError(Problem(f"{place}: {name} is not a JSON object", f"it is damaged; {_LESS}", _AGAIN))


def _no_bundle(place: str, why: str) -> Problem:
    return Problem(
        f"{place} is no bundle ({why})",
        _LESS,
        "give a file that slipway export or pulumi stack export made",
    )
