"""Which data of the host a container writes to, and whether two write to the same.

Data is a volume by its name, and a place by its path without links, or by its inode where it has two paths; a volume
that is a folder or a share is both.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from slipway.agent.docker.docker_api import DockerApi

__all__ = ["WHOLE_DISKS", "data_of", "data_of_service", "shared", "within", "without_tools"]

_OF_THE_KERNEL = ("/dev", "/proc", "/run", "/sys")  # not data, such as Docker's own socket
_FILES_OF_THE_SYSTEM = ("/etc", "/usr")  # such as /etc/localtime, which many mount and nobody writes to
_OF_THE_SYSTEM = ("/boot", "/etc/pki", "/etc/ssl", "/lib", "/usr/lib", "/usr/share")  # such as kernel modules
WHOLE_DISKS = ("/home", "/mnt", "/opt", "/srv")  # also of one's own, such as a disk for a database
_OF_ALL = (*WHOLE_DISKS, "/tmp", "/var/log", "/var/tmp")  # noqa: S108  # compared, not used


def data_of(details: Mapping[str, Any], api: DockerApi) -> tuple[str, ...]:
    """What a container, listed or inspected, may write to."""
    found: list[str] = []
    for each in details.get("Mounts") or ():
        if each.get("RW", True) and each.get("Name"):
            found += _volume(str(each["Name"]), api.volume(str(each["Name"])) or {})
        elif each.get("RW", True) and each.get("Type") == "bind":
            found += _place(str(each.get("Source")))
    return tuple(dict.fromkeys(found))


def data_of_service(
    name: str, compose: Mapping[str, Any], api: DockerApi, *, adopted: bool = False, external: bool = True
) -> tuple[str, ...]:
    """What a service of a rendered Compose file may write to; `adopted`: of that the adopted volumes.

    Without `external`, what the file declares as such, as adopted volumes are, is left out.
    """
    service = compose["services"].get(name) or {}
    found: list[str] = []
    for each in service.get("volumes") or ():
        source = str(each.get("source") or "")
        if not source or each.get("read_only"):
            continue
        definition = (compose.get("volumes") or {}).get(source) or {}
        wanted = definition.get("x-adopted") if adopted else external or not definition.get("external")
        if each.get("type") == "volume" and wanted:
            called = str(definition.get("name") or source)
            found += _volume(called, api.volume(called) or {"Options": definition.get("driver_opts")})
        elif each.get("type") == "bind" and not adopted:
            found += _place(source)
    for other, _, how in (str(each).partition(":") for each in service.get("volumes_from") or ()):
        if other != name and how != "ro":
            found += data_of_service(other, compose, api, adopted=adopted, external=external)
    return tuple(dict.fromkeys(found))


def without_tools(data: Iterable[str], engine: str) -> list[str]:
    """Of `data` what is not the whole machine's, nor the engine's own, whose folder `engine` is.

    Who has such a place, to collect logs or to look after Docker, works on no data of what lies there.
    """
    engine = os.path.realpath(engine)
    return [
        each
        for each in data
        if each not in _OF_ALL
        and not within([engine], [each])
        and (each.startswith(f"{engine}/volumes/") or not within([each], [engine]))
    ]


def shared(one: Collection[str], other: Collection[str]) -> list[str]:
    """What of `one` the other writes to as well, in words: volumes by name, or else folders."""
    found = sorted({*within(one, other), *(each for each in one if within(other, [each]))})
    return [each for each in found if not os.path.isabs(each)] or found


def within(inner: Collection[str], outer: Collection[str]) -> list[str]:
    """What of `inner` is of `outer`, or inside of it."""
    return [each for each in inner if any(_inside(each, whole) for whole in outer)]


def _inside(path: str, whole: str) -> bool:
    if not (os.path.isabs(path) and os.path.isabs(whole)):
        return path == whole
    return os.path.commonpath((path, whole)) == whole or any(
        _same(each, whole) for each in itertools.accumulate(path.split("/")[1:], "{}/{}".format, initial="")
    )


def _same(one: str, other: str) -> bool:
    """Whether two paths are one place, as with a folder that is mounted twice or a file of two names."""
    with contextlib.suppress(OSError):
        return os.path.samefile(one or "/", other)
    return False


def _volume(name: str, found: Mapping[str, Any]) -> Iterator[str]:
    """A volume's name, and what is behind it."""
    yield name
    options = {str(key): str(value) for key, value in (found.get("Options") or {}).items()}
    device, kind = options.get("device", ""), options.get("type", "none")
    flags = options.get("o", "").split(",")
    if kind in ("none", "bind", "") and device:
        yield from _place(device)
    elif device and kind != "tmpfs":  # a share: the same under whatever name
        address = next((each for each in flags if each.startswith("addr=")), "")
        yield f"{kind.rstrip('4')} {address} {device.rstrip('/')}"
    elif found.get("Mountpoint"):
        yield from _place(str(found["Mountpoint"]))


def _place(path: str) -> Iterator[str]:
    real = os.path.realpath(path)
    system = within([real], (*_OF_THE_SYSTEM, *(_FILES_OF_THE_SYSTEM if os.path.isfile(real) else ())))
    data = not os.path.exists(real) or os.path.isdir(real) or os.path.isfile(real)
    if data and not system and not within([real], _OF_THE_KERNEL):
        yield real
