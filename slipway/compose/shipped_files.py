"""Files of the application's folder that services mount: they ship with the release.

A mount's source is `@files/SHA256/NAME` (shipped: an unchanged file keeps its address, so its services are left alone)
or `@data/PATH` (kept on the host; what git tracks of a writable folder is its first content there); named volumes and
absolute paths stay as they are.

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
import stat
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from slipway.compose.git import run_git
from slipway.contract.compose_tree import ShippedFile
from slipway.settings.secrets.private_files import as_secret, why_private

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from slipway.x_slipway.findings import Findings

__all__ = ["ShippedFiles", "kept_on_host"]

_SHIPPED_BYTES = 1_000_000  # configuration files travel on stdin and are stored about twice in the engine's state
_A_FILE = re.compile(r"[^/]\.(?!d$)\w+$|[a-z]file$")  # nginx.conf, Caddyfile; not conf.d


def kept_on_host(source: str) -> str:
    """The place on the host of a relative path that does not ship; stays below the stack's data folder."""
    parts = posixpath.normpath(source).split("/")
    return "@data/" + "/".join({"..": "_", ".": "_here"}.get(part, part) for part in parts)


def _made_by_compose(mount: Mapping[str, Any]) -> bool:
    """Whether Compose would make a folder of what is missing, and nothing says that a file is meant."""
    a_file = any(_A_FILE.search(str(mount.get(key))) for key in ("source", "target"))
    return bool((mount.get("bind") or {}).get("create_host_path")) and (mount["source"][-1] == "/" or not a_file)


