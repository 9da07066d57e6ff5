"""Data of the old project that the stack would leave behind: at the same place in the same service, another source."""

from __future__ import annotations

import base64
import json
import os
import shlex
from typing import TYPE_CHECKING, Any

from slipway.agent.move.shared_data import data_of, data_of_service, shared
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.move.old_project import OldContainer

__all__ = ["check_left_data", "seeds_of"]

_MANY = 10_000  # files of a folder that are looked at: what has more was not written by hand


def check_left_data(
    compose: Mapping[str, Any],
    starting: Collection[str],
    old: Sequence[OldContainer],
    *,
    api: DockerApi,
    seeds: Mapping[str, Collection[str]],
) -> None:
    """Refuse to start a service without the data that it has in the old project.

    Whoever made the new place himself knows that he begins anew. `seeds` are the files that a release brings for a
    folder: a folder with no others holds no data.
    """
    found: list[Problem] = []
    for each in old:
        details = api.container(each.id) or {}
        service = _successor(each, details, old, compose["services"])
        if service in starting:
            found += _left(service, each.name, details, compose, api=api, seeds=seeds)
    if found:
        raise SlipwayError(found)


def seeds_of(files: Mapping[str, Mapping[str, Any]], folder: str) -> dict[str, set[str]]:
    """Data folder of the stack, by its path → the files that a release brings for it."""
    return {
        os.path.join(folder, inside): {str(each["path"]) for each in json.loads(base64.b64decode(entry["content"]))}
        for entry in files.values()
        for inside in entry.get("seeds") or ()
    }


def _successor(
    old: OldContainer, details: Mapping[str, Any], every: Sequence[OldContainer], services: Mapping[str, Any]
) -> str:
    """The service that takes its place: of the same name, or else the only new one of the same image."""
    if old.service in services:
        return old.service
    before, image = {each.service for each in every}, _image((details.get("Config") or {}).get("Image"))
    same = [name for name, each in services.items() if name not in before and _image(each.get("image")) == image]
    return same[0] if len(same) == 1 and image else ""


def _left(
    service: str,
    old: str,
    details: Mapping[str, Any],
    compose: Mapping[str, Any],
    *,
    api: DockerApi,
    seeds: Mapping[str, Collection[str]],
) -> Iterator[Problem]:
    for mount in details.get("Mounts") or ():
        target, theirs = _path(mount.get("Destination")), data_of({"Mounts": [mount]}, api)
        entries = compose["services"][service].get("volumes") or ()
        own: Mapping[str, Any] = next((each for each in entries if _path(each.get("target")) == target), {})
        if not theirs or own.get("type") not in ("volume", "bind") or own.get("read_only"):
            continue
        alone = {**compose, "services": {service: {"volumes": [own]}}}
        if shared(theirs, data_of_service(service, alone, api)):
            continue
        source, given = str(mount.get("Source") or ""), str(mount.get("Name") or mount.get("Source"))
        definition = (compose.get("volumes") or {}).get(str(own.get("source") or "")) or {}
        name = str(definition.get("name") or own.get("source") or "")
        place = name.replace("$$", "$")
        bound = own["type"] == "bind"
        if os.path.isfile(source) or _is_there(place, api, bound=bound) or _holds_nothing(source, seeds.get(place, ())):
            continue
        folder = mount.get("Type") == "bind"
        make = f"mkdir -p {shlex.quote(place)}" if bound else f"docker volume create {shlex.quote(place)}"
        anew = f", or make the new one first to begin anew ({make})" if place else ""
        key = str(own.get("source") or "")
        entry = f"adoptVolumes.{key}" if "." not in key else f'adoptVolumes["{key}"]'
        adopt = f"pulumi config set --path {shlex.quote(entry)} {shlex.quote(given)}"
        write = f"write `{given if folder else 'data'}:{target}` in services.{service}.volumes of the Compose file"
        yield Problem(
            f"{service} would start without the data of {old}, which is in the "
            f"{'folder' if folder else 'volume'} {given} ({target})",
            f"the stack has {'a folder of its own' if bound else 'another volume'} there, and the data would stay "
            f"behind, so nothing was started; keep it{anew}",
            write if folder or bound or not key else adopt,
        )


def _is_there(place: str, api: DockerApi, *, bound: bool) -> bool:
    return bool(place) and (os.path.exists(place) if bound else api.volume(place) is not None)


def _holds_nothing(folder: str, brought: Collection[str]) -> bool:
    """Whether all that an old folder has is brought by the release; what nobody but its owner may read is data."""
    seen = 0
    try:
        for path, _, files in os.walk(folder, onerror=_raise):
            for each in files:
                seen += 1
                if seen > _MANY or os.path.relpath(os.path.join(path, each), folder) not in brought:
                    return False
    except OSError:
        return False
    return True


def _raise(error: OSError) -> None:
    raise error


def _image(reference: object) -> str:
    """The last part of an image's name: mirrors and versions change, this does not."""
    return str(reference or "").partition("@")[0].rpartition("/")[2].partition(":")[0]


def _path(target: object) -> str:
    return os.path.normpath(str(target or ""))
