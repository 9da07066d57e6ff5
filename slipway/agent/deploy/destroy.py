"""Takes a stack off this host: containers, networks, images nobody else needs, its folder; no volume unless named."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.deadline import Stop
from slipway.agent.docker.docker_api import PROJECT_LABEL, DockerApi, find_socket
from slipway.agent.docker.stop import stop_and_remove
from slipway.agent.edge.edge import Edge
from slipway.agent.release.prune import images_of, images_of_other_stacks, remove_images
from slipway.agent.state.atomic_files import remove_tree
from slipway.agent.state.lock import lock
from slipway.contract import CONTRACT
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.agent.output import Output
    from slipway.agent.state.stack_dir import StackFolder

__all__ = ["destroy"]

_LOCK_WAIT = 120.0
_STOP_SECONDS = 600.0
_VOLUME_LABEL = "com.docker.compose.volume"
_DATA = "data/"


def destroy(folder: StackFolder, volumes: Sequence[str], out: Output) -> dict[str, Any]:
    """Remove the stack; what was removed and which volumes and data folders were kept. Fine when there is nothing."""
    api = DockerApi(find_socket())
    api.version()
    if not os.path.isdir(folder.path):
        return _remove(folder, volumes, api, out)
    stop = Stop()
    stop.install()
    with lock(folder.lock, owner="destroy", reason="destroy the stack", wait=_LOCK_WAIT, stop=stop):
        return _remove(folder, volumes, api, out)


def _remove(folder: StackFolder, volumes: Sequence[str], api: DockerApi, out: Output) -> dict[str, Any]:
    begin = runtime.monotonic()
    removed = []
    with contextlib.suppress(FileNotFoundError):
        os.unlink(folder.watch)  # the watch ends when its order is gone
    present = api.containers({PROJECT_LABEL: folder.stack})
    stop_and_remove([str(entry["Id"]) for entry in present], api, _STOP_SECONDS)
    Edge(api, out).drop_stack(folder.stack)
    removed += sorted(str(entry["Names"][0]).lstrip("/") for entry in present)
    for network in api.networks(folder.stack):
        api.remove_network(str(network["Id"]))
        removed.append(str(network["Name"]))
    own = {image for release in folder.kept_releases().values() for image in images_of(release)}
    images, warnings = remove_images(sorted(own - images_of_other_stacks(folder.stack)), api)
    kept, gone = _volumes(folder, volumes, api)
    _folder(folder, volumes, kept, gone)
    unknown = [name for name in volumes if not any(name in _names(folder.stack, each) for each in gone)]
    warnings += [f"there is no volume {name} of this stack" for name in unknown]
    for line in warnings:
        out.progress("warning", line)
    out.progress("destroy", f"kept volumes: {', '.join(kept) or 'none'}", runtime.monotonic() - begin)
    return {
        "contract": CONTRACT,
        "stack": folder.stack,
        "removed": [*removed, *images, *gone],
        "kept_volumes": kept,
        "warnings": warnings,
    }


def _volumes(folder: StackFolder, named: Sequence[str], api: DockerApi) -> tuple[list[str], list[str]]:
    kept, gone = [], []
    for volume in api.volumes(folder.stack):
        name = str(volume["Name"])
        if name in named or (volume.get("Labels") or {}).get(_VOLUME_LABEL) in named:
            api.remove_volume(name)
            gone.append(name)
        else:
            kept.append(name)
    return sorted(kept), sorted(gone)


def _folder(folder: StackFolder, named: Sequence[str], kept: list[str], gone: list[str]) -> None:
    """Remove the stack's folder but for the data folders in it, which are volumes by another name."""
    try:
        entries = os.listdir(folder.path)
        data = sorted(os.listdir(folder.data)) if os.path.isdir(folder.data) else []
        for name in data:
            if _DATA + name in named:
                remove_tree(os.path.join(folder.data, name))
                gone.append(_DATA + name)
            else:
                kept.append(_DATA + name)
        keep_data = any(name.startswith(_DATA) for name in kept)
        for entry in entries:
            path = os.path.join(folder.path, entry)
            if entry == "data" and keep_data:
                continue
            if os.path.isdir(path) and not os.path.islink(path):
                remove_tree(path)
            elif os.path.lexists(path):
                os.unlink(path)
        if not keep_data:
            os.rmdir(folder.path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise SlipwayError(
            f"{error.filename or folder.path} cannot be removed ({error.strerror})",
            "a container wrote there as another user",
            f"sudo rm -rf {error.filename or folder.path}, then destroy again",
        ) from error


def _names(stack: str, name: str) -> tuple[str, ...]:
    return (name, name[len(stack) + 1 :]) if name.startswith(f"{stack}_") else (name,)
