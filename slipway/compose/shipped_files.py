"""Files of the application's folder that services mount: they ship with the release.

A mount's source is `@files/SHA256/NAME` (shipped: an unchanged file keeps its address, so its services are left alone)
or `@data/PATH` (kept on the host, never shipped); named volumes and absolute paths stay as they are.

Only what lies in the application's repository ships, links followed: a Compose file in a pull request cannot fetch the
files of the machine that deploys it. What holds a private key does not ship at all; releases are not secret.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import os
import posixpath
import re
import shlex
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from slipway.settings.setting_files import config_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.x_slipway.findings import Findings

__all__ = ["ShippedFiles", "kept_on_host", "volume_for_hosts"]

_SHIPPED_BYTES = 1_000_000  # configuration files travel on stdin and are stored about twice in the engine's state
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_DOTENV = re.compile(r"\.env(\.(?!example$|sample$|template$|dist$).+)?")


def volume_for_hosts(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A top-level volume; one that binds a relative folder binds a folder of the stack's own on the host."""
    options = entry.get("driver_opts") or {}
    device = str(options.get("device") or "")
    if "bind" in str(options.get("o") or "").split(",") and device and not device.startswith("/"):
        return {**entry, "driver_opts": {**options, "device": kept_on_host(device)}}
    return dict(entry)


def kept_on_host(source: str) -> str:
    """The place on the host of a relative path that does not ship; stays below the stack's data folder."""
    parts = posixpath.normpath(source).split("/")
    return "@data/" + "/".join({"..": "_", ".": "_here"}.get(part, part) for part in parts)


