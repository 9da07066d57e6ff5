"""What goes from a registry, and deleting it: an index before what it lists, an image before what is attached to it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.error import HTTPError

from slipway.contract.problems import Problem, SlipwayError
from slipway.images.stored_images import ImageStore, StoredImage, held_with
from slipway.releases.pruning.github_packages import GITHUB, GitHubImageStore
from slipway.settings.registry_names import address_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from slipway.releases.pruning.needs import Needs

__all__ = ["Pruning", "carry_out", "planned"]

_CACHE = "buildcache"  # slipway/images/build_cache.py
_REFUSED = (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN)


@dataclass(frozen=True, kw_only=True)
class Pruning:
    """What one repository holds, and what of it goes."""

    repository: str
    store: ImageStore
    images: Mapping[str, StoredImage]
    gone: Sequence[StoredImage]
    """In the order in which it is deleted."""


def planned(needs: Needs, environment: Mapping[str, str], *, days: int, keep_tags: Sequence[str] = ()) -> list[Pruning]:
    """What goes from every repository; changes nothing. Raises `SlipwayError` when one cannot be read.

    It stays what `needs` has, what is tagged as a stack's, as a build cache or by one of the patterns `keep_tags`, what
    is younger than `days`, and all that any of these cannot be without.
    """
    found = []
    for repository, settings in needs.repositories.items():
        login = settings.registry_login()
        store = ImageStore(repository, login)
        if address_of(repository) == GITHUB:
            store = GitHubImageStore(repository, login, environment)
        try:
            images = store.images(needs.named(repository))
        except (OSError, ValueError, KeyError, TypeError) as error:
            meaning = "it is not known what is there, so nothing was deleted"
            raise SlipwayError([_problem(repository, error, meaning)]) from None
        patterns, since = [*needs.tags, _CACHE, *keep_tags], datetime.now(UTC) - timedelta(days=days)
        held = held_with(images, [each.digest for each in images.values() if _stays(each, needs, patterns, since)])
        gone = [image for digest, image in images.items() if digest not in held]
        found.append(Pruning(repository=repository, store=store, images=images, gone=sorted(gone, key=_order)))
    return found


def carry_out(pruning: Pruning) -> Iterator[Problem]:
    """Delete; what the registry refuses stays, with all that it cannot be without, and is a problem."""
    refused: set[str] = set()
    for image in pruning.gone:
        if image.digest in held_with(pruning.images, refused):
            continue
        try:
            pruning.store.delete(image.digest)
        except SlipwayError as error:
            refused.add(image.digest)
            yield from error.problems
        except OSError as error:
            refused.add(image.digest)
            yield _problem(f"{pruning.repository}@{image.digest[:19]}", error, "it was not deleted")


def _stays(image: StoredImage, needs: Needs, patterns: Sequence[str], since: datetime) -> bool:
    young = image.created is not None and image.created > since
    return (
        young
        or image.digest in needs.digests
        or any(fnmatchcase(tag, pattern) for tag in image.tags for pattern in patterns)
    )


def _order(image: StoredImage) -> tuple[bool, bool, datetime, str]:
    oldest = image.created or datetime.min.replace(tzinfo=UTC)
    return bool(image.about), not image.children, oldest, image.digest


def _problem(where: str, error: Exception, meaning: str) -> Problem:
    if isinstance(error, HTTPError) and error.code in _REFUSED:
        fix = "check registryUsername and registryPassword: they need the right to delete"
        return Problem(f"the registry refuses the credentials for {where}", meaning, fix)
    if isinstance(error, HTTPError) and error.code == HTTPStatus.METHOD_NOT_ALLOWED:
        fix = "allow it there (Docker's own registry: REGISTRY_STORAGE_DELETE_ENABLED=true), or use its clean-up rules"
        return Problem(f"the registry lets nobody delete {where}", meaning, fix)
    said = f"answered {error.code}" if isinstance(error, HTTPError) else getattr(error, "reason", error)
    return Problem(f"the registry of {where}: {said}", meaning, "slipway prune")
