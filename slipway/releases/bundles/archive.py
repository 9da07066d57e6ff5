"""The form of a bundle: a gzipped tar of known files, each named with size and SHA-256 in its manifest."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from slipway.contract.problems import Problem, SlipwayError
from slipway.releases.bundles.state import Owner, owner_of, state_in

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["CONTRACT", "SUFFIX", "Bundle", "name_of", "packed", "sha256_of", "unpacked"]

CONTRACT = 1
"""Version of the form; a change that a reader cannot ignore raises it."""
SUFFIX = ".slipway.tar.gz"

MANIFEST, STATE, RELEASE, STACK_FILE, TAGS = "manifest.json", "state.json", "release.json", "stack.yaml", "tags.json"
_SCHEMA = Path(__file__).resolve().parents[2] / "cli" / "schemas" / "bundle.schema.json"
_AGAIN = "copy it again, or take another bundle of the stack"
_LARGEST_MB = 512  # decompressed; a state of 10,000 resources takes about 30


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle as it was read, or a plain `pulumi stack export`, which has neither manifest nor stack file."""

    state: Mapping[str, Any]
    """As `pulumi stack export` prints it; secrets are encrypted."""
    release: Mapping[str, Any] | None
    """Document of the release that was live (slipway/contract/schemas/deployment.schema.json); None when not known."""
    manifest: Mapping[str, Any] | None = None
    """What the bundle says of itself (slipway/cli/schemas/bundle.schema.json)."""
    stack_file: bytes | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    place: str = ""
    """Where it was read from, without credentials."""

    @property
    def owner(self) -> Owner | None:
        """Whose stack it is; None for a plain export without resources."""
        return Owner(self.manifest["stack"], self.manifest["project"]) if self.manifest else owner_of(self.state)


def name_of(manifest: Mapping[str, Any]) -> str:
    """The name of a bundle's file: PROJECT-STACK-UPDATE-RELEASE, the last only if something was deployed."""
    words = [manifest["project"], manifest["stack"], str(manifest["update"]), manifest["release"]]
    return "-".join(word for word in words if word) + SUFFIX


def sha256_of(content: bytes) -> str:
    """SHA-256 in hex digits."""
    return hashlib.sha256(content).hexdigest()


def packed(about: Mapping[str, Any], parts: Mapping[str, bytes]) -> tuple[bytes, dict[str, Any]]:
    """The bundle of `parts`, always the same bytes of the same ones, and its manifest: `about` with sizes and sums."""
    sums = {name: {"sha256": sha256_of(content), "size": len(content)} for name, content in parts.items()}
    manifest = {**about, "parts": sums}
    head = (json.dumps(manifest, indent=2, ensure_ascii=False) + "\n").encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in {MANIFEST: head, **parts}.items():
            member = tarfile.TarInfo(name)  # owner root, time 0: nothing of this machine
            member.size, member.mode = len(content), 0o600
            archive.addfile(member, io.BytesIO(content))
    return gzip.compress(buffer.getvalue(), mtime=0), manifest


def unpacked(content: bytes, place: str) -> Bundle:
    """The bundle in `content`, from `place`. Raises `SlipwayError` naming all that is damaged, missing or was added."""
    try:
        with gzip.open(io.BytesIO(content)) as file:
            plain = file.read(_LARGEST_MB * 2**20 + 1)
        if len(plain) > _LARGEST_MB * 2**20:
            what = f"{place} holds more than {_LARGEST_MB} MB, which no bundle does"
            raise SlipwayError(what, "it would fill the memory; nothing was changed", _AGAIN)
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            opened = {member.name: archive.extractfile(member) for member in archive}
            found = {name: file.read() if file else b"" for name, file in opened.items()}
        manifest = json.loads(found.pop(MANIFEST))
    except (OSError, EOFError, zlib.error, tarfile.TarError, KeyError, ValueError, RecursionError) as error:
        what = f"{place} is damaged or no bundle ({type(error).__name__}: {' '.join(str(error).split())[:100]})"
        raise SlipwayError(what, "nothing was changed", _AGAIN) from None
    about = {"$ref": "#/$defs/manifest", "$defs": json.loads(_SCHEMA.read_text())["$defs"]}
    if not jsonschema_rs.is_valid(about, manifest):
        raise SlipwayError(
            f"{place}: {MANIFEST} is not as in form {CONTRACT}, which this Slipway reads",
            "another version of Slipway made it, or it was edited; nothing was changed",
            "take the version of Slipway that made it, or another bundle of the stack",
        )
    problems = [
        Problem(f"{place}: {name!r} is not what {MANIFEST} promises", "it is damaged; nothing was changed", _AGAIN)
        for name in sorted({*found, *manifest["parts"]})
        if name not in found or sha256_of(found[name]) != manifest["parts"].get(name, {}).get("sha256")
    ]
    if problems:
        raise SlipwayError(problems)
    return Bundle(
        state=state_in(found[STATE], f"{STATE} in {place}"),
        release=json.loads(found[RELEASE]) if RELEASE in found else None,
        manifest=manifest,
        stack_file=found.get(STACK_FILE),
        tags=json.loads(found.get(TAGS, b"{}")),
        place=place,
    )
