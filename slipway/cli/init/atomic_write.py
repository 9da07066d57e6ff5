"""Files that are written all or not at all."""

from __future__ import annotations

import contextlib
import secrets
from typing import TYPE_CHECKING

from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

__all__ = ["write_all"]


def write_all(files: Mapping[Path, str]) -> None:
    """Write every file whole, and the folders that are missing; SlipwayError when all had to stay as they were."""
    suffix = f".{secrets.token_hex(4)}.partial"
    partials = {file: file.with_name(file.name + suffix) for file in files}
    before = {file: file.read_bytes() if file.is_file() else None for file in files}
    replaced: list[Path] = []
    file = next(iter(files), None)
    try:
        for file, partial in partials.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(files[file], encoding="utf-8")
            if before[file] is not None:
                partial.chmod(file.stat().st_mode & 0o777)
        for file, partial in partials.items():
            partial.replace(file)
            replaced.append(file)
    except OSError as error:
        for each in replaced:
            each.unlink() if before[each] is None else each.write_bytes(before[each] or b"")
        fix = "make its folder writable (ls -ld shows whose it is), then run it again"
        raise SlipwayError(
            f"{file} cannot be written ({error.strerror or error})", "no file was changed", fix
        ) from None
    finally:
        for partial in partials.values():
            with contextlib.suppress(OSError):  # where its folder could not be made
                partial.unlink(missing_ok=True)
