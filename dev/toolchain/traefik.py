"""Builds Traefik, for machines that cannot pull its image.

Owns: the version, how the program is built from its Go module, and what is left out of it: the providers other than
files and Docker, and the DNS providers of its ACME library, which bring two thirds of all packages along. Does not
own: the image around it (`images`), or whether one is needed. Produces: a program, kept in the cache until the sources
under `go/traefik` change.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Final

from dev.toolchain import golang
from dev.toolchain.cache import cached
from dev.toolchain.progress import step

__all__ = ["PROGRAM", "VERSION", "ensure_traefik", "traefik_key"]

VERSION: Final = "3.7.13"
PROGRAM: Final = "traefik"

_SOURCE: Final = Path(__file__).parent / "go/traefik"
_PACKAGE: Final = "github.com/traefik/traefik/v3/cmd/traefik"
_VERSION_VARIABLE: Final = "github.com/traefik/traefik/v3/pkg/version.Version"

_FETCHED: Final = "fetched"  # a go.mod that names the two modules as they are published
_COPIES: Final = {  # built from a changed copy → (a package of it, how many folders down that is)
    "lego": ("github.com/go-acme/lego/v5/challenge", 1),
    "traefik": ("github.com/traefik/traefik/v3/pkg/tls/generate", 3),
}
_LEFT_OUT: Final = "left-out"  # what stands in for what is left out
_REPLACED: Final = {
    "zz_gen_dns_providers.go": "lego/providers/dns",
    "k8sdetector.go": "traefik/pkg/types",
}
_ABSENT: Final = "absent.go"
_UNPUBLISHED: Final = "ext"  # a module of Traefik's repository that no proxy serves
_PROVIDERS: Final = {  # folder below traefik/pkg/provider → name of its package
    **{name: name for name in ("consulcatalog", "ecs", "nomad")},
    **{f"kv/{name}": name for name in ("consul", "etcd", "redis", "zk")},
    **{f"kubernetes/{name}": name for name in ("crd", "gateway", "ingress", "knative")},
    "kubernetes/ingress-nginx": "ingressnginx",
}


def traefik_key() -> str:
    """Changes with everything that the program is built from."""
    digest = hashlib.sha256(VERSION.encode() + Path(__file__).read_bytes())
    for file in sorted(path for path in _SOURCE.rglob("*") if path.is_file()):
        digest.update(f"\0{file.relative_to(_SOURCE)}\0".encode() + file.read_bytes())
    return digest.hexdigest()


def ensure_traefik() -> Path:
    """The program, built when it is not there, which takes some minutes.

    Raises:
        ToolchainError: a module cannot be fetched, or it does not compile.
    """
    return cached("traefik", traefik_key(), _build, holds=[PROGRAM]) / PROGRAM


def _build(folder: Path) -> None:
    with golang.caches(), step(f"building Traefik {VERSION}", "its image cannot be pulled here; once per version"):
        source = folder / "source"
        source.mkdir()
        for name in ("go.mod", "go.sum"):
            shutil.copyfile(_SOURCE / name, source / name)
        for name, (package, depth) in _COPIES.items():
            _copy(golang.package_folder(_SOURCE / _FETCHED, package).parents[depth - 1], source / name)
        _leave_out(source)
        golang.build(source, _PACKAGE, folder / PROGRAM, define=f"{_VERSION_VARIABLE}={VERSION}")
        shutil.rmtree(source)


def _copy(module: Path, to: Path) -> None:
    """Copy a module from Go's cache, where it may be read-only."""
    shutil.copytree(module, to)
    for path in (to, *to.rglob("*")):
        path.chmod(path.stat().st_mode | 0o200)


def _leave_out(source: Path) -> None:
    shutil.copytree(_SOURCE / _LEFT_OUT / _UNPUBLISHED, source / _UNPUBLISHED)
    for name, folder in _REPLACED.items():
        shutil.copyfile(_SOURCE / _LEFT_OUT / name, source / folder / name)
    absent = (_SOURCE / _LEFT_OUT / _ABSENT).read_text()
    for name, package in _PROVIDERS.items():
        provider = source / "traefik/pkg/provider" / name
        shutil.rmtree(provider)
        provider.mkdir()
        (provider / _ABSENT).write_text(absent.replace("package absent\n", f"package {package}\n"))
