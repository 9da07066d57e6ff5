"""The programs that make up Pulumi where they are built from the Go modules under `go/`.

Owns: which they are, in which versions, and building one. Does not own: whether one is built at all (pulumi.py).
"""

from __future__ import annotations

import dataclasses
import hashlib
import platform
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dev.toolchain import golang
from dev.toolchain.cache import cached
from dev.toolchain.progress import step

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ENGINE", "ENGINE_VERSION", "LANGUAGE", "LANGUAGE_HOST", "MORE_PLUGINS", "MORE_PLUGIN_VERSIONS", "PLUGINS",
    "PLUGIN_VERSIONS", "PYTHON", "Piece", "build", "build_key", "files_in", "sources_digest",
]  # fmt: skip

ENGINE_VERSION: Final = "3.256.0"

PLUGIN_VERSIONS: Final = {"command": "1.2.1", "docker": "5.2.0", "docker-build": "0.0.22", "github": "6.15.0"}
"""The plugins' versions: those of the `pulumi_*` Python packages, by which the engine looks a plugin up."""

MORE_PLUGIN_VERSIONS: Final = {"hcloud": "1.43.3"}
"""As above, of plugins that only some programs use: `ensure_plugin` gets one."""

_SOURCES: Final = Path(__file__).parent / "go"
LANGUAGE_HOST: Final = "pulumi-language-python"
_EXECUTOR: Final = f"{LANGUAGE_HOST}-exec"  # what the language host runs, beside it
PYTHON: Final = "pulumi-python"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Piece:
    """One program built from Go modules, by the go.mod in the folder `go/<folder>`."""

    folder: str
    program: str
    package: str = "."
    version_variable: str = ""
    """Where the linker puts the version, for programs that do not hold it themselves."""

    @property
    def files(self) -> tuple[str, ...]:
        """The program, and the scripts without which it does not work."""
        scripts = (PYTHON, _EXECUTOR, f"{_EXECUTOR}-module") if self.program == LANGUAGE_HOST else ()
        return (self.program, *scripts)


_SDK_VERSION = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
ENGINE: Final = Piece(
    folder="engine",
    program="pulumi",
    package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    version_variable=f"{_SDK_VERSION}=v{ENGINE_VERSION}",
)
LANGUAGE: Final = Piece(
    folder="language-python",
    program=LANGUAGE_HOST,
    package="github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python",
    version_variable=f"{_SDK_VERSION}=v3.79.0",
)
PLUGINS: Final = (
    Piece(
        folder="docker-build",
        program="pulumi-resource-docker-build",
        package="github.com/pulumi/pulumi-docker-build/provider/cmd/pulumi-resource-docker-build",
        version_variable=f"github.com/pulumi/pulumi-docker-build/provider.Version={PLUGIN_VERSIONS['docker-build']}",
    ),
    Piece(folder="command", program="pulumi-resource-command"),
    Piece(folder="docker", program="pulumi-resource-docker"),
    Piece(folder="github", program="pulumi-resource-github"),
)
MORE_PLUGINS: Final = {"hcloud": Piece(folder="hcloud", program="pulumi-resource-hcloud")}


def files_in(folder: Path) -> list[Path]:
    """Every file under it."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _digest(files: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\n".encode())
        digest.update(file.read_bytes())
    return digest.hexdigest()


def build(piece: Piece) -> Path:
    """The folder with the piece's program, built unless it is there for these very sources and this machine."""
    name = f"pulumi/built-{piece.folder}"
    return cached(name, build_key(piece), lambda folder: _compile(piece, folder), holds=piece.files)


def sources_digest() -> str:
    """Changes with this module and whatever is built."""
    return _digest([Path(__file__), *files_in(_SOURCES)])


def build_key(piece: Piece) -> str:
    """Changes with the piece's own sources and what the linker is given, and with nothing else in this module."""
    sources = _digest(files_in(_SOURCES / piece.folder))
    return f"{sources} {platform.system()} {platform.machine()} {dataclasses.astuple(piece)}"


def _compile(piece: Piece, folder: Path) -> None:
    source = _SOURCES / piece.folder
    with step(f"building {piece.program}", "its official download is blocked here; once per version"):
        golang.build(source, piece.package, folder / piece.program, define=piece.version_variable)
        if piece is LANGUAGE:
            module = golang.package_folder(source, piece.package).parent / _EXECUTOR
            scripts = {PYTHON: source / PYTHON, _EXECUTOR: source / _EXECUTOR, f"{_EXECUTOR}-module": module}
            for name, script in scripts.items():
                shutil.copyfile(script, folder / name)
                (folder / name).chmod(0o755)
