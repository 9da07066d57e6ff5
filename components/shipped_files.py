"""Files of the application's folder that services mount: they ship with the release.

Owns: which mounts ship, under which content address, and which become folders on the host. Does not own: named
volumes and absolute paths, which stay as they are. A mount's source is `@files/SHA256/NAME` (shipped: an unchanged
file keeps its address, so its services are left alone; a changed one changes them) or `@data/PATH` (kept on the host,
never shipped).
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from components.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["ShippedFiles"]

_SHIPPED_BYTES = 1_000_000  # configuration files travel on stdin and are stored about twice in the engine's state


class ShippedFiles:
    """Collects what ships with a release of the application in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.content: dict[str, dict[str, Any]] = {}
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def too_large(self) -> list[Problem]:
        """The problem of shipping more than 1,000,000 bytes, if so."""
        shipped = sum(len(entry["content"]) for entry in self.content.values()) * 3 // 4
        if shipped <= _SHIPPED_BYTES:
            return []
        return [
            Problem(
                f"configuration files of {shipped:,} bytes are mounted from the application's folder",
                f"Slipway ships at most {_SHIPPED_BYTES:,} with a release",
                "COPY them into the service's image",
            )
        ]

    def mount(self, service: str, mount: dict[str, Any]) -> dict[str, Any]:
        """A mount as the host sees it: read-only ones out of the application's folder ship, others live there."""
        source = str(mount.get("source", ""))
        if mount["type"] != "bind" or PurePosixPath(source).is_absolute():
            return mount
        path = self.folder / Path(source).expanduser()
        if path.is_file():
            return self._ship(service, mount, path)
        if mount.get("read_only"):
            return self._ship_folder(service, mount, path)
        if path.is_dir() and any(path.iterdir()):
            self.warnings.append(
                Problem(
                    f"services.{service}: the folder {source} is mounted writable",
                    "its content is not shipped; on the host it starts empty",
                    "mount it `:ro` to ship it, or use a named volume",
                )
            )
        return {**mount, "source": "@data/" + source.removeprefix("./").replace("../", "_/")}

    def _ship(self, service: str, mount: dict[str, Any], path: Path) -> dict[str, Any]:
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        mode = 0o755 if os.access(path, os.X_OK) else 0o644
        self.content[digest] = {"mode": mode, "content": base64.b64encode(content).decode()}
        if not mount.get("read_only"):
            self.warnings.append(
                Problem(
                    f"services.{service}: the file {mount['source']} is mounted writable",
                    "what the container writes there is lost with the next change of the file",
                    "mount it `:ro`",
                )
            )
        return {**mount, "source": f"@files/{digest}/{path.name}", "bind": {"create_host_path": False}}

    def _ship_folder(self, service: str, mount: dict[str, Any], path: Path) -> dict[str, Any]:
        """A read-only folder as one content-addressed folder: its files' names and contents decide its address."""
        if not path.is_dir():
            self.problems.append(
                Problem(
                    f"services.{service}: {mount['source']} does not exist",
                    "the mount would be empty",
                    f"create it, or remove the mount from {service}",
                )
            )
            return mount
        digest, entries = hashlib.sha256(), []
        for file in sorted(entry for entry in path.rglob("*") if entry.is_file()):
            content = file.read_bytes()
            relative = file.relative_to(path).as_posix()
            digest.update(f"{relative}\0{len(content)}\0".encode() + content)
            entries.append(
                {
                    "path": relative,
                    "mode": 0o755 if os.access(file, os.X_OK) else 0o644,
                    "content": base64.b64encode(content).decode(),
                }
            )
        address = digest.hexdigest()
        self.content[address] = {
            "mode": 0o755,
            "content": base64.b64encode(json.dumps(entries).encode()).decode(),
            "folder": True,
        }
        return {**mount, "source": f"@files/{address}/{path.name}", "bind": {"create_host_path": False}}

    def config(self, service: str, entry: Mapping[str, Any], file: str) -> dict[str, Any]:
        """A Compose config that is a file, as the read-only mount that Compose would make of it."""
        path = self.folder / file
        mount = {
            "type": "bind",
            "source": file,
            "target": entry.get("target") or f"/{entry['source']}",
            "read_only": True,
        }
        if not path.is_file():
            self.problems.append(
                Problem(
                    f"configs.{entry['source']}: {file} does not exist",
                    "the service could not read it",
                    f"create {file}",
                )
            )
            return mount
        return self._ship(service, mount, path)
