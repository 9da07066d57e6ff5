"""Removes releases that no rollback needs, with their files and images. Never a volume.

The release that was validated last stays however old it is: a failed deployment rolls back to it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent.docker.docker_api import DockerError
from slipway.agent.docker.pull import without_tag
from slipway.agent.state.atomic_files import remove_tree
from slipway.agent.state.stack_dir import StackFolder
from slipway.contract.host_paths import stacks_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.state.ledger import Ledger

__all__ = ["Choice", "choose", "images_of", "images_of_other_stacks", "prune", "remove_images"]


class Choice(NamedTuple):
    """What goes."""

    releases: tuple[str, ...]
    files: tuple[str, ...]
    images: tuple[str, ...]


def choose(
    kept_releases: Mapping[str, dict[str, Any]],
    proven: Sequence[str],
    retention: int,
    *,
    files: Collection[str],
    needed_elsewhere: Collection[str],
    besides: Collection[str] = (),
) -> Choice:
    """Keep the `retention` most recently proven releases and those `besides`.

    `proven` is newest first, so the live one is among them.
    """
    keep = [identifier for identifier in proven if identifier in kept_releases][:retention]
    keep += [identifier for identifier in besides if identifier in kept_releases and identifier not in keep]
    going = sorted(set(kept_releases) - set(keep))
    files_kept = {sha for identifier in keep for sha in kept_releases[identifier].get("files", {})}
    images_kept = {image for identifier in keep for image in images_of(kept_releases[identifier])}
    images = {image for identifier in going for image in images_of(kept_releases[identifier])}
    return Choice(
        tuple(going),
        tuple(sorted(set(files) - files_kept)),
        tuple(sorted(images - images_kept - set(needed_elsewhere))),
    )


def images_of(release: Mapping[str, Any]) -> set[str]:
    return {without_tag(str(image)) for image in release.get("images", {}).values()}


def images_of_other_stacks(stack: str) -> set[str]:
    """Images that kept releases of the other stacks on this host need."""
    try:
        others = [name for name in os.listdir(stacks_folder()) if name != stack]
    except OSError:
        return set()
    return {
        image for name in others for each in StackFolder(name).kept_releases().values() for image in images_of(each)
    }


def prune(folder: StackFolder, ledger: Ledger, retention: int, api: DockerApi) -> tuple[list[str], list[str]]:
    """Remove what no rollback needs; what was removed, and warnings."""
    validated = ledger.validated()
    try:
        files = os.listdir(folder.files)
    except OSError:
        files = []
    choice = choose(
        folder.kept_releases(),
        ledger.proven_releases(),
        retention,
        files=files,
        needed_elsewhere=images_of_other_stacks(folder.stack),
        besides=(validated.release,) if validated else (),
    )
    removed, warnings = remove_images(choice.images, api)
    for identifier in choice.releases:
        remove_tree(os.path.join(folder.releases, identifier))
        removed.insert(0, identifier)
    for sha in choice.files:
        remove_tree(os.path.join(folder.files, sha))
    return removed, warnings


def remove_images(images: Iterable[str], api: DockerApi) -> tuple[list[str], list[str]]:
    """Remove these images unless a container uses them; what was removed, and warnings."""
    removed, warnings = [], []
    images = tuple(images)
    used = {str(entry.get("ImageID")) for entry in api.containers()} if images else set()
    for image in images:
        details = api.image(image)
        if details is None or details.get("Id") in used:
            continue
        try:
            api.remove_image(image)
            removed.append(image)
        except DockerError as error:
            warnings.append(f"image {image} was not removed: {error.message}")
    return removed, warnings
