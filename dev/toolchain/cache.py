"""The cache folder, and the stamps that say what in it is complete.

Owns: where cached things live and whether they are whole. Produces: paths.
A thing is complete when its stamp file holds the key it was made with; the stamp is written last, by rename, so that
a build killed half-way is made again and never used.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from dev.toolchain.process import ToolchainError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["cache_root", "cached", "locked"]


def cache_root() -> Path:
    """The project's folder under the user's cache folder (XDG base directory specification), created when missing.

    Raises:
        ToolchainError: it cannot be created.
    """
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    root = Path(base) / "slipway"
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ToolchainError(
            f"{root} cannot be made ({error.strerror})",
            "nothing that is fetched or built can be kept",
            "set XDG_CACHE_HOME to a folder that you may write to",
        ) from error
    return root


@contextlib.contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold an exclusive lock that the kernel drops with the process, so that two runs never build the same thing."""
    lock = cache_root() / f".{name}.lock"
    with lock.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def cached(name: str, key: str, make: Callable[[Path], None], *, holds: Sequence[str] = ()) -> Path:
    """The cached folder `name`, made by `make(folder)` unless it is complete for `key`.

    `make` gets an empty folder beside the final one; it is renamed into place only after `make` returned, and what
    was there before is removed only then. `holds` names files in it without which it is not complete, for a folder
    from which somebody may take one.
    """
    root = cache_root()
    final, stamp = root / name, root / f"{name}.stamp"
    with locked(name.replace("/", "-")):
        whole = final.is_dir() and all((final / file).exists() for file in holds)
        if whole and stamp.is_file() and stamp.read_text() == key:
            return final
        stamp.parent.mkdir(parents=True, exist_ok=True)
        work = final.with_name(f"{final.name}.partial")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            make(work)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)  # it may be hundreds of MB
            raise
        stamp.unlink(missing_ok=True)
        shutil.rmtree(final, ignore_errors=True)
        work.rename(final)
        partial = stamp.with_name(f"{stamp.name}.partial")
        partial.write_text(key)
        partial.rename(stamp)
    return final
