"""Where bundles lie: a file, a folder, or a bucket.

Owns: writing one whole or not at all, readable by its owner only, and reading what somebody names. Does not own: what
is in it (see `archive`), or how a bucket is opened (see cli/backend/store.py).
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from cli.backend.store import open_store, place_of
from cli.bundles.archive import LARGEST, SUFFIX, Bundle, sha256_of, unpacked
from cli.bundles.state import release_in, well_formed
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["read_state", "saved", "written"]

_GZIP = b"\x1f\x8b"
_FILE_ENDS = ".tar.gz"
_FORMS = "a path, or s3://BUCKET/NAME, gs://BUCKET/NAME, azblob://CONTAINER/NAME"


def written(content: bytes, to: str, name: str, environment: Mapping[str, str] | None = None) -> str:
    """Put a bundle where `to` says: a file when it ends in .tar.gz, else a folder (of a bucket) that gets `name`.

    Args:
        content: the bundle.
        to: path or address; empty for the current folder.
        name: the bundle's own name.
        environment: where a bucket's credentials are looked for; the process's own when None.

    Returns: where it lies, as it may be shown.

    Raises:
        SlipwayError: when it could not be written; then nothing of it is left.
    """
    path = _local(to or ".")
    if path is not None:
        return str(saved(content, path if path.name.endswith(_FILE_ENDS) else path / name))
    parts = urlsplit(to)
    folder, _, last = parts.path.rpartition("/") if parts.path.endswith(_FILE_ENDS) else (parts.path, "", name)
    store = open_store(urlunsplit(parts._replace(path=folder)), environment)
    try:
        store.put(last, content)
    except Exception as error:  # noqa: BLE001  # the library has a family per store
        raise _unanswered(to, error, "cannot be written", "no bundle was kept") from None
    return place_of(urlunsplit(parts._replace(path=f"{folder.rstrip('/')}/{last}")))


def read_state(where: str | Path, environment: Mapping[str, str] | None = None) -> Bundle:
    """The bundle at a path or address; or what `pulumi stack export` printed, which has no manifest.

    Args:
        where: path, or address of an object.
        environment: where a bucket's credentials are looked for; the process's own when None.

    Raises:
        SlipwayError: when it cannot be read, is neither, or is damaged: then every damage is named.
    """
    path = where if isinstance(where, Path) else _local(where)
    if path is not None:
        content, place = _read_file(path), str(path)
    else:
        content, place = _read_object(str(where), environment), place_of(str(where))
    if content.startswith(_GZIP):
        return unpacked(content, place)
    return _plain_export(content, place)


def _local(where: str) -> Path | None:
    """The path that is meant; None for an address in a bucket."""
    if "://" not in where:
        return Path(where).expanduser()
    parts = urlsplit(where)
    return Path(unquote(parts.netloc + parts.path)).expanduser() if parts.scheme == "file" else None


def saved(content: bytes, path: Path, *, mode: int = 0o600) -> Path:
    """Write `path` by renaming a finished file, so that whoever looks sees all of it or what was there before.

    Raises:
        SlipwayError: when it could not be written; then nothing of it is left.
    """
    folder = path.parent
    partial: Path | None = None
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, mode=0o700)
        handle, name = tempfile.mkstemp(dir=folder, prefix=".", suffix=".partial")  # mode 0600
        partial = Path(name)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        partial.replace(path)
        partial = None
    except OSError as error:
        raise SlipwayError(_unwritten(path, folder, error)) from None
    finally:
        if partial is not None:
            with contextlib.suppress(OSError):
                partial.unlink()
    return path


def _unwritten(path: Path, folder: Path, error: OSError) -> Problem:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Problem(
            f"no space for {path}",
            "no bundle was kept; what was there is as before",
            f"df -h {folder}, or name another place with --to",
        )
    if isinstance(error, (NotADirectoryError, FileExistsError)):
        return Problem(
            f"{folder} is no folder",
            "no bundle was kept; a place whose name does not end in .tar.gz is a folder",
            f"slipway export --to {folder}{SUFFIX}",
        )
    return Problem(
        f"{path} cannot be written ({error.strerror})",
        "no bundle was kept; what was there is as before",
        "name another place with --to",
    )


def _read_file(path: Path) -> bytes:
    if path.is_dir():
        found = sorted(path.glob(f"*{SUFFIX}"), key=lambda each: each.stat().st_mtime)
        fix = f"the newest one in it: {found[-1]}" if found else "none is in it; look where slipway export put yours"
        raise SlipwayError(Problem(f"{path} is a folder", "one bundle is needed", fix))
    try:
        if path.stat().st_size > LARGEST:
            raise SlipwayError(_too_large(str(path)))
        return path.read_bytes()
    except OSError as error:
        raise SlipwayError(
            Problem(f"{path} cannot be read ({error.strerror})", "nothing was brought back", f"give {_FORMS}")
        ) from None


def _read_object(where: str, environment: Mapping[str, str] | None) -> bytes:
    parts = urlsplit(where)
    folder, _, name = parts.path.rpartition("/")
    if not name:
        raise SlipwayError(Problem(f"{place_of(where)} names no object", "one bundle is needed", f"give {_FORMS}"))
    store = open_store(urlunsplit(parts._replace(path=folder)), environment)
    try:
        found = store.get(name)
        if found.meta["size"] <= LARGEST:
            return bytes(found.bytes())
    except FileNotFoundError:
        raise SlipwayError(
            Problem(f"{place_of(where)} is not there", "nothing was brought back", "look up its name in the bucket")
        ) from None
    except Exception as error:  # noqa: BLE001  # the library has a family per store
        raise _unanswered(where, error, "cannot be read", "nothing was brought back") from None
    raise SlipwayError(_too_large(place_of(where)))


def _plain_export(content: bytes, place: str) -> Bundle:
    try:
        state = json.loads(content)
    except (ValueError, RecursionError):
        state = None
    if not well_formed(state):
        raise SlipwayError(
            Problem(
                f"{place} is neither a bundle nor an export of the engine",
                "nothing was brought back",
                "give a file that slipway export or pulumi stack export made",
            )
        )
    return Bundle(state=state, release=release_in(state), place=place, sha256=sha256_of(content))


def _too_large(place: str) -> Problem:
    return Problem(
        f"{place} holds more than {LARGEST:,} bytes",
        "no bundle does; nothing was brought back",
        "give a file that slipway export or pulumi stack export made",
    )


def _unanswered(where: str, error: Exception, what: str, meaning: str) -> SlipwayError:
    """The library's error without the parameters of the address, in which credentials may be."""
    said = " ".join(str(error).split()).partition(" Debug source:")[0].replace(urlsplit(where).query or "\0", "…")[:300]
    return SlipwayError(
        Problem(
            f"{place_of(where)} {what} ({said})",
            meaning,
            "check the address and its credentials, in the environment as the engine takes them",
        )
    )
