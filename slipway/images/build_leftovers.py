"""Removes what builds leave in the temporary folder, because credentials are in it.

For each build pulumi-docker-build 0.0.22 writes the Docker client's configuration, with the registry's credentials and
the user's own, into a folder of its own, and means to remove it. It does so too early (provider/internal/cli.go,
execBuild: `defer contract.IgnoreError(os.RemoveAll(tmp))` removes at once), so that every build leaves one behind.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import shutil
import tempfile
import time
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from slipway.settings.model import Settings

__all__ = ["docker_auth", "remove_at_exit", "remove_leftovers"]

_READ_SECONDS = 3.0  # until a builder that was started has read its configuration; it keeps it in memory


def remove_at_exit(tags: Collection[str], settings: Settings) -> None:
    """Remove now what killed runs left, and at the program's end, when they are over, what builds of `tags` left."""
    remove_leftovers((), None)
    atexit.register(remove_leftovers, tags, settings)


def remove_leftovers(tags: Collection[str], settings: Settings | None) -> None:
    """Remove the folders of the builds of `tags`, and of all that are over; take the credentials out of the others.

    A build that failed left nothing that says whose it was. Where it holds the credentials of `settings`, it is waited
    for, some seconds at most, until a builder at work (another stack's) cannot miss its configuration any more.
    """
    credentials = docker_auth(settings) if settings else ""
    for folder in _folders():
        with contextlib.suppress(OSError, ValueError):
            configuration, metadata = folder / "config.json", folder / "metadata.json"
            if metadata.exists() and json.loads(metadata.read_text()).get("image.name") in tags:
                shutil.rmtree(folder)
                continue
            young = _READ_SECONDS - (time.time() - (metadata if metadata.exists() else configuration).stat().st_mtime)
            if young > 0 and credentials and credentials in configuration.read_text():
                time.sleep(young)
                young = 0
            if young <= 0:
                shutil.rmtree(folder) if metadata.exists() else configuration.unlink()


def docker_auth(settings: Settings) -> str:
    """The registry's credentials as the Docker client writes them; empty when there are none."""
    return b64encode(":".join(settings.registry_login().values()).encode()).decode()


def _folders() -> Iterator[Path]:
    """The folders of this user's builds."""
    for folder in sorted(Path(tempfile.gettempdir()).glob("pulumi-docker-*")):
        with contextlib.suppress(OSError):
            if folder.is_dir() and not folder.is_symlink() and folder.stat().st_uid == os.geteuid():
                yield folder
