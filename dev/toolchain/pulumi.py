"""Gets the Pulumi engine, its Python language host and the plugins that the program uses.

What is on PATH is used first, then the official download, then builds from the Go modules under `go/`, for machines
that reach nothing but package registries.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
import re
import shutil
import sys
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dev.toolchain import golang
from dev.toolchain.cache import cache_root, cached, locked
from dev.toolchain.download import DownloadBlockedError, blocked, fetch, remember_blocked
from dev.toolchain.process import ToolchainError, run
from dev.toolchain.progress import say, step
from dev.toolchain.pulumi_pieces import (
    ENGINE,
    ENGINE_VERSION,
    LANGUAGE,
    LANGUAGE_HOST,
    MORE_PLUGIN_VERSIONS,
    MORE_PLUGINS,
    PLUGIN_VERSIONS,
    PLUGINS,
    PYTHON,
    Piece,
    build,
    build_key,
    files_in,
    sources_digest,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ENGINE_VERSION",
    "MORE_PLUGIN_VERSIONS",
    "OLDEST_ENGINE",
    "PLUGIN_VERSIONS",
    "ensure_plugin",
    "ensure_pulumi",
    "find_pulumi",
]

OLDEST_ENGINE: Final = (3, 220)
"""Major and minor version of the oldest engine that is used when it is on PATH."""

_DOWNLOAD_SERVER: Final = "get.pulumi.com"
_INSTALL_SECONDS: Final = 300.0  # a plugin's download


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Pulumi:
    """A Pulumi that is complete, as the ready stamp remembers it."""

    folders: list[str]
    """Put on PATH, after the Python environment."""
    variables: dict[str, str]
    needs: list[str]
    """Files and folders without which it is not complete any more."""


def ensure_pulumi() -> dict[str, str]:
    """What to add to the environment so that `pulumi` and the plugins work; gets what is missing first.

    Takes milliseconds once everything is there. Programs that run inside the environment may call it again.

    Raises:
        ToolchainError: when it can be neither downloaded nor built, or a download is not what was published.
    """
    key = _key()
    pulumi = _remembered(key)
    if pulumi is None:
        with locked("pulumi"), golang.caches():
            pulumi = _remembered(key) or _on_path() or _downloaded() or _built()
            _remember(key, pulumi)
    return _additions(pulumi)


def ensure_plugin(name: str) -> None:
    """One of `MORE_PLUGIN_VERSIONS` beside the plugins of `ensure_pulumi`: downloaded, or built where they were built.

    Raises:
        ToolchainError: as `ensure_pulumi`.
    """
    with golang.caches():
        environment = ensure_pulumi()
        with locked(f"pulumi-{name}"):
            if environment.get("PULUMI_HOME") == str(_built_home()):
                _linked(MORE_PLUGINS[name])
            elif not _plugin_folder(_home(), name).is_dir():
                _install(Path(shutil.which("pulumi", path=environment["PATH"]) or "pulumi"), name)


def find_pulumi() -> dict[str, str] | None:
    """As `ensure_pulumi` when everything is there already; None when something would have to be got."""
    pulumi = _remembered(_key())
    return _additions(pulumi) if pulumi else None


def _additions(pulumi: _Pulumi) -> dict[str, str]:
    folders = [str(Path(sys.executable).parent), *pulumi.folders]
    inherited = [entry for entry in os.environ.get("PATH", "").split(os.pathsep) if entry and entry not in folders]
    path = os.pathsep.join([*folders, *inherited])
    environment = {"PATH": path, "PULUMI_SKIP_UPDATE_CHECK": "true", **pulumi.variables}
    if "PULUMI_HOME" in environment:  # ours: the user's login stays where it is
        environment["PULUMI_CREDENTIALS_PATH"] = os.environ.get("PULUMI_CREDENTIALS_PATH") or str(_home())
    return environment


# --- the ready stamp: a warm run only looks


def _key() -> str:
    """Changes with everything that could change the outcome: this module, the Go sources, what is on PATH."""
    digest = hashlib.sha256(f"{platform.system()} {platform.machine()} {_home()}\n".encode())
    for program in ("pulumi", LANGUAGE_HOST):
        if found := _which(program):
            status = Path(found).stat()
            digest.update(f"{found} {status.st_mtime_ns} {status.st_size}\n".encode())
    digest.update(Path(__file__).read_bytes() + sources_digest().encode())
    return digest.hexdigest()


def _remembered(key: str) -> _Pulumi | None:
    try:
        stamp = json.loads((_folder() / "ready.json").read_text())
        pulumi = _Pulumi(**stamp["pulumi"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    complete = stamp.get("key") == key and all(Path(path).exists() for path in pulumi.needs)
    return pulumi if complete else None


def _remember(key: str, pulumi: _Pulumi) -> None:
    stamp = _folder() / "ready.json"
    partial = stamp.with_suffix(".partial")
    partial.write_text(json.dumps({"key": key, "pulumi": dataclasses.asdict(pulumi)}, indent=1))
    partial.rename(stamp)


def _folder() -> Path:
    folder = cache_root() / "pulumi"
    folder.mkdir(exist_ok=True)
    return folder


def _which(program: str) -> str | None:
    """The program on PATH that is not one of ours: inside the environment made here, ours come first."""
    ours = str(_folder())
    entries = os.environ.get("PATH", "").split(os.pathsep)
    return shutil.which(program, path=os.pathsep.join(entry for entry in entries if not entry.startswith(ours)))


def _home() -> Path:
    """The user's own Pulumi home: their login, their plugins."""
    inherited = os.environ.get("PULUMI_HOME", "")
    return Path(inherited) if inherited and not inherited.startswith(str(_folder())) else Path.home() / ".pulumi"


