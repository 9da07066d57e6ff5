"""A Compose project that runs on a host, read over SSH with Docker's own commands: nothing is left there or changed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import posixpath
import re
import shlex
import signal
import subprocess
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from slipway.contract.problems import Problem, SlipwayError, in_brief
from slipway.contract.published_ports import held_ports
from slipway.hosts.connection import for_any_shell
from slipway.settings.model import LOCAL_ADDRESS
from slipway.settings.spelling import nearest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["EDGE_PORTS", "OldMount", "OldService", "RunningProject", "read_project", "ssh_command", "ssh_target"]

EDGE_PORTS = (80, 443)
"""The ports that the edge has unless the stack says otherwise."""
_SECONDS = 60
_PROJECT = re.compile("[a-z0-9][a-z0-9_-]*")  # as Compose and Docker name them: of a host, nothing is certain
_VOLUME = re.compile("[a-zA-Z0-9][a-zA-Z0-9_.-]*")
_LABEL = "com.docker.compose."
_WORDS = {"command": "Cmd", "entrypoint": "Entrypoint"}
_MOST_OF_ENV = 1_000_000  # bytes: Linux hands a program no more than twice that
_MOST = 64_000_000  # bytes: 1,000 containers with all that Docker knows of them
_STACK, _EDGE = "dev.slipway.stack", "dev.slipway.edge"  # labels of what Slipway itself runs
_UNIT = "\x1f"  # between the parts of the answer: no JSON or text file has it
# Containers, networks, images, services that ended, then the folder's `.env`, one part each; start-up files may print
# something before.
_SCRIPT = f"""
printf '\\037'
ids=$(docker ps --quiet --no-trunc) || exit 3
[ -z "$ids" ] && echo '[]' || docker inspect $ids || exit 3
[ -z "$ids" ] || images=$(docker inspect --format '{{{{.Image}}}}' $ids | sort -u)
printf '\\037'
ids=$(docker network ls --quiet --filter label={_LABEL}project) || exit 3
[ -z "$ids" ] && echo '[]' || docker network inspect $ids
printf '\\037'
[ -z "$images" ] && echo '[]' || docker image inspect $images
printf '\\037'
docker ps --all --filter status=exited --filter label={_LABEL}oneoff=False \
  --format '{{{{.Label "{_LABEL}project"}}}}/{{{{.Label "{_LABEL}service"}}}}'
printf '\\037'
folder=$1
[ -n "$folder" ] || folder=$(docker ps --filter "label={_LABEL}project=$2" \
  --format '{{{{.Label "{_LABEL}project.working_dir"}}}}' | head -n 1)