class ShippedFiles:
    """Collects what ships with a release of the application in `folder`."""

    def __init__(self, folder: Path, repository: Path | None, found: Findings, stack: str) -> None:
        """`folder` is the Compose file's; `repository` the one that holds it, or None outside of git."""
        self.folder = folder
        self.content: dict[str, dict[str, Any]] = {}
        self.plain: dict[str, bytes] = {}
        """Every shipped file's content, by the path under which it was found."""
        self.found, self._stack = found, stack
        self._repository = repository
        self._boundary = (repository or folder).resolve()
        self._bytes = 0
        self._largest = (0, "")
        """The mount that most of them come from: bytes, and its source."""
        self._read = functools.cache(self._read_now)
        self._paths: dict[tuple[str, str], tuple[Path, bool]] = {}
        """Address and name of a shipped file → the file that has it, and whether a container may write it."""
        self._seeded: set[str] = set()

    def mount(self, service: str, mount: dict[str, Any]) -> dict[str, Any]:
        """A mount as the host sees it: read-only ones out of the application's folder ship, others stay there."""
        before = self._bytes
        try:
            return self._mount(service, mount)
        except OSError as error:
            self.found.refuse(
                f"services.{service}: {mount['source']} cannot be read ({error.strerror})",
                "the service could not read it either",
                "make it readable for the user who runs Slipway",
            )
            return mount
        finally:
            self._largest = max(self._largest, (self._bytes - before, str(mount.get("source"))))

    def _mount(self, service: str, mount: dict[str, Any]) -> dict[str, Any]:
        source = str(mount.get("source", "")).replace("$$", "$")
        if mount["type"] != "bind" or PurePosixPath(source).is_absolute():
            return mount
        if source == "~" or source.startswith("~/"):
            what = f"services.{service}: the mount at {mount.get('target')} is of {source}"
            meaning, fix = "on a host, that is the home of the user as whom Slipway connects", "write an absolute path"
            self.found.warn(what, meaning, fix)
            return mount
        if not source or source.startswith("~"):
            self.found.refuse(
                f"services.{service}: the mount at {mount.get('target')} is of {source or 'nothing'}",
                "what that is depends on who runs Slipway",
                "write an absolute path of the host, or a path in the application's folder, there or in the variable",
            )
            return mount
        path = self.folder / source
        if path.is_file():
            return self._ship(service, mount, path)
        if mount.get("read_only"):
            return self._ship_folder(service, mount, path)
        return {**mount, "source": self._kept(f"services.{service}", str(mount["source"]))}

    def volume(self, name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
        """A top-level volume; one that binds a relative folder binds a folder of the stack's own on the host."""
        options = entry.get("driver_opts") or {}
        device = str(options.get("device") or "")
        if "bind" in str(options.get("o") or "").split(",") and device and not device.startswith("/"):
            return {**entry, "driver_opts": {**options, "device": self._kept(f"volumes.{name}", device)}}
        return dict(entry)

    def _kept(self, where: str, source: str) -> str:
        """The place on the host of a folder that is mounted writable; what git tracks of it ships as its first content.

        The agent puts that in place once, where the folder is missing or empty: what containers write stays.
        """
        kept = kept_on_host(source)
        path = self.folder / source.replace("$$", "$")
        if kept in self._seeded or not path.is_dir():
            return kept
        self._seeded.add(kept)
        try:
            tracked = self._to_seed(path)
            size = sum(file.stat().st_size for file in tracked)
            there = any(path.iterdir())
        except OSError:  # another user's, such as a database's: nothing of a repository
            return kept
        what, meaning = f"{where}: the folder {source} is mounted writable", "on the host it starts empty"
        full = self._bytes <= _SHIPPED_BYTES < self._bytes + size
        # Where others leave no room for one in git, `finish` says so, and of which; outside of git it may be data.
        if size > _SHIPPED_BYTES or (full and not self._repository):
            report = self.found.refuse if self._repository else self.found.warn
            held = f"git tracks {size:,} bytes of it" if self._repository else f"it holds {size:,} bytes"
            total = f", with all else that ships {self._bytes + size:,}" if size <= _SHIPPED_BYTES else ""
            report(
                f"{what}, and {held}{total}",
                f"{meaning}, as Slipway ships at most {_SHIPPED_BYTES:,} with a release",
                "COPY its files into the image and mount a named volume, or mount an absolute path of the host",
            )
        elif tracked:
            self._bytes += size
            self._largest = max(self._largest, (size, source))
            address = self._folder_entry(path, [(file, *self._plain(file)) for file in tracked])
            self.content[address].setdefault("seeds", []).append(kept.removeprefix("@data/"))
            self.found.warn(
                what,
                f"its {len(tracked)} file(s) are copied to a host once, while it is missing or empty there",
                "where nothing is to write there, mount it `:ro`, so that later changes of them arrive as well",
            )
        elif there:
            self.found.warn(
                what,
                f"nothing of it {'that may ship is in git' if self._repository else 'may ship'}; {meaning}",
                (f"git add {shlex.quote(source)}, mount it `:ro` to ship it, or " if self._repository else "")
                + "use a named volume",
            )
        return kept

    def seeds(self, folder: Path) -> list[Path]:
        """The files that a writable mount of `folder` begins with."""
        try:
            return self._to_seed(folder)
        except OSError:
            return []

    def _to_seed(self, folder: Path) -> list[Path]:
        return [file for file in self._tracked(folder) if self._may_seed(file)]

    def _tracked(self, folder: Path) -> list[Path]:
        """The files of a folder that git tracks, sorted; outside of git all of them."""
        if not self._repository:
            return sorted(file for file in folder.rglob("*") if file.is_file())
        listed = run_git(folder, "ls-files", "-z").stdout.split("\0")
        return sorted(file for name in listed if name and (file := folder / name).is_file())

    def _may_seed(self, file: Path) -> bool:
        if not Path(os.path.realpath(file)).is_relative_to(self._boundary):
            return False
        return not why_private(file.name, b"" if file.stat().st_size > _SHIPPED_BYTES else file.read_bytes())

    def _plain(self, file: Path) -> tuple[int, bytes]:
        self.plain[self._shown(file)] = content = file.read_bytes()
        return (0o755 if os.access(file, os.X_OK) else 0o644), content

    def config(self, service: str, entry: Mapping[str, Any], file: str) -> dict[str, Any]:
        """A Compose config that is a file, as the read-only mount that Compose would make of it."""
        target = entry.get("target") or f"/{entry['source']}"
        mount = {"type": "bind", "source": file, "target": target, "read_only": True}
        path = file.replace("$$", "$")
        if PurePosixPath(path).is_absolute() or path.startswith("~") or (self.folder / path).is_file():
            return self.mount(service, mount)
        how = self._missing(self.folder / path, "the service could not read it", f"create {path}")
        self.found.refuse(f"configs.{entry['source']}: {path} does not exist", *how)
        return mount

    def _missing(self, path: Path, meaning: str, fix: str) -> tuple[str, str]:
        """What a missing file means, and what to do: a private one does not go into Git."""
        if not why_private(path.name, None):
            return meaning, fix
        how, command = as_secret(self._stack, path)
        return f"{meaning}; what its name promises does not go into Git: {how}", f"create it, then {command}"

    def finish(self) -> None:
        """Say so when more than 1,000,000 bytes would ship."""
        if self._bytes > _SHIPPED_BYTES:
            most, source = self._largest
            self.found.refuse(
                f"configuration files of {self._bytes:,} bytes are mounted from the application's folder, {most:,} of "
                f"them from {source}",
                f"Slipway ships at most {_SHIPPED_BYTES:,} with a release",
                f"COPY {source} into the service's image, or mount only what the service reads",
            )

    def _ship(self, service: str, mount: dict[str, Any], path: Path) -> dict[str, Any]:
        read = self._read(path)
        if read is None:
            return mount
        mode, content = read
        if not mount.get("read_only"):
            permissions = stat.S_IMODE(path.stat().st_mode)
            mode = mode if permissions & 0o077 else permissions & 0o700  # nobody else's: what writes there may insist
            self.found.warn(
                f"services.{service}: the file {mount['source']} is mounted writable",
                "it is put there once and then left as the container writes it, until a release ships another content",
                "mount it `:ro`",
            )
        return self._mounted(mount, path, self._entry({"mode": mode}, content))

    def _ship_folder(self, service: str, mount: dict[str, Any], path: Path) -> dict[str, Any]:
        """A read-only folder as one content-addressed folder: its files' names and contents decide its address."""
        if self._leads_out(path):
            return mount
        if not path.is_dir():
            what = f"services.{service}: {mount['source']} is neither a file nor a folder"
            meaning, fix = self._missing(path, "the mount would be empty", "add what belongs there to Git")
            fix = f"{fix}, or remove the mount from {service}"
            if path.exists() or not _made_by_compose(mount):
                self.found.refuse(what, meaning, fix)
                return mount
            self.found.warn(what, "the container finds an empty folder there, as with `docker compose up`", fix)
            return self._mounted(mount, path, self._folder_entry(path, []))
        files = []
        for file in self._files(path):
            read = self._read(file)
            if read is None:
                return mount
            files.append((file, *read))
        return self._mounted(mount, path, self._folder_entry(path, files))

    def _folder_entry(self, path: Path, files: Iterable[tuple[Path, int, bytes]]) -> str:
        entries = [
            {"path": file.relative_to(path).as_posix(), "mode": mode, "content": base64.b64encode(content).decode()}
            for file, mode, content in files
        ]
        return self._entry({"mode": 0o755, "folder": True}, json.dumps(entries).encode())

    def _entry(self, entry: dict[str, Any], content: bytes) -> str:
        """Take something that ships; its address."""
        address = hashlib.sha256(content).hexdigest()
        known = self.content.get(address, entry)
        self.content[address] = {
            **known,
            **entry,
            "mode": entry["mode"] | known["mode"],  # one content has one address: executable when one mount needs it
            "content": base64.b64encode(content).decode(),
        }
        return address

    def _mounted(self, mount: dict[str, Any], path: Path, address: str) -> dict[str, Any]:
        name = re.sub(r"[^\w.-]", "_", path.name, flags=re.ASCII).lstrip(".") or "_"
        this = (path, not mount.get("read_only"))
        while (other := self._paths.setdefault((address, name), this))[0] != path and (this[1] or other[1]):
            name = f"_{name}"  # two files that only begin alike: what is written to one is not written to the other
        bind = {**(mount.get("bind") or {}), "create_host_path": False}
        return {**mount, "source": str(ShippedFile(address, name)), "bind": bind}

    def _files(self, folder: Path) -> Iterator[Path]:
        """The files below a folder, sorted; links to anything but a file are refused, since only that could ship."""
        for path in sorted(folder.iterdir()):
            if path.is_symlink() and not path.is_file():
                if not self._leads_out(path):
                    self._refuse_link(path)
            elif path.is_dir() and path.name != ".git":  # its configuration may hold a token
                yield from self._files(path)
            elif path.is_file():
                yield path

    def _read_now(self, path: Path) -> tuple[int, bytes] | None:
        """Mode and content of a file that may ship; None after reporting why it may not."""
        shown = self._shown(path)
        if self._leads_out(path):
            return None
        self._bytes += path.stat().st_size
        if self._bytes > _SHIPPED_BYTES:
            return 0o644, b""  # reported by `finish`; nothing of it is used
        content = path.read_bytes()
        if what := why_private(path.name, content):
            how, command = as_secret(self._stack, path)
            meaning = f"each release would have it in the clear; {how}"
            self.found.refuse(f"{shown} {what}, and a service mounts it", meaning, command)
            return None
        self.plain[shown] = content
        return (0o755 if os.access(path, os.X_OK) else 0o644), content

    def _leads_out(self, path: Path) -> bool:
        """Whether a file or link is not of the repository, which is then reported.

        By where links point, not by what this machine has there: every machine says the same.
        """
        shown, link = self._shown(path), path
        for _ in range(40):  # as many as Linux follows
            if not link.is_symlink() or (target := link.readlink()).is_absolute():
                break
            link = link.parent / target
        inside = not {"..", ".git"} & {*Path(os.path.relpath(os.path.realpath(path), self._boundary)).parts}
        if inside and link.is_symlink() and target.is_absolute():
            better = os.path.relpath(os.path.realpath(path), os.path.realpath(path.parent))
            self.found.refuse(
                f"{shown} is a link to the absolute path {target}",
                "on another machine the repository lies elsewhere, and the link leads nowhere",
                shlex.join(["ln", "-sfn", better, os.path.relpath(path)]),
            )
        elif not inside:
            self.found.refuse(
                f"{shown} lies outside of the application's repository",
                "only what is in it can ship with a release",
                "copy it there, or write an absolute path of the host",
            )
        else:
            return False
        return True

    def _refuse_link(self, link: Path) -> None:
        if link.is_dir():
            what, meaning = "a folder", "a shipped folder holds files only"
            fix = "mount the folder itself, or COPY it into the service's image"
        else:
            what, meaning = f"{link.readlink()}, which does not exist", "where it does, its content would ship"
            fix = f"git add what it leads to, or remove it: rm {shlex.quote(os.path.relpath(link))}"
        self.found.refuse(f"{self._shown(link)} is a link to {what}", meaning, fix)

    def _shown(self, path: Path) -> str:
        """The path as the Compose file's folder sees it."""
        return os.path.relpath(path, self.folder)
