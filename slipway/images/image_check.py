"""Whether a release's images can still be pulled."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.error import HTTPError

from slipway.contract.http_answers import WAY_OUT
from slipway.contract.problems import Problem
from slipway.images.registry_tags import Registry
from slipway.settings.registry_names import address_of, mirrored, without_tag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.settings.model import Settings

__all__ = ["missing_images"]

_AT_ONCE = 8


def missing_images(images: Mapping[str, str], settings: Settings) -> list[Problem]:
    """What keeps hosts from pulling these images (service → image by digest or tag); nothing when all are there."""
    services: dict[str, list[str]] = {}
    for service, image in sorted(images.items()):
        services.setdefault(image, []).append(service)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = pool.map(lambda image: _look(image, services[image], settings), services)
        return [problem for problem in found if problem]


def _look(image: str, services: list[str], settings: Settings) -> Problem | None:
    name, _, digest = image.partition("@")
    repository = mirrored(without_tag(name), "docker.io")
    digest = digest or name.removeprefix(without_tag(name)).lstrip(":") or "latest"
    own = address_of(repository) == address_of(settings.registry)
    who = ", ".join(services)
    try:
        if Registry(repository, settings.registry_login() if own else {}).has(digest):
            return None
    except HTTPError as error:
        limit = error.code == HTTPStatus.TOO_MANY_REQUESTS
        said = "refuses more requests for now (rate limit)" if limit else f"answered {error.code} for {digest[:19]}"
        what = f"the registry of {who} ({address_of(repository)}) {said}"
        fix = WAY_OUT if limit else "check registryUsername, registryPassword"
        return Problem(what, "it is not known whether hosts could pull it", fix)
    except (OSError, ValueError, KeyError) as error:
        reason = getattr(error, "reason", error)
        what = f"the registry of {who} ({address_of(repository)}) does not answer ({reason})"
        return Problem(what, "it is not known whether hosts could pull it", "run it again when the registry answers")
    return Problem(
        f"the image of {who}, {f'{repository}@{digest[:19]}…, is gone from' if '@' in image else f'{name}, is not in'} "
        "its registry",
        "hosts could not pull it; another release may have its images, or that commit is built again",
        "slipway history",
    )
