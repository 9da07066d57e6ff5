"""Data of the old project that the stack would leave behind."""

from __future__ import annotations

import base64
import json
import os
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent.docker.docker_api import PROJECT_LABEL
from slipway.agent.docker.facts import unnamed_volume
from slipway.agent.move.shared_data import data_of, data_of_service, shared
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.move.old_project import OldContainer

__all__ = ["LeftData", "check_left_data", "left_data", "seeds_of"]

_MANY = 10_000  # files of a folder that are looked at: what has more was not written by hand


class LeftData(NamedTuple):
    """One volume or folder of an old container that the service in its place does not have there."""

    words: str
    service: str
    """which takes the container's place; empty where none does"""
    used: bool
    """whether anything of the stack has it"""
    problem: Problem | None
    """why the service must not start without it"""


def check_left_data(starting: Collection[str], left: Iterable[LeftData]) -> None:
    """Refuse to start a service without the data that it has in the old project."""
    if found := [each.problem for each in left if each.problem and each.service in starting]:
        raise SlipwayError(found)


def left_data(
    compose: Mapping[str, Any],
    old: Sequence[OldContainer],
    *,
    api: DockerApi,
    seeds: Mapping[str, Collection[str]],
    trial: Mapping[str, Collection[str]],
) -> Iterator[LeftData]:
    """What the `old` containers write to and their successors do not.

    Whoever made the new place himself knows that he begins anew, and Compose, which made one for a trial, does not.
    `seeds` are the files that a release brings for a folder: a folder with no others holds no data. `trial` is which of
    the stack's own containers ran before it takes over, each with its data: nobody made such a folder for this.
    """
    stack = [data for name in compose["services"] for data in data_of_service(name, compose, api)]
    for each in old:
        details = api.container(each.id) or {}
        service = _successor(each, details, old, compose["services"])
        for mount in details.get("Mounts") or ():
            theirs, source = data_of({"Mounts": [mount]}, api), str(mount.get("Source") or "")
            if not theirs or shared(theirs, data_of_service(service, compose, api)):
                continue
            entries, file = _entries(mount, compose["services"].get(service) or {}), os.path.isfile(source)
            brought = [name for own in entries for name in seeds.get(_place(own, compose), ())]
            if entries if file else _holds_nothing(source, brought):
                continue
            empty = [own for own in entries if _begins_empty(mount, own, compose, api, trial)]
            problem = None
            if empty:
                place = _place(empty[0], compose)
                there = empty[0]["type"] == "volume" and bool(place) and api.volume(place) is not None
                users = _users(place, trial) if empty[0]["type"] == "bind" else ()
                problem = _elsewhere(service, each.name, mount, empty[0], place, there=there, users=users)
            if not entries and service and _is_kept(mount, details, api):
                problem = _nowhere(service, each.name, mount)
            words = f"{_called(mount)} ({_path(mount.get('Destination'))} of {each.name})"
            yield LeftData(words, service, bool(shared(theirs, stack)), None if file else problem)


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
    """The service in its place: of the same name, else the only new one of its image, or with data at the same path."""
    if old.service in services:
        return old.service
    new = sorted(services.keys() - {each.service for each in every})
    image = _image((details.get("Config") or {}).get("Image"))
    paths = {_path(each.get("Destination")) for each in details.get("Mounts") or () if each.get("Name")}
    same = [name for name in new if image and _image(services[name].get("image")) == image]
    same = same or [
        name for name in new if not paths.isdisjoint(_path(each["target"]) for each in _mounts(services[name]))
    ]
    return same[0] if len(same) == 1 else ""


