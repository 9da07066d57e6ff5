"""Takes a stack off this host: containers, networks, images nobody else needs, its folder; no volume unless named."""

from __future__ import annotations

import contextlib
import os
import shlex
from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.deadline import Stop
from slipway.agent.docker.docker_api import PROJECT_LABEL, DockerApi, find_socket
from slipway.agent.docker.facts import SHORT_ID, STACK_LABEL
from slipway.agent.docker.stop import stop_and_remove
from slipway.agent.edge.edge import Edge
from slipway.agent.move.claims import taken_over_by
from slipway.agent.move.old_project import MOVED, OldProject
from slipway.agent.release.prune import images_of, images_of_other_stacks, remove_images
from slipway.agent.state.atomic_files import remove_files, remove_tree
from slipway.agent.state.journal import DESTROY, Journal
from slipway.agent.state.lock import lock
from slipway.agent.state.owner import host_of, owner_of
from slipway.contract import CONTRACT
from slipway.contract.deployment import EVERY_VOLUME
from slipway.contract.host_paths import shell_stack_path
from slipway.contract.owner import OWNER_FILE, named
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from slipway.agent.output import Output
    from slipway.agent.state.stack_dir import StackFolder

__all__ = ["destroy", "remove_containers"]

_LOCK_WAIT = 120.0
_VOLUME_LABEL = "com.docker.compose.volume"
_DATA = "data/"
_ROUNDS = 3


def destroy(
    folder: StackFolder, volumes: Sequence[str], out: Output, owner: str = "", host: str = ""
) -> dict[str, Any]:
    """Remove the stack; what was removed and which volumes and data folders were kept. Fine when there is nothing.

    What is noted as another's than `owner`'s stays: the state of a stack whose first deployment failed has a removal,
    too. So does what `owner` deployed as another of its hosts than `host`: the engine takes a host's old name off only
    after its new one was deployed. Empty: nobody said.
    """
    if _of_another(folder, owner, host):
        return _left(folder, out)
    api = DockerApi(find_socket())
    api.version()
    old = OldProject(folder, api)
    if old.open:
        raise SlipwayError(
            f"this stack took over from {old.name}, and that is not finished",
            "what it needs to run again is noted with the stack, so nothing was removed; destroy after that",
            "slipway move finish" if old.state == MOVED else "slipway move undo",
        )
    taken = taken_over_by(folder.stack, api)
    if taken and taken.back:
        raise SlipwayError(taken.problem)
    if not os.path.isdir(folder.path):  # as the lock would make it
        return _remove(folder, volumes, api, out)
    stop = Stop()
    stop.install()
    with lock(folder.lock, owner="destroy", reason="destroy the stack", wait=_LOCK_WAIT, stop=stop):
        return _left(folder, out) if _of_another(folder, owner, host) else _remove(folder, volumes, api, out)


def _of_another(folder: StackFolder, owner: str, host: str) -> bool:
    """By the names alone: an equal mark is a copied project's, too."""
    noted, called = owner_of(folder), host_of(folder)
    return bool(noted and named(noted)[0] != named(owner)[0]) or bool(host and called and host != called)


def _left(folder: StackFolder, out: Output) -> dict[str, Any]:
    note, agent = (shell_stack_path(folder.stack, name) for name in (OWNER_FILE, "agent.pyz"))
    line = (
        f"{folder.stack} belongs to the Pulumi stack {named(owner_of(folder))[0]} here, which deployed it as host "
        f"{host_of(folder)}, so nothing was removed; where it is the same one, "
        f"`rm {note} && python3 {agent} destroy --stack {folder.stack}` on the host removes it"
    )
    out.progress("warning", line)
    return {"contract": CONTRACT, "stack": folder.stack, "removed": [], "kept_volumes": [], "warnings": [line]}


def remove_containers(stack: str, api: DockerApi, note: Callable[[Sequence[str]], None]) -> list[str]:
    """Remove the containers and networks of a stack; their names. `note` gets the ids before they are stopped.

    What `docker compose` made under the same name is not the stack's, and stays with the networks that it has.
    """
    every = api.containers({PROJECT_LABEL: stack})
    containers = [each for each in every if STACK_LABEL in (each.get("Labels") or {})]
    networks = api.networks(stack)
    if len(containers) < len(every):
        theirs = _networks_of(each for each in every if each not in containers)
        networks = [each for each in networks if each["Name"] in _networks_of(containers) - theirs]
    if containers:
        note([str(entry["Id"])[:SHORT_ID] for entry in containers])
    stop_and_remove([str(entry["Id"]) for entry in containers], api)
    for network in networks:
        api.remove_network(str(network["Id"]))
    names = sorted(str(entry["Names"][0]).lstrip("/") for entry in containers)
    return names + [str(network["Name"]) for network in networks]


def _networks_of(containers: Iterable[Mapping[str, Any]]) -> set[str]:
    return {name for each in containers for name in each["NetworkSettings"]["Networks"]}


