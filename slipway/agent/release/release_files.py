"""Puts the files that a release ships in place."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

from slipway.agent.state.atomic_files import remove_tree, sync_folder, write_atomically

if TYPE_CHECKING:
    from slipway.agent.release.rendering import Rendered
    from slipway.agent.state.stack_dir import StackFolder
    from slipway.contract.deployment import Release

__all__ = ["place"]


def place(release: Release, rendered: Rendered, folder: StackFolder) -> None:
    """Put the files and data folders that the release's services mount where the rendered Compose file points.

    What a container may write is put there once: its content and mode are the container's from then on.
    """
    written = {
        str(mount.get("source")).replace("$$", "$")
        for service in rendered.compose["services"].values()
        for mount in service.get("volumes") or ()
        if not mount.get("read_only")
    }
    for sha, name in rendered.files:
        path = folder.file(sha, name)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        entry = release.files[sha]
        content = base64.b64decode(entry["content"])
        if entry.get("folder"):
            _place_folder(path, json.loads(content))
        elif not (path in written and os.path.isfile(path)) and not _same(path, content, entry["mode"]):
            write_atomically(path, content, entry["mode"])
    seeds = {path: entry for entry in release.files.values() for path in entry.get("seeds", ())}
    for inside in rendered.data:
        path = os.path.join(folder.data, inside)
        if inside in seeds and (_is_free(path) or os.path.isdir(_seed_of(path))):
            _seed(path, json.loads(base64.b64decode(seeds[inside]["content"])))
        _open_folder(path)


def _place_folder(path: str, entries: list[dict[str, Any]]) -> None:
    """Put a shipped folder in place: its address says what it holds, so it is made once."""
    if not os.path.isdir(path):
        _make_folder(path, entries)


def _make_folder(path: str, entries: list[dict[str, Any]]) -> None:
    """Make a folder with its files, whole or not at all; there may be an empty one."""
    partial = f"{path}.slipway-new"
    remove_tree(partial)
    _open_folder(partial)
    _fill_folder(partial, entries)
    os.rename(partial, path)
    sync_folder(os.path.dirname(path))


def _seed_of(path: str) -> str:
    return f"{path}.slipway-seed"


def _seed(path: str, entries: list[dict[str, Any]]) -> None:
    """Fill a data folder; one that is there stays the same folder, since a container may have it mounted.

    The seed is made whole beside it first: what was interrupted goes on with the next deployment.
    """
    seed = _seed_of(path)
    if not os.path.isdir(seed):
        _open_folder(os.path.dirname(path))
        _make_folder(seed, entries)
    _open_folder(path)
    for name in os.listdir(seed):
        if not os.path.lexists(os.path.join(path, name)):
            os.rename(os.path.join(seed, name), os.path.join(path, name))
    remove_tree(seed)
    sync_folder(path)


def _fill_folder(path: str, entries: list[dict[str, Any]]) -> None:
    for entry in entries:
        target = os.path.join(path, entry["path"])
        _open_folder(os.path.dirname(target))
        write_atomically(target, base64.b64decode(entry["content"]), entry["mode"])


def _open_folder(path: str) -> None:
    """Make a folder that any user of a container may enter, as Compose does.

    The stack's own folder (0700) above it keeps other users of the host out.
    """
    if not os.path.isdir(path):
        _open_folder(os.path.dirname(path))
        os.mkdir(path)
        os.chmod(path, 0o755)  # noqa: S103 - for the container's user, see above


def _is_free(path: str) -> bool:
    """Whether there is no folder, or an empty one; one that only a container's user may read holds its data."""
    try:
        return not os.listdir(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False


def _same(path: str, content: bytes, mode: int) -> bool:
    try:
        with open(path, "rb") as handle:
            return os.fstat(handle.fileno()).st_mode & 0o777 == mode and handle.read() == content
    except OSError:
        return False
