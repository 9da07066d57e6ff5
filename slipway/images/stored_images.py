"""What a repository of a registry holds: its tags, its manifests and how they hang together; and deleting one.

The requests are those of the OCI distribution specification 1.1. It lists tags alone, so of what has none only what a
tag, or who asks, leads to is found. Signatures and attestations name their image as `subject`, or are tagged
`sha256-HEX…` (the specification's "Referrers Tag Schema", and cosign's names).
"""

from __future__ import annotations

import hashlib
import json
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from slipway.images.registry_tags import Registry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ImageStore", "StoredImage", "held_with"]

_AT_ONCE = 8
_ATTACHED = re.compile(r"sha256-([0-9a-f]{64})(?:\..+)?")
_CONFIGURATION = re.compile(r"application/vnd\.(oci\.image\.config|docker\.container\.image)\.v1\+json")
_NEXT = re.compile(r'<([^>]*)>\s*;\s*rel="?next')


@dataclass(frozen=True, kw_only=True)
class StoredImage:
    """One manifest: an image, an index of several, a signature, an attestation."""

    digest: str
    tags: tuple[str, ...] = ()
    created: datetime | None = None
    """None where nothing says it."""
    children: tuple[str, ...] = ()
    """Digests of the manifests that an index lists."""
    about: tuple[str, ...] = ()
    """Digests of the images that it is attached to."""


class ImageStore(Registry):
    """One repository. Its methods raise OSError when the registry does not answer, or refuses."""

    actions = "pull,push,delete"

    def images(self, known: Iterable[str] = ()) -> dict[str, StoredImage]:
        """Digest → what it is, of everything that tags and the digests `known` lead to."""
        tags: dict[str, list[str]] = {}
        manifests: dict[str, Mapping[str, Any]] = {}
        wanted, asked = {*self._tags(), *known}, set[str]()
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            while wanted:
                order = sorted(wanted)
                asked |= wanted
                wanted = set()
                for reference, found in zip(order, pool.map(self._manifest, order), strict=True):
                    if found is None:  # deleted meanwhile, or long ago
                        continue
                    digest, manifest = found
                    manifests[digest] = manifest
                    wanted |= {*_children(manifest)} - asked
                    if reference != digest:
                        tags.setdefault(digest, []).append(reference)
                wanted -= {*manifests}
            dates = dict(zip(manifests, pool.map(self._created, manifests.values()), strict=True))
        return {
            digest: StoredImage(
                digest=digest,
                tags=tuple(tags.get(digest, ())),
                created=dates[digest] or max(filter(None, map(dates.get, _children(manifest))), default=None),
                children=_children(manifest),
                about=tuple(_about(manifest, tags.get(digest, ()))),
            )
            for digest, manifest in manifests.items()
        }

    def delete(self, digest: str) -> None:
        """Delete a manifest with all of its tags; one that is gone already is no error."""
        try:
            self._ask("DELETE", f"manifests/{digest}", None, {})
        except HTTPError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise

    def _tags(self) -> list[str]:
        found: list[str] = []
        path = "tags/list"
        while path:
            try:
                body, headers = self._ask("GET", path, None, {})
            except HTTPError as error:
                if error.code != HTTPStatus.NOT_FOUND:
                    raise
                break  # there is no such repository, or nothing is left in it
            found += json.loads(body).get("tags") or []
            following = _NEXT.search(headers.get("Link", ""))
            path = f"tags/list?{urlsplit(following[1]).query}" if following else ""
        return found

    def _manifest(self, reference: str) -> tuple[str, Mapping[str, Any]] | None:
        """Digest and content of what a tag or digest names; None without it."""
        try:
            content, _ = self.read(reference)
        except HTTPError as error:
            if error.code != HTTPStatus.NOT_FOUND:
                raise
            return None
        return f"sha256:{hashlib.sha256(content).hexdigest()}", json.loads(content)

    def _created(self, manifest: Mapping[str, Any]) -> datetime | None:
        configuration = manifest.get("config") or {}
        if not _CONFIGURATION.fullmatch(str(configuration.get("mediaType"))):
            return None
        content, _ = self._ask("GET", f"blobs/{configuration['digest']}", None, {})
        try:
            created = datetime.fromisoformat(json.loads(content)["created"])
        except (ValueError, KeyError, TypeError):
            return None
        return created if created.tzinfo else created.replace(tzinfo=UTC)


def held_with(images: Mapping[str, StoredImage], digests: Iterable[str]) -> set[str]:
    """These digests with all that they cannot be without: what their indexes list, and what is attached to them."""
    held: set[str] = set()
    more = {*digests} & {*images}
    while more:
        held |= more
        more = {child for digest in more for child in images[digest].children if child in images}
        more |= {digest for digest, image in images.items() if {*image.about} & held}
        more -= held
    return held


def _children(manifest: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(each["digest"]) for each in manifest.get("manifests") or ())


def _about(manifest: Mapping[str, Any], tags: Iterable[str]) -> Iterable[str]:
    if subject := manifest.get("subject"):
        yield str(subject["digest"])
    yield from (f"sha256:{named[1]}" for named in map(_ATTACHED.fullmatch, tags) if named)