[ -n "$folder" ] && [ -f "$folder/.env" ] && head -c {_MOST_OF_ENV + 1} < "$folder/.env" 2>/dev/null
:
"""


@dataclass(frozen=True, kw_only=True)
class OldMount:
    """A volume (by name) or folder of the host (by path) that a container of the project has at `target`."""

    kind: str
    source: str
    target: str
    writable: bool

    @property
    def unnamed(self) -> bool:
        """Whether it is a volume that Docker named."""
        return self.kind == "volume" and len(self.source) == 64 and not set(self.source) - set("0123456789abcdef")  # noqa: PLR2004  # digits of its name


@dataclass(frozen=True, kw_only=True)
class OldService:
    """What runs of one service."""

    name: str
    image: str
    ports: tuple[int, ...]
    variables: Mapping[str, str] = field(repr=False)
    """those that its image does not bring along; some are secrets"""
    mounts: tuple[OldMount, ...]
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """of `command` and `entrypoint`"""
    of_image: frozenset[str] = frozenset()
    """those of both that its image brings along"""


@dataclass(frozen=True, kw_only=True)
class RunningProject:
    """A Compose project as it runs."""

    name: str
    services: Mapping[str, OldService]
    shared: frozenset[str]
    """those of its own networks on which containers of others are"""
    holders: tuple[str, ...]
    """containers of others that have port 80 or 443, and are no edge of Slipway"""
    env: str
    """the `.env` of its folder; holds secrets"""
    files: tuple[str, ...] = ()
    """its Compose files, from its folder"""
    ended: frozenset[str] = frozenset()
    """services that ran and ended"""
    folders: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """by folder its containers, where those are of several: one may be another application of that name"""
    containers: tuple[str, ...] = ()
    """those that are read here"""


def read_project(place: str, *, folder: str = "", name: str = "", port: int = 0, env: str = "") -> RunningProject:
    """The project in `folder`, or the one called `name`, on `place` (`[USER@]ADDRESS`, or `local`).

    `env` is the folder whose `.env` is read; when it is empty, that of the project. Over SSH, the user's own `ssh`
    connects, with its configuration, keys and known hosts: no stack has any yet.

    Raises:
        SlipwayError: the host cannot be reached, Docker does not answer, or there is not one such project.
    """
    done = asyncio.run(_run(place, port, env or folder, name))
    try:
        return _read(done.split(_UNIT, 5), place, folder=folder, name=name, port=port)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):  # of another host, nothing is certain
        what = f"{place}: what its docker says is not what Docker says"
        raise SlipwayError(what, "nothing was written", _look_command(place, port)) from None


def _read(parts: Sequence[str], place: str, *, folder: str, name: str, port: int) -> RunningProject:
    _, containers, networks, images, ended, values = parts
    if len(values.encode(errors="replace")) > _MOST_OF_ENV:
        what = f"{place}: the .env is larger than {_MOST_OF_ENV:,} bytes"
        raise SlipwayError(what, "that is no list of variables, so nothing was written", "look at it there")
    running = json.loads(containers)
    every = [
        each for each in running if _labels(each).get(f"{_LABEL}oneoff") == "False" and _STACK not in _labels(each)
    ]
    every = [each for each in every if _PROJECT.fullmatch(_labels(each).get(f"{_LABEL}project", ""))]
    own = [each for each in every if _fits(each, folder, name)]
    projects = sorted({_labels(each)[f"{_LABEL}project"] for each in own})
    if len(projects) != 1:
        others = sorted({_labels(each)[f"{_LABEL}project"] for each in every})
        what = (
            f"{place}: no Compose project runs from {folder}" if folder else f"{place}: no Compose project {name} runs"
        )
        meaning = f"there is nothing to take over; running: {', '.join(others) or 'none'}"
        if projects:
            what = f"{place}: several Compose projects run from {folder} ({', '.join(projects)})"
            meaning = "one alone is taken over at first (moveFrom may name the others later); say which"
        # another's containers would be taken over by who runs a guess as it is printed
        wanted = nearest(posixpath.basename(folder or name), projects or others) or "PROJECT"
        address = f"{place}:{port}" if port else place
        raise SlipwayError(
            what,
            meaning,
            f"slipway init APPLICATION --from {address} --from-running {wanted}",
        )
    made = {str(each["Id"]): each.get("Config") or {} for each in json.loads(images)}
    for each in own:  # what its image brings along is none of the project's
        image = made.get(str(each["Image"]), {})
        each["Config"]["Env"] = set(each["Config"].get("Env") or ()) - set(image.get("Env") or ())
        each["OfImage"] = {key for key, name in _WORDS.items() if each["Config"].get(name) == image.get(name)}
    foreign = [each for each in running if each not in own and _EDGE not in _labels(each)]
    holders = tuple(_name(each) for each in foreign if not set(EDGE_PORTS).isdisjoint(held_ports(each)))
    ran = frozenset(name for project, _, name in (each.partition("/") for each in ended.split()) if project in projects)
    folders: dict[str, tuple[str, ...]] = {}
    for each in every:
        if _labels(each)[f"{_LABEL}project"] == projects[0] and (at := _folder(each)):
            folders[at] = (*folders.get(at, ()), _name(each))
    found = _project(projects[0], own, json.loads(networks), values)
    return replace(found, holders=holders, ended=ran, folders=folders if len(folders) > 1 else {})


def ssh_target(place: str, port: int) -> str:
    """`USER@ADDRESS[:PORT]` of what the user's `ssh` calls `place`, which may be a name of its configuration."""
    if place == LOCAL_ADDRESS:
        return place
    option = ["-p", str(port)] if port else []
    try:
        done = subprocess.run(["ssh", "-G", *option, "--", place], capture_output=True, text=True, check=False)
    except OSError:
        return place + (f":{port}" if port else "")
    known = dict(line.partition(" ")[::2] for line in done.stdout.splitlines())
    address = known.get("hostname") or place.rpartition("@")[2]
    shown = f"[{address}]" if ":" in address else address
    user = known.get("user") or place.rpartition("@")[0]
    port = int(known.get("port") or port or 22)
    return (f"{user}@" if user else "") + shown + (f":{port}" if port != 22 else "")  # noqa: PLR2004  # the usual one