# --- what is on PATH


def _on_path() -> _Pulumi | None:
    engine, host = _which("pulumi"), _which(LANGUAGE_HOST)
    if engine is None or host is None:
        return None
    try:
        version = run([engine, "version"], seconds=60).decode(errors="replace").strip()
    except ToolchainError as error:
        say(f"pulumi on PATH does not work and is not used ({error})")
        return None
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    if numbers is None or (int(numbers[1]), int(numbers[2])) < OLDEST_ENGINE:
        say(f"pulumi {version} on PATH is older than {OLDEST_ENGINE[0]}.{OLDEST_ENGINE[1]}: not used")
        return None
    return _with_plugins(Path(engine), folders=[], needs=[engine, host])


def _with_plugins(engine: Path, *, folders: list[str], needs: list[str]) -> _Pulumi:
    """An official engine with its plugins: official ones in the user's home, built ones where they are blocked."""
    official = {name: _plugin_folder(_home(), name) for name in PLUGIN_VERSIONS}
    try:
        for name, folder in official.items():
            if not folder.is_dir():
                _install(engine, name)
    except DownloadBlockedError:
        say("the official plugin downloads are blocked here: building the plugins from Go modules, some minutes, once")
        variables, plugins = _built_plugins()
        return _Pulumi(folders=folders, variables=variables, needs=[*needs, *plugins])
    return _Pulumi(folders=folders, variables={}, needs=[*needs, *map(str, official.values())])


def _install(engine: Path, name: str) -> None:
    version = _version(name)
    again = f"pulumi plugin install resource {name} {version}"
    if blocked(_DOWNLOAD_SERVER):
        raise DownloadBlockedError(f"{_DOWNLOAD_SERVER} could not be reached earlier today", "it is not asked", again)
    with step(f"installing the Pulumi plugin {name} {version}", "the program uses it"):
        environment = {"PULUMI_HOME": str(_home()), "PULUMI_SKIP_UPDATE_CHECK": "true"}
        try:
            run([str(engine), *again.split()[1:]], env=environment, seconds=_INSTALL_SECONDS)
        except ToolchainError as error:
            remember_blocked(_DOWNLOAD_SERVER, str(error))
            raise DownloadBlockedError(f"the plugin {name} cannot be downloaded", str(error), again) from error


