"""The images that the example application needs, under their official names in the local engine.

Owns: pulling them, or making stand-ins from Debian 13 packages (recipes in `images/`) where no image registry can be
reached, and serving the stand-ins through a registry of this machine. Does not own: the registry, the application's
own images. A stand-in is labelled `dev.slipway.stand-in=true` and keeps the official image's contract: entrypoint,
variables, paths, users, stop signal. An image that somebody else put under the name is never replaced.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import hashlib
import http.client
import json
import os
import select
import shutil
import subprocess
import tempfile
import urllib.parse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dev.toolchain import traefik
from dev.toolchain.cache import cache_root, locked
from dev.toolchain.download import DownloadBlockedError, blocked, remember_blocked
from dev.toolchain.process import run
from dev.toolchain.progress import say, step
from dev.toolchain.stand_ins.debian import apt
from dev.toolchain.stand_ins.rootfs import debian_key, ensure_debian

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["STAND_IN_LABEL", "ensure_images", "ensure_registry_image"]

STAND_IN_LABEL = "dev.slipway.stand-in"
_KEY_LABEL = "dev.slipway.key"
_RECIPES = Path(__file__).parent / "images"
_HUB = "registry-1.docker.io"
_FIRST_WORD_SECONDS = 8  # an engine that reaches Docker Hub prints its first line within two
_PULL_SECONDS = 600
_BUILD_SECONDS = 600
_MANIFESTS = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Image:
    """An official image: its name, the recipe of its stand-in, its name in a mirror of Docker Hub."""

    tag: str
    recipe: str
    mirrored: str


_BASE = _Image(tag="slipway/debian:13", recipe="debian", mirrored="")
_TRAEFIK = "traefik"
_LISTS = "slipway/apt-lists:13"
_REGISTRY = _Image(tag="registry:2", recipe="registry", mirrored="")
_IMAGES = (
    _Image(tag="python:3.13-slim-trixie", recipe="python", mirrored="library/python:3.13-slim-trixie"),
    _Image(tag="postgres:17-trixie", recipe="postgres", mirrored="library/postgres:17-trixie"),
    _Image(tag="valkey/valkey:8", recipe="valkey", mirrored="valkey/valkey:8"),
    _Image(tag="nginx:stable", recipe="nginx", mirrored="library/nginx:stable"),
    _Image(tag=f"traefik:v{traefik.VERSION}", recipe="traefik", mirrored=f"library/traefik:v{traefik.VERSION}"),
)


def _present(tags: Iterable[str]) -> dict[str, dict[str, Any]]:
    """What the engine has of `tags`: tag → `docker image inspect` document. One command, about 30 ms."""
    wanted = list(tags)
    done = subprocess.run(
        ["docker", "image", "inspect", "--format", "{{json .}}", *wanted], capture_output=True, check=False, timeout=60
    )
    documents = [json.loads(line) for line in done.stdout.splitlines() if line.strip()]
    return {tag: document for document in documents for tag in document["RepoTags"] or [] if tag in wanted}


def _labels(document: Mapping[str, Any]) -> dict[str, str]:
    return document.get("Config", {}).get("Labels") or {}


def _is_stand_in(document: Mapping[str, Any]) -> bool:
    return _labels(document).get(STAND_IN_LABEL) == "true"


def _key(image: _Image) -> str:
    """Changes with the recipe, the base's recipe, and whatever the base itself depends on."""
    digest = hashlib.sha256(debian_key(_index_url()).encode())
    for recipe in dict.fromkeys((_BASE.recipe, image.recipe)):
        for file in sorted((_RECIPES / recipe).iterdir()):
            digest.update(f"\0{file.name}\0".encode() + file.read_bytes())
    if image.recipe == _TRAEFIK:
        digest.update(traefik.traefik_key().encode())
    return digest.hexdigest()[:16]


def _usable(image: _Image, document: Mapping[str, Any] | None) -> bool:
    if document is None:
        return False
    return not _is_stand_in(document) or _labels(document).get(_KEY_LABEL) == _key(image)


def _index_url() -> str:
    """The package index that the environment names ("" for PyPI); one with a credential in it is not passed on."""
    url = os.environ.get("PIP_INDEX_URL") or os.environ.get("UV_DEFAULT_INDEX") or ""
    return "" if "@" in url else url


