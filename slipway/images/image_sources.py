"""Where each service's image comes from: a build of its own, one that it shares, or the setting `images`."""

from __future__ import annotations

import os
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from slipway.contract.canonical import canonical
from slipway.contract.problems import Problem, SlipwayError
from slipway.settings.registry_names import without_tag

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from slipway.compose.application import Application, Build
    from slipway.settings.model import Settings

__all__ = ["build_owners", "content_key", "given_images", "kept_name", "relative", "with_bases"]

_BY_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")


def given_images(settings: Settings, application: Application) -> dict[str, str]:
    """Service → image by digest that the setting `images` names, for services that are not built.

    Raises:
        SlipwayError: when the setting does not fit the application.
    """
    given = settings.images
    if not given:
        return {}
    fix = "name exactly the services that have a build, as `slipway promote` does"
    if wrong := [*_wrong(given, application)]:
        raise SlipwayError(
            [Problem(f"images.{name}: {what}", "it is not known what would run", fix) for name, what in wrong]
        )
    return {name: image for name, image in given.items() if name in application.images}


def _wrong(given: Mapping[str, str], application: Application) -> Iterator[tuple[str, str]]:
    for name in sorted(given.keys() - application.builds.keys() - application.images.keys()):
        yield name, "no service has that name"
    for name in sorted(application.builds.keys() - given.keys()):
        yield name, "the service has a build, and no image is given for it"
    for name, image in given.items():
        if not _BY_DIGEST.fullmatch(image):
            yield name, "is not an image by digest (NAME@sha256:…)"


def build_owners(builds: Mapping[str, Build], live: Mapping[str, str] | None = None) -> dict[str, str]:
    """Service → the one service among those with an equal build whose repository the image is pushed to.

    The one whose repository the `live` images are in, so that a new service renames nobody's image; then one that has
    the section itself before those that name its image; then the first by name.
    """
    groups: dict[bytes, list[str]] = {}
    for service, build in sorted(builds.items(), key=lambda item: (item[1].shared, item[0])):
        groups.setdefault(content_key(build), []).append(service)
    owners = {}
    for group in groups.values():
        known = {without_tag(live[service]).partition("@")[0] for service in group if live and service in live}
        owner = next((service for service in group if builds[service].repository in known), group[0])
        owners.update(dict.fromkeys(group, owner))
    return owners


def content_key(build: Build) -> bytes:
    """Equal for builds that make one image."""
    return canonical(asdict(build.content))


def with_bases(builds: Iterable[Build]) -> Iterator[Build]:
    """The builds, and those whose images they are built upon."""
    for build in builds:
        yield build
        yield from with_bases(build.bases.values())


def kept_name(image: str, live: str, registry: str) -> str:
    """`live`, where a built `image` is the same one of the same registry under another name: a name replaces nothing.

    A service is renamed to another one's image when that one's build, which it shared, changes or goes.
    """
    same = image.partition("@")[2] == live.partition("@")[2] and live.startswith(f"{registry}/")
    return live if same and without_tag(image) != without_tag(live) else image


def relative(path: str) -> str:
    """A path below the program's folder relative to it, so that another machine's state looks the same."""
    return os.path.relpath(path, Path.cwd()) if Path(path).is_absolute() else path