def _plugin_folder(home: Path, name: str) -> Path:
    return home / "plugins" / f"resource-{name}-v{_version(name)}"


def _version(name: str) -> str:
    return (PLUGIN_VERSIONS | MORE_PLUGIN_VERSIONS)[name]


# --- the official download


def _downloaded() -> _Pulumi | None:
    systems = {"Linux": "linux", "Darwin": "darwin"}
    machines = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}
    system, machine = systems.get(platform.system()), machines.get(platform.machine().lower())
    if system is None or machine is None or blocked(_DOWNLOAD_SERVER):
        return None
    archive = f"pulumi-v{ENGINE_VERSION}-{system}-{machine}.tar.gz"
    try:
        programs = ("pulumi/pulumi", f"pulumi/{LANGUAGE_HOST}")
        folder = cached("pulumi/official", archive, lambda made: _unpack(archive, made), holds=programs)
    except DownloadBlockedError:
        say("the official Pulumi download is blocked here: building Pulumi from its Go modules, some minutes, once")
        return None
    engine = folder / programs[0]
    return _with_plugins(engine, folders=[str(engine.parent)], needs=[str(folder / name) for name in programs])


def _unpack(archive: str, folder: Path) -> None:
    releases = f"https://{_DOWNLOAD_SERVER}/releases/sdk"
    with step(f"downloading Pulumi {ENGINE_VERSION}", "it runs the program"):
        checksums = f"{releases}/pulumi-{ENGINE_VERSION}-checksums.txt"
        packed = fetch(f"{releases}/{archive}", folder / archive, checksums=checksums)
        with tarfile.open(packed) as content:
            content.extraction_filter = getattr(tarfile, "data_filter", None)  # Debian 12's Python has none
            content.extractall(folder)  # noqa: S202  # that filter, and the checksum
        packed.unlink()


# --- builds from Go modules


def _built() -> _Pulumi:
    # Two builds side by side: while one waits for the network or links on one core, the other compiles.
    with ThreadPoolExecutor(max_workers=2) as pool:
        programs, building = pool.map(build, (ENGINE, LANGUAGE)), pool.submit(_built_plugins)
        pieces, (variables, plugins) = list(programs), building.result()
    # One folder for both: the engine warns at every run about a language host that is elsewhere on PATH.
    key = " ".join(build_key(piece) for piece in (ENGINE, LANGUAGE))
    files = [*ENGINE.files, *LANGUAGE.files]
    together = cached("pulumi/bin", key, lambda folder: _link(pieces, folder), holds=files)
    return _Pulumi(
        folders=[str(together)],
        variables={**variables, "PULUMI_PYTHON_CMD": str(together / PYTHON)},
        needs=[*(str(together / name) for name in files), *plugins],
    )


def _link(pieces: Iterable[Path], folder: Path) -> None:
    for file in (file for piece in pieces for file in files_in(piece)):
        (folder / file.name).hardlink_to(file)  # the engine resolves a symbolic link, and looks beside its target


def _built_plugins() -> tuple[dict[str, str], list[str]]:
    """The variables by which an engine uses plugins built here, and the plugins' files.

    One after the other: they share most of their modules, so that the first one's compiled packages serve the rest.
    """
    files = [_linked(piece) for piece in PLUGINS]
    # Every `pulumi_*` package installed makes the engine look for its plugin: where downloads are blocked, each look
    # that is not forbidden costs seconds a run.
    return {"PULUMI_HOME": str(_built_home()), "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true"}, files


def _built_home() -> Path:
    return _folder() / "home"


def _linked(piece: Piece) -> str:
    """The plugin, built, where the engine looks for it."""
    built = build(piece) / piece.program
    folder = _plugin_folder(_built_home(), piece.folder)
    folder.mkdir(parents=True, exist_ok=True)  # the engine wants a real folder, and follows a link only inside it
    link = folder / piece.program
    if not link.is_symlink() or link.readlink() != built:
        link.unlink(missing_ok=True)
        link.symlink_to(built)
    return str(link)