def _remove(folder: StackFolder, named: Sequence[str], api: DockerApi, out: Output) -> dict[str, Any]:
    begin = runtime.monotonic()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(folder.watch)  # the watch ends when its order is gone
    removed = remove_containers(folder.stack, api, lambda stopping: _note(folder, stopping))
    foreign = api.containers({PROJECT_LABEL: folder.stack})  # what is left is not of this stack
    Edge(api, out).drop_stack(folder.stack)
    releases = folder.kept_releases().values()
    own = {image for release in releases for image in images_of(release)}
    images, warnings = remove_images(sorted(own - images_of_other_stacks(folder.stack)), api)
    kept, gone, unknown, spared = _adopted(releases, api), [], {*named} - {EVERY_VOLUME}, []
    for volume in sorted(api.volumes(folder.stack), key=lambda each: str(each["Name"])):
        name = str(volume["Name"])
        called = {name, (volume.get("Labels") or {}).get(_VOLUME_LABEL)}
        unknown -= called
        if name in kept:
            continue
        if not _is_named(called, named):
            kept.append(name)
        elif foreign:
            spared.append(name)
        else:
            api.remove_volume(name)
            gone.append(name)
    for name in _remove_folder(folder, named):
        (gone if _is_named((name,), named) else kept).append(name)
        unknown.discard(name)
    warnings += [f"there is no volume {name} of this stack" for name in named if name in unknown]
    if foreign:
        warnings.append(_beside(foreign, [str(each["Name"]) for each in api.networks(folder.stack)], spared))
    for line in warnings:
        out.progress("warning", line)
    out.progress(
        "destroy", f"kept volumes: {', '.join(sorted([*kept, *spared])) or 'none'}", runtime.monotonic() - begin
    )
    return {
        "contract": CONTRACT,
        "stack": folder.stack,
        "removed": [*removed, *images, *gone],
        "kept_volumes": sorted([*kept, *spared]),
        "warnings": warnings,
    }


def _is_named(names: Iterable[str | None], named: Sequence[str]) -> bool:
    return EVERY_VOLUME in named or any(name in named for name in names)


def _beside(foreign: Iterable[Mapping[str, Any]], networks: Sequence[str], volumes: Sequence[str]) -> str:
    """What stays because of containers that are called as the stack's and are not Slipway's, and what removes it."""
    names = sorted(str(each["Names"][0]).lstrip("/") for each in foreign)
    going = (("docker rm -f", names), ("docker network rm", networks), ("docker volume rm", volumes))
    commands = " && ".join(shlex.join([*command.split(), *each]) for command, each in going if each)
    stay = ", ".join([*names, *networks, *volumes])
    return f"not made by Slipway, with this stack's name: {names[0]}; so {stay} stay, and `{commands}` removes them"


def _adopted(releases: Iterable[Mapping[str, Any]], api: DockerApi) -> list[str]:
    """The volumes that these releases adopted: nothing of Slipway removes them."""
    volumes = (volume or {} for release in releases for volume in (release["compose"].get("volumes") or {}).values())
    names = {str(each["name"]) for each in volumes if each.get("x-adopted")}
    return sorted(name for name in names if api.volume(name) is not None)


def _note(folder: StackFolder, stopping: Sequence[str]) -> None:
    """Should this be cut off, then the next deployment must not count on what was told to stop."""
    journal = Journal(folder.journal)
    if os.path.isdir(folder.path):
        if journal.unfinished() is None:
            journal.begin(release=DESTROY)
        journal.stops(stopping)


def _remove_folder(folder: StackFolder, named: Sequence[str]) -> list[str]:
    """Remove the stack's folder but for data folders that are not named; all data folders that there were.

    The lock goes last: a deployment that waits for it makes the folder anew as soon as it is gone.
    """
    if not os.path.isdir(folder.path):
        return []
    try:
        data = sorted(os.listdir(folder.data)) if os.path.isdir(folder.data) else []
        going = [name for name in data if _is_named((_DATA + name,), named)]
        for name in going:
            _remove_entry(os.path.join(folder.data, name))
        spared = {os.path.basename(folder.lock), *(["data"] if going != data else [])}
        for _ in range(_ROUNDS):  # the watch may write once more before it sees that its order is gone
            for name in set(os.listdir(folder.path)) - spared:
                _remove_entry(os.path.join(folder.path, name))
        remove_files(folder.lock)
        with contextlib.suppress(OSError):  # data is kept there, or a deployment that waited makes it anew
            os.rmdir(folder.path)
    except OSError as error:
        raise SlipwayError(
            f"{error.filename or folder.path} cannot be removed ({error.strerror})",
            "a container wrote there as another user",
            f"sudo rm -rf {shlex.quote(error.filename or folder.path)}",
        ) from error
    return [_DATA + name for name in data]


def _remove_entry(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        remove_tree(path)
    else:
        remove_files(path)