def _mounts(service: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [each for each in service.get("volumes") or () if each.get("target")]


def _entries(mount: Mapping[str, Any], service: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What the service has at the mount's path, or else around and inside it."""
    path, mounts = _path(mount.get("Destination")), _mounts(service)
    return [each for each in mounts if _path(each["target"]) == path] or [
        each for each in mounts if shared([_path(each["target"])], [path])
    ]


def _users(place: str, trial: Mapping[str, Collection[str]]) -> list[str]:
    return [name for name, data in trial.items() if shared([os.path.realpath(place)], data)]


def _begins_empty(
    mount: Mapping[str, Any],
    own: Mapping[str, Any],
    compose: Mapping[str, Any],
    api: DockerApi,
    trial: Mapping[str, Collection[str]],
) -> bool:
    """Whether a service gets a place where the old container has data, and nobody made or chose that place by hand."""
    place, definition = _place(own, compose), (compose.get("volumes") or {}).get(str(own.get("source") or "")) or {}
    if own.get("type") not in ("volume", "bind") or own.get("read_only") or definition.get("external"):
        return False
    volume = api.volume(place) if place and own["type"] == "volume" else None
    by_hand = bool(volume) and PROJECT_LABEL not in ((volume or {}).get("Labels") or {})
    if own["type"] == "bind":
        by_hand = os.path.exists(place) and not _users(place, trial)
    if by_hand:
        return False
    inside = os.path.relpath(_path(own["target"]), _path(mount.get("Destination")))
    path = os.path.join(str(mount.get("Source") or ""), inside)
    return inside.startswith(".") or (os.path.exists(path) and not _holds_nothing(path, ()))


def _is_kept(mount: Mapping[str, Any], details: Mapping[str, Any], api: DockerApi) -> bool:
    """Whether it is named data at a path where the image says that data is."""
    image = (api.image(str(details.get("Image"))) or {}).get("Config") or {}
    kept = list(image.get("Volumes") or ())
    return not unnamed_volume(mount) and bool(shared([_path(mount.get("Destination"))], kept))


def _nowhere(service: str, old: str, mount: Mapping[str, Any]) -> Problem:
    path = _path(mount.get("Destination"))
    return Problem(
        f"{service} would start without the data of {old}, which is in the {_called(mount)} ({path})",
        "the Compose file mounts nothing there, where the image keeps its data, so nothing was started; to begin "
        "anew, mount a new volume there and make it first",
        _write(service, mount),
    )


def _elsewhere(
    service: str,
    old: str,
    mount: Mapping[str, Any],
    own: Mapping[str, Any],
    place: str,
    *,
    there: bool,
    users: Collection[str],
) -> Problem:
    path, bound, key = _path(mount.get("Destination")), own["type"] == "bind", str(own.get("source") or "")
    entry = f"adoptVolumes.{key}" if "." not in key else f'adoptVolumes["{key}"]'
    adopt = f"pulumi config set --path {shlex.quote(entry)} "
    make = f"mkdir -p {shlex.quote(place)}" if bound else f"docker volume create {shlex.quote(place)}"
    anew = f", or make the new one first to begin anew ({make})" if place else ""
    if there:
        anew = f", or adopt the new one to go on with what that has ({adopt}{shlex.quote(place)})"
    if users:
        anew = f", or go on with what that has, without its container of now (docker rm --force {' '.join(users)})"
    at = _path(own["target"])
    write = mount.get("Type") == "bind" or bound or not key or at != path
    return Problem(
        f"{service} would start without the data of {old}, which is in the {_called(mount, whole=True)} ({path})",
        f"the stack has {'a folder of its own' if bound else 'another volume'} "
        f"{'there' if at == path else f'at {at}'}, and the data would stay behind, so nothing was started; "
        f"keep it{anew}",
        _write(service, mount) if write else adopt + shlex.quote(str(mount.get("Name"))),
    )


def _write(service: str, mount: Mapping[str, Any]) -> str:
    data = mount.get("Source") if mount.get("Type") == "bind" else "data"
    return f"write `{data}:{_path(mount.get('Destination'))}` in services.{service}.volumes of the Compose file"


def _called(mount: Mapping[str, Any], *, whole: bool = False) -> str:
    """`volume old_data`, `folder /srv/data`; what Docker named has no name that says anything."""
    if unnamed_volume(mount) and not whole:
        return "unnamed volume"
    kind = "volume" if mount.get("Type") != "bind" else "file" if os.path.isfile(str(mount["Source"])) else "folder"
    return f"{kind} {mount.get('Name') or mount.get('Source')}"


def _place(own: Mapping[str, Any], compose: Mapping[str, Any]) -> str:
    """The name of a volume, or the path of a folder."""
    key = str(own.get("source") or "")
    definition = (compose.get("volumes") or {}).get(key) or {}
    return str(definition.get("name") or key).replace("$$", "$")


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