class ShippedFiles:
    """Collects what ships with a release of the application in `folder`."""

    def __init__(self, folder: Path, repository: Path | None, found: Findings, stack: str) -> None:
        """`folder` is the Compose file's; `repository` the one that holds it, or None outside of git."""
        self.folder = folder
        self.content: dict[str, dict[str, Any]] = {}
        self.plain: dict[str, bytes] = {}
        """Every shipped file's content, by the path under which it was found."""
        self.found, self._stack = found, stack
        self._boundary = (repository or folder).resolve()
        self._bytes = 0
        self._read = functools.cache(self._read_now)

    def mount(self, service: str, mount: dict[str, Any]) -> dict[str, Any]:
        """A mount as the host sees it: read-only ones out of the application's folder ship, others stay there."""
        try:
            return self._mount(service, mount)
        except OSError as error:
            self.found.refuse(
                f"services.{service}: {mount['source']} cannot be read ({error.strerror})",
                "the service could not read it either",
                "make it readable for the user who runs Slipway",
            )
            return mount

    def _mount(self, service: str, mount: dict[str, Any]) -> dict[str, Any]:
        source = str(mount.get("source", "")).replace("$$", "$")
        if mount["type"] != "bind" or PurePosixPath(source).is_absolute():
            return mount
        if not source or source.startswith("~"):
            self.found.refuse(
                f"services.{service}: the mount at {mount.get('target')} is of {source or 'nothing'}",
                "what that is depends on who runs Slipway",
                "write an absolute path of the host, or a path in the application's folder",
            )
            return mount
        path = self.folder / source
        if path.is_file():
            return self._ship(service, mount, path)
        if mount.get("read_only"):
            return self._ship_folder(service, mount, path)
        if path.is_dir() and any(path.iterdir()):
            self.found.warn(
                f"services.{service}: the folder {source} is mounted writable",
                "its content is not shipped; on the host it starts empty",
                "mount it `:ro` to ship it, or use a named volume",
            )
        return {**mount, "source": kept_on_host(str(mount["source"]))}

    def config(self, service: str, entry: Mapping[str, Any], file: str) -> dict[str, Any]:
        """A Compose config that is a file, as the read-only mount that Compose would make of it."""
        target = entry.get("target") or f"/{entry['source']}"
        mount = {"type": "bind", "source": file, "target": target, "read_only": True}
        path = file.replace("$$", "$")
        if PurePosixPath(path).is_absolute() or path.startswith("~") or (self.folder / path).is_file():
            return self.mount(service, mount)
        self.found.refuse(
            f"configs.{entry['source']}: {path} does not exist", "the service could not read it", f"create {path}"
        )
        return mount

    def finish(self) -> None:
        """Say so when more than 1,000,000 bytes would ship."""
        if self._bytes > _SHIPPED_BYTES:
            self.found.refuse(
                f"configuration files of {self._bytes:,} bytes are mounted from the application's folder",
                f"Slipway ships at most {_SHIPPED_BYTES:,} with a release",
                "COPY them into the service's image, or mount only what the service reads",
            )

    def _ship(self, service: str, mount: dict[str, Any], path: Path) -> dict[str, Any]:
        read = self._read(path)
        if read is None:
            return mount
        mode, content = read
        if not mount.get("read_only"):
            self.found.warn(
                f"services.{service}: the file {mount['source']} is mounted writable",
                "what the container writes there is lost with the next change of the file",
                "mount it `:ro`",
            )
        return self._shipped(mount, path, {"mode": mode}, content)

    def _ship_folder(self, service: str, mount: dict[str, Any], path: Path) -> dict[str, Any]:
        """A read-only folder as one content-addressed folder: its files' names and contents decide its address."""
        if not path.is_dir():
            self.found.refuse(
                f"services.{service}: {mount['source']} is neither a file nor a folder",
                "the mount would be empty",
                f"create it, or remove the mount from {service}",
            )
            return mount
        entries = []
        for file in self._files(path):
            read = self._read(file)
            if read is None:
                return mount
            content = base64.b64encode(read[1]).decode()
            entries.append({"path": file.relative_to(path).as_posix(), "mode": read[0], "content": content})
        return self._shipped(mount, path, {"mode": 0o755, "folder": True}, json.dumps(entries).encode())

    def _shipped(self, mount: dict[str, Any], path: Path, entry: dict[str, Any], content: bytes) -> dict[str, Any]:
        address = hashlib.sha256(content).hexdigest()
        known = self.content.get(address, entry)
        self.content[address] = {
            **entry,
            "mode": entry["mode"] | known["mode"],  # one content has one address: executable when one mount needs it
            "content": base64.b64encode(content).decode(),
        }
        name = re.sub(r"[^\w.-]", "_", path.name, flags=re.ASCII).lstrip(".") or "_"
        bind = {**(mount.get("bind") or {}), "create_host_path": False}
        return {**mount, "source": f"@files/{address}/{name}", "bind": bind}

    def _files(self, folder: Path) -> Iterator[Path]:
        """The files below a folder, sorted; links to folders are refused, since only their targets could ship."""
        for path in sorted(folder.iterdir()):
            if path.is_symlink() and path.is_dir():
                self.found.refuse(
                    f"{self._shown(path)} is a link to a folder",
                    "a shipped folder holds files only",
                    "mount the folder itself, or COPY it into the service's image",
                )
            elif path.is_dir():
                yield from self._files(path)
            elif path.is_file():
                yield path

    def _read_now(self, path: Path) -> tuple[int, bytes] | None:
        """Mode and content of a file that may ship; None after reporting why it may not."""
        shown = self._shown(path)
        if not path.resolve().is_relative_to(self._boundary):
            self.found.refuse(
                f"{shown} lies outside of the application's repository",
                "only what is in it can ship with a release",
                "copy it there, or write an absolute path of the host",
            )
            return None
        self._bytes += path.stat().st_size
        if self._bytes > _SHIPPED_BYTES:
            return 0o644, b""  # reported by `finish`; nothing of it is used
        content = path.read_bytes()
        if _DOTENV.fullmatch(path.name) or _PRIVATE_KEY.search(content):
            what = "is a .env file" if _DOTENV.fullmatch(path.name) else "holds a private key"
            self.found.refuse(
                f"{shown} {what}, and a service mounts it",
                "it would be stored in plain text with every release; make it a Compose secret with "
                f"`environment: {(secret := re.sub('[^A-Z0-9]+', '_', path.name.upper()).strip('_'))}`",
                config_set(self._stack, f"secrets.{secret}", f"< {shlex.quote(os.path.relpath(path))}", secret=True),
            )
            return None
        self.plain[shown] = content
        return (0o755 if os.access(path, os.X_OK) else 0o644), content

    def _shown(self, path: Path) -> str:
        """The path as the Compose file's folder sees it."""
        return os.path.relpath(path, self.folder)
