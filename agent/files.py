"""Files that are either the old ones or the new ones, whatever happens in between.

Owns atomic writes and the placing of a release's files. Does not own which files a release needs (`rendering`).
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from agent.rendering import Rendered
    from agent.state import StackFolder

__all__ = ["append_line", "place", "read_object", "remove_tree", "write_atomically"]


def write_atomically(path: str, content: bytes, mode: int = 0o600) -> None:
    """Write beside, flush to disk, rename over `path`."""
    temporary = f"{path}.{os.getpid()}.new"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            os.fchmod(handle.fileno(), mode)
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    _sync_folder(os.path.dirname(path))


def read_object(path: str) -> dict[str, Any]:
    """The JSON object in a file; empty when there is none."""
    try:
        with open(path, "rb") as handle:
            content = json.loads(handle.read())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def append_line(path: str, line: str) -> None:
    """Append one line and flush it to disk; a last line torn by a kill is closed off first, never joined."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        os.write(descriptor, (("\n" if torn else "") + line + "\n").encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def place(release: dict[str, Any], rendered: Rendered, folder: StackFolder) -> None:
    """Put the files and data folders that the release's services mount where the rendered Compose file points."""
    for sha, name in rendered.files:
        path = folder.file(sha, name)
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        entry = release["files"][sha]
        content = base64.b64decode(entry["content"])
        if entry.get("folder"):
            _place_folder(path, json.loads(content))
        elif not _same(path, content, entry["mode"]):
            write_atomically(path, content, entry["mode"])
    for path in rendered.data:
        _open_folder(os.path.join(folder.data, path))


def _place_folder(path: str, entries: list[dict[str, Any]]) -> None:
    """Put a shipped folder in place, whole or not at all: its address says what it holds, so it is made once."""
    if os.path.isdir(path):
        return
    partial = f"{path}.{os.getpid()}.new"
    remove_tree(partial)
    _open_folder(partial)
    for entry in entries:
        target = os.path.join(partial, entry["path"])
        _open_folder(os.path.dirname(target))
        write_atomically(target, base64.b64decode(entry["content"]), entry["mode"])
    os.rename(partial, path)
    _sync_folder(os.path.dirname(path))


def _open_folder(path: str) -> None:
    """Make a folder that any user of a container may enter, as Compose does.

    The stack's own folder (0700) above it keeps other users of the host out.
    """
    if not os.path.isdir(path):
        _open_folder(os.path.dirname(path))
        os.mkdir(path)
        os.chmod(path, 0o755)  # noqa: S103 - for the container's user, see above


def remove_tree(path: str) -> None:
    """Remove a folder if it is there."""
    import shutil

    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def _same(path: str, content: bytes, mode: int) -> bool:
    try:
        with open(path, "rb") as handle:
            return os.fstat(handle.fileno()).st_mode & 0o777 == mode and handle.read() == content
    except OSError:
        return False


def _sync_folder(path: str) -> None:
    descriptor = os.open(path or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