def _pull(tag: str) -> None:
    """Pull `tag`, giving up early where the engine does not get through.

    Raises:
        DownloadBlockedError: no first answer within 8 s, or the pull failed; Docker Hub is not asked again for a day.
    """
    fix = f"to ask again before a day is over: rm -r {cache_root() / 'blocked'}"
    if blocked(_HUB):
        raise DownloadBlockedError("Docker Hub could not be reached earlier today", "it is not asked again", fix)
    with subprocess.Popen(["docker", "pull", tag], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as puller:
        streams = [stream for stream in (puller.stdout, puller.stderr) if stream]
        answered, _, _ = select.select(streams, [], [], _FIRST_WORD_SECONDS)
        reason = f"no answer within {_FIRST_WORD_SECONDS} s"
        try:
            if answered:
                _, errors = puller.communicate(timeout=_PULL_SECONDS)
                if puller.returncode == 0:
                    return
                reason = errors.decode(errors="replace").strip()
        except subprocess.TimeoutExpired:
            reason = f"not complete within {_PULL_SECONDS} s"
        finally:
            if puller.poll() is None:
                puller.kill()
    remember_blocked(_HUB, reason)
    raise DownloadBlockedError(f"{tag} cannot be pulled ({reason})", "Docker Hub is out of reach", fix)


def _build(image: _Image, context: Path, *, file: str = "Dockerfile", tag: str | None = None) -> None:
    name = tag or image.tag
    run(
        [
            *("docker", "buildx", "build", "--builder", "default", "--load", "--provenance", "false"),
            *("--tag", name, "--label", f"{STAND_IN_LABEL}=true", "--label", f"{_KEY_LABEL}={_key(image)}"),
            *(("--build-arg", f"INDEX_URL={_index_url()}") if image.recipe == "python" else ()),
            *("--file", str(_RECIPES / image.recipe / file), str(context)),
        ],
        env={"BUILDX_NO_DEFAULT_ATTESTATIONS": "1"},
        seconds=_BUILD_SECONDS,
    )


def _make(image: _Image) -> None:
    """Build a stand-in; of Traefik, which Debian has no package of, the program first."""
    recipe = _RECIPES / image.recipe
    if image.recipe != _TRAEFIK:
        _build(image, recipe)
        return
    program = traefik.ensure_traefik()
    with tempfile.TemporaryDirectory(dir=cache_root(), prefix="traefik-image-") as scratch:
        for file in recipe.iterdir():
            shutil.copy(file, scratch)
        os.link(program, Path(scratch, program.name))
        _build(image, Path(scratch))


def _ensure_base() -> None:
    if not _usable(_BASE, _present([_BASE.tag]).get(_BASE.tag)):
        archive = ensure_debian()
        with tempfile.TemporaryDirectory(dir=cache_root(), prefix="debian-image-") as scratch:
            for file in (_RECIPES / _BASE.recipe).iterdir():
                shutil.copy(file, scratch)
            os.link(archive, Path(scratch, archive.name))
            _build(_BASE, Path(scratch))
    apt()  # package lists of today: with older ones a package may already be gone
    _build(_BASE, cache_root() / "apt/state/lists", file="lists.Dockerfile", tag=_LISTS)


def _pulled(image: _Image) -> bool:
    try:
        _pull(image.tag)
    except DownloadBlockedError:
        return False
    return True


def _obtain(images: Iterable[_Image]) -> None:
    """Pull what is missing; make stand-ins of what cannot be pulled; two at a time (the usual number of cores)."""
    missing = list(images)
    if not missing:
        return
    with locked("images"), concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        present = _present(image.tag for image in missing)
        missing = [image for image in missing if not _usable(image, present.get(image.tag))]
        to_make = missing
        if missing and not blocked(_HUB):
            with step("pulling images", "what services run on; official ones are asked for first"):
                pulled = dict(zip(missing, pool.map(_pulled, missing), strict=True))
            to_make = [image for image in missing if not pulled[image]]
        if to_make:
            names = ", ".join(image.tag for image in to_make)
            say(f"Docker Hub is out of reach ({blocked(_HUB)}): making stand-ins for {names}")
            with step(
                "making stand-in images", "the same contract as the official ones, from Debian packages and Go modules"
            ):
                _ensure_base()
                list(pool.map(_make, to_make))


def ensure_registry_image() -> str:
    """Make sure that the engine has the image of a registry (official, else a stand-in); its name."""
    if not _usable(_REGISTRY, _present([_REGISTRY.tag]).get(_REGISTRY.tag)):
        _obtain([_REGISTRY])
    return _REGISTRY.tag


def _digest_served(registry: str, mirrored: str) -> str:
    """The digest under which `registry` (host:port, plain HTTP) serves `mirrored` (name:tag); "" when it does not."""
    name, tag = mirrored.rsplit(":", 1)
    target = urllib.parse.urlsplit(f"//{registry}")
    connection = http.client.HTTPConnection(target.hostname or registry, target.port, timeout=10)
    try:
        connection.request("HEAD", f"/v2/{name}/manifests/{tag}", headers={"Accept": _MANIFESTS})
        answer = connection.getresponse()
        found = answer.status == http.HTTPStatus.OK
        return (answer.getheader("Docker-Content-Digest") or "") if found else ""
    except OSError:
        return ""
    finally:
        connection.close()


def _mirror(image: _Image, document: Mapping[str, Any], registry: str) -> None:
    """Push `image` to `registry` under the name by which a mirror of Docker Hub is asked for it, unless it is there."""
    name = f"{registry}/{image.mirrored}"
    digest = _digest_served(registry, image.mirrored)
    if digest and f"{name.rsplit(':', 1)[0]}@{digest}" in (document.get("RepoDigests") or []):
        return
    with step(f"serving {image.tag} from {registry}", "hosts pull third-party images through it"):
        run(["docker", "tag", image.tag, name])
        run(["docker", "push", "--quiet", name], seconds=_PULL_SECONDS)


def ensure_images(registry: str) -> dict[str, str]:
    """Make the example's images exist locally under their official names; about 60 ms when they do.

    Args:
        registry: host:port of a registry on this machine, into which stand-ins are pushed.

    Returns:
        Nothing when all are official; `{"SLIPWAY_MIRROR": registry}` when some are stand-ins, which only that
        registry has.

    Raises:
        ToolchainError: an image can neither be pulled nor made.
    """
    present = _present(image.tag for image in _IMAGES)
    missing = [image for image in _IMAGES if not _usable(image, present.get(image.tag))]
    if missing:
        _obtain(missing)
        present = _present(image.tag for image in _IMAGES)
    stand_ins = [image for image in _IMAGES if _is_stand_in(present[image.tag])]
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        list(pool.map(lambda image: _mirror(image, present[image.tag], registry), stand_ins))
    return {"SLIPWAY_MIRROR": registry} if stand_ins else {}
