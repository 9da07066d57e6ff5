"""Files that are either the old ones or the new ones, whatever happens in between."""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

__all__ = ["append_line", "read_object", "remove_files", "remove_tree", "sync_folder", "write_atomically"]


def write_atomically(path: str, content: bytes, mode: int = 0o600) -> None:
    """Write beside, flush to disk, rename over `path`."""
    temporary = f"{path}.{os.getpid()}.new"
    remove_files(temporary)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            os.fchmod(handle.fileno(), mode)
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.rename(temporary, path)
    except BaseException:
        remove_files(temporary)
        raise
    sync_folder(os.path.dirname(path))


def read_object(path: str) -> dict[str, Any]:
    """The JSON object in a file; empty when there is none."""
    try:
        with open(path, "rb") as handle:
            content = json.loads(handle.read())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def append_line(path: str, line: str) -> None:
    """Append one line and flush it to disk, whole or not at all; one torn by a kill is closed off first, never joined.

    Whoever calls it holds the lock: on a full disk what was written of the line is taken away again.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
        data = (("\n" if torn else "") + line + "\n").encode()
        try:
            while data:
                data = data[os.write(descriptor, data) :]
            os.fsync(descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, size)
            raise
    finally:
        os.close(descriptor)


def remove_files(*paths: str) -> None:
    """Fine for those that are not there."""
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def remove_tree(path: str) -> None:
    """Fine for one that is not there, or of which a part goes meanwhile."""
    import shutil

    def gone(_: object, __: str, error: tuple[type[BaseException], BaseException, object]) -> None:
        if not isinstance(error[1], FileNotFoundError):
            raise error[1]

    shutil.rmtree(path, onerror=gone)


def sync_folder(path: str) -> None:
    """Flush to disk which names a folder holds."""
    descriptor = os.open(path or ".", os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
