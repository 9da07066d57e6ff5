"""Tags for images that a registry has already and that keep their digests; no tag is moved from one to another."""

from __future__ import annotations

import hashlib
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.error import HTTPError

from slipway.contract.problems import Problem, SlipwayError
from slipway.images.registry_tags import Registry
from slipway.settings.registry_names import without_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["tag_images"]


def tag_images(images: Iterable[str], tag: str, login: Mapping[str, str]) -> list[str]:
    """Have every image (by digest) be tagged; those that were not yet. All are looked at before any is tagged.

    Raises `SlipwayError` when one is not there, or the tag is another's.
    """
    missing, problems = [], list[Problem]()
    for repository, _, digest in sorted({without_tag(image).partition("@") for image in images}):
        registry, name = Registry(repository, dict(login)), f"{repository}:{tag}"
        try:
            content, kind = registry.read(digest)
            there = _digest(registry.read(tag)[0]) if registry.has(tag) else ""
        except (OSError, ValueError, KeyError) as error:
            problems.append(_problem(name, error))
            continue
        if there and there != digest:
            problems.append(
                Problem(
                    f"{name} is {there[:19]} already, not {digest[:19]}",
                    "a version is one image for good, so nothing was tagged",
                    "take the next version",
                )
            )
        elif not there:
            missing.append((registry, name, content, kind))
    if problems:
        raise SlipwayError(problems)
    for registry, name, content, kind in missing:
        try:
            registry.write(tag, content, kind)
        except (OSError, ValueError, KeyError) as error:
            raise SlipwayError([_problem(name, error)]) from None
    return [name for _, name, _, _ in missing]


def _digest(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _problem(name: str, error: Exception) -> Problem:
    said = f"answered {error.code}" if isinstance(error, HTTPError) else getattr(error, "reason", error)
    if isinstance(error, HTTPError) and error.code == HTTPStatus.NOT_FOUND:
        return Problem(
            f"the registry of {name} does not have the image that runs",
            "it was deleted there, or registryUsername may not see it; it could not be tagged",
            "deploy again, validate, then run it again",
        )
    return Problem(
        f"the registry of {name}: {said}",
        "it could not be tagged",
        "check the registry, registryUsername and registryPassword, then run it again",
    )
