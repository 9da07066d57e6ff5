"""Reading and writing bundles in a file, a folder or a bucket: written whole or not at all, for its owner only."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit, urlunsplit

from slipway.contract.problems import SlipwayError
from slipway.releases.backend.checkpoints import live_release_in
from slipway.releases.backend.store import open_store, place_of
from slipway.releases.bundles.archive import Bundle, unpacked
from slipway.releases.bundles.state import state_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["read_bundle", "reported", "write_bundle", "write_whole"]

_GZIP = b"\x1f\x8b"
_FILE_ENDS = ".tar.gz"
_NOT_KEPT = "no bundle was kept; what was there is as before"


def write_bundle(content: bytes, to: str, name: str, environment: Mapping[str, str]) -> str:
    """Put a bundle where `to` says: a file when it ends in .tar.gz, else a folder (of a bucket) that gets `name`.

    Without `to` that is the current folder. `environment` holds a bucket's credentials. Returns where it is, without
    credentials. Raises `SlipwayError` when it could not be written; then nothing of it is left.
    """
    path = _local(to or ".")
    if path is not None:
        return str(write_whole(content, path if path.name.endswith(_FILE_ENDS) else path / name))
    parts = urlsplit(to)
    folder, _, last = parts.path.rpartition("/") if parts.path.endswith(_FILE_ENDS) else (parts.path, "", name)
    with reported(to, "cannot be written", _NOT_KEPT):
        open_store(urlunsplit(parts._replace(path=folder)), environment).put(last, content)
    return place_of(urlunsplit(parts._replace(path=f"{folder.rstrip('/')}/{last}")))


def read_bundle(where: str, environment: Mapping[str, str]) -> Bundle:
    """The bundle at a path or address, or a plain state export. Raises `SlipwayError` that names every damage."""
    path, parts = _local(where), urlsplit(where)
    folder, _, name = parts.path.rpartition("/")
    with reported(where, "cannot be read", "nothing was changed"):
        if path is not None:
            content = path.read_bytes()
        else:
            content = bytes(open_store(urlunsplit(parts._replace(path=folder)), environment).get(name).bytes())
    place = place_of(where) if path is None else str(path)
    if content.startswith(_GZIP):
        return unpacked(content, place)
    state = state_in(content, place)
    return Bundle(state=state, release=live_release_in(state["deployment"]), place=place)


def write_whole(content: bytes, path: Path, *, mode: int = 0o600) -> Path:
    """Write `path` whole or not at all, so that readers see all of it or the earlier one. Raises `SlipwayError`."""
    partial: Path | None = None
    with reported(str(path), "cannot be written", _NOT_KEPT):
        try:
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True, mode=0o700)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".partial")  # mode 0600
            partial = Path(name)
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            return partial.replace(path)
        finally:
            if partial is not None:
                partial.unlink(missing_ok=True)


def _local(where: str) -> Path | None:
    """The path that is meant; None for an address in a bucket."""
    if "://" not in where:
        return Path(where).expanduser()
    parts = urlsplit(where)
    return Path(unquote(parts.netloc + parts.path)).expanduser() if parts.scheme == "file" else None


@contextlib.contextmanager
def reported(where: str, what: str, meaning: str) -> Iterator[None]:
    """Errors of files and of the store, without the parameters of the address, in which credentials may be."""
    try:
        yield
    except SlipwayError:
        raise
    except Exception as error:  # noqa: BLE001  # the library has a family per store
        missing = "it is not there" if isinstance(error, FileNotFoundError) else str(error)
        said = " ".join((getattr(error, "strerror", None) or missing).split()).partition(" Debug source:")[0]
        said = said.replace(urlsplit(where).query or "\0", "…")[:300]
        place = place_of(where) if "://" in where else where
        fix = "give a path, or s3://…, gs://… or azblob://… and set the credentials that the engine takes"
        raise SlipwayError(f"{place} {what} ({said})", meaning, fix) from None