async def _run(place: str, port: int, folder: str, name: str) -> str:
    words = ["/bin/sh", "-c", _SCRIPT, "sh", folder, name]
    if place != LOCAL_ADDRESS:
        option = ["-p", str(port)] if port else []
        words = ["ssh", "-o", "BatchMode=yes", *option, "--", place, for_any_shell(shlex.join(words))]
    pipe = asyncio.subprocess.PIPE
    process = None
    try:
        process = await asyncio.create_subprocess_exec(
            *words, stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe, start_new_session=True
        )
        streams = [each for each in (process.stdout, process.stderr) if each]
        told = asyncio.gather(process.wait(), asyncio.gather(*map(_bounded, streams)))
        code, (out, said) = await asyncio.wait_for(told, _SECONDS)
        reason = in_brief(said.decode(errors="replace"))
    except OverflowError:
        out, code, reason = b"", 255, f"it answers more than {_MOST:,} bytes"
    except FileNotFoundError:
        out, code, reason = b"", 255, "there is no ssh on this machine"
    except TimeoutError:
        out, code, reason = b"", 255, f"no answer within {_SECONDS} s"
    finally:
        if process and process.returncode is None:
            with contextlib.suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)  # what it started holds the pipes, and prints on
                await asyncio.wait_for(process.wait(), 5)
    if not code and out.count(_UNIT.encode()) < _SCRIPT.count("printf"):
        code, reason = 255, "a start-up file such as ~/.bashrc ended the shell"
    if code:
        what = f"{place}: its containers cannot be read ({reason})"
        raise SlipwayError(Problem(what, "nothing was written", _look_command(place, port)))
    return out.decode(errors="replace")


async def _bounded(stream: asyncio.StreamReader) -> bytes:
    """All of it; raises OverflowError when there is no end to it."""
    parts, size = [], 0
    while part := await stream.read(1 << 16):
        parts.append(part)
        size += len(part)
        if size > _MOST:
            raise OverflowError
    return b"".join(parts)


def ssh_command(place: str, port: int) -> str:
    """What stands before a command that runs at `place`; empty for this machine."""
    return "" if place == LOCAL_ADDRESS else f"ssh {f'-p {port} ' if port else ''}{shlex.quote(place)}"


def _look_command(place: str, port: int) -> str:
    return f"{ssh_command(place, port)} docker ps".lstrip()


def _labels(details: Mapping[str, Any]) -> dict[str, str]:
    return dict(details["Config"].get("Labels") or {})


def _name(details: Mapping[str, Any]) -> str:
    return str(details["Name"]).lstrip("/")


def _folder(details: Mapping[str, Any]) -> str:
    return _labels(details).get(f"{_LABEL}project.working_dir", "").rstrip("/")


def _fits(details: Mapping[str, Any], folder: str, name: str) -> bool:
    return _labels(details).get(f"{_LABEL}project") == name if name else _folder(details) == folder.rstrip("/")


def _project(
    name: str, containers: Sequence[Mapping[str, Any]], networks: Sequence[Mapping[str, Any]], env: str
) -> RunningProject:
    ids = {str(each["Id"]) for each in containers}
    own = [each for each in networks if (each.get("Labels") or {}).get(f"{_LABEL}project") == name]
    return RunningProject(
        name=name,
        services={each.name: each for each in map(_service, containers)},
        shared=frozenset(str(each["Name"]) for each in own if not ids.issuperset(each.get("Containers") or {})),
        holders=(),
        env=env,
        files=_files(containers),
        containers=tuple(map(_name, containers)),
    )


def _files(containers: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The Compose files that most of its containers were made of."""
    stated = [
        (labels.get(f"{_LABEL}project.config_files", ""), labels.get(f"{_LABEL}project.working_dir", ""))
        for labels in map(_labels, containers)
    ]
    [((files, folder), _)] = Counter(stated).most_common(1)
    return tuple(
        posixpath.relpath(posixpath.join(folder, name), folder) for name in files.split(",") if name and folder
    )


def _service(details: Mapping[str, Any]) -> OldService:
    every = details.get("Mounts") or ()
    mounts = [each for each in every if each.get("Type") == "volume" and _VOLUME.fullmatch(str(each.get("Name")))]
    mounts += [each for each in every if each.get("Type") == "bind"]
    return OldService(
        name=_labels(details).get(f"{_LABEL}service", ""),
        image=str(details["Config"].get("Image", "")),
        ports=tuple(sorted(held_ports(details))),
        variables=dict(each.partition("=")[::2] for each in details["Config"].get("Env") or ()),
        words={key: tuple(map(str, details["Config"].get(name) or ())) for key, name in _WORDS.items()},
        of_image=frozenset(details["OfImage"]),
        mounts=tuple(
            OldMount(
                kind=each["Type"],
                source=str(each.get("Name") or each.get("Source")),
                target=str(each.get("Destination", "")),
                writable=bool(each.get("RW", True)),
            )
            for each in mounts
        ),
    )
