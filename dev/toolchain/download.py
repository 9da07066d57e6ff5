"""Official release downloads, and the memory of those that are blocked.

Owns: fetching one file over HTTPS and checking what came; remembering for a day that a server cannot be reached.
Does not own: which file, and what is done instead where it is blocked. Produces: verified files.
"""

from __future__ import annotations

import functools
import hashlib
import http.client
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import TYPE_CHECKING

from dev.toolchain.cache import cache_root
from dev.toolchain.process import ToolchainError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["DownloadBlockedError", "blocked", "fetch", "fetch_unchecked", "remember_blocked"]

_CONNECT_SECONDS = 3
_READ_SECONDS = 30
_REMEMBERED_SECONDS = 24 * 3600
_CHUNK_BYTES = 1 << 20


class DownloadBlockedError(ToolchainError):
    """The server cannot be reached from this machine: take the other way, do not fail."""


class _QuickConnection(http.client.HTTPSConnection):
    """Gives up connecting after 3 s, but lets a slow line take up to 30 s per read."""

    def connect(self) -> None:
        self.timeout = _CONNECT_SECONDS
        super().connect()
        self.sock.settimeout(_READ_SECONDS)


class _QuickHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(functools.partial(_QuickConnection), req)


def _memory(server: str) -> Path:
    return cache_root() / "blocked" / re.sub(r"[^A-Za-z0-9.-]", "_", server)


def blocked(server: str) -> str:
    """Why `server` (a host name) failed within the last day, "" when it did not.

    Deleting the cache's folder `blocked` makes it be asked again.
    """
    memory = _memory(server)
    remembered = memory.is_file() and time.time() - memory.stat().st_mtime < _REMEMBERED_SECONDS
    return (memory.read_text().strip() or "no reason given") if remembered else ""


def remember_blocked(server: str, reason: str) -> None:
    """Do not try `server` again within a day."""
    memory = _memory(server)
    memory.parent.mkdir(parents=True, exist_ok=True)
    memory.write_text(f"{reason}\n")


def _get(url: str, target: Path) -> None:
    with target.open("wb") as file:
        for chunk in _received(url):
            file.write(chunk)  # a full disk here is no word about the server


def _received(url: str) -> Iterator[bytes]:
    server = urllib.parse.urlsplit(url).hostname or url
    fix = f"to ask again before a day is over: rm -r {_memory(server).parent}"
    if blocked(server):
        raise DownloadBlockedError(f"{server} could not be reached earlier today", "it is not asked again", fix)
    try:
        with urllib.request.build_opener(_QuickHandler).open(url) as answer:
            missing = int(answer.headers.get("Content-Length") or 0)
            while chunk := answer.read(_CHUNK_BYTES):
                missing -= len(chunk)
                yield chunk
            if missing > 0:
                raise http.client.IncompleteRead(b"", missing)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.NOT_FOUND:  # the server is there; only this file is not
            raise DownloadBlockedError(f"{url} does not exist", "this release has no such file", fix) from error
        remember_blocked(server, str(error))
        raise DownloadBlockedError(f"{server} answered {error.code}", "downloads from it are blocked", fix) from error
    except (OSError, http.client.HTTPException) as error:
        remember_blocked(server, str(error))
        raise DownloadBlockedError(f"{server} cannot be reached ({error})", "it is blocked here", fix) from error


def fetch(url: str, target: Path, *, sha256: str | None = None, checksums: str | None = None) -> Path:
    """Download `url` to `target` and check it against `sha256` or the checksums file at the address `checksums`.

    The file appears under its name only after its sum was right.

    Raises:
        DownloadBlockedError: the server cannot be reached or has no such file; remembered for a day.
        ToolchainError: what came is not what was published; nothing is kept.
    """
    partial = target.with_name(f"{target.name}.partial")
    try:
        if sha256 is None:
            if checksums is None:
                raise ToolchainError(f"{url} has no checksum", "it cannot be trusted", "name sha256 or checksums")
            _get(checksums, partial)
            name = re.escape(url.rsplit("/", 1)[1])
            line = re.search(rf"^([0-9a-f]{{64}})\s+\*?{name}$", partial.read_text(), flags=re.MULTILINE)
            if line is None:
                raise ToolchainError(f"{checksums} does not list {url}", "it cannot be trusted", "report this")
            sha256 = line[1]
        _get(url, partial)
        with partial.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256:
            raise ToolchainError(
                f"{url} has SHA-256 {found}, published is {sha256}",
                "the file was changed on its way",
                "find out by whom before trying again",
            )
        partial.rename(target)
    finally:
        partial.unlink(missing_ok=True)
    return target


def fetch_unchecked(url: str) -> bytes:
    """What is at `url` now, for data that changes without a published sum; nothing of it may be run.

    Raises:
        DownloadBlockedError: as `fetch`.
    """
    return b"".join(_received(url))
