"""The cache of a build, as `docker buildx build --cache-from/--cache-to` take it, and whether the builder can do that.

The Compose file's own `cache_from` and `cache_to` come first; the setting `cache` fills in for builds without them.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, NamedTuple

from slipway.compose.git import tag_of
from slipway.contract.problems import Problem
from slipway.settings.setting_files import config_set

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slipway.compose.builds import Build
    from slipway.settings.model import Settings

__all__ = ["BuildCache", "cache_of", "check_builder"]

_BUILDER_SECONDS = 30
_EXPORTED = ("type=registry", "type=gha", "type=local", "type=s3", "type=azblob")


class BuildCache(NamedTuple):
    """Cache imports and exports of one build."""

    imports: tuple[str, ...]
    exports: tuple[str, ...]


def cache_of(build: Build, settings: Settings) -> BuildCache:
    """What `build` reads from and writes to. A refused export costs time, never the build: `ignore-error=true`."""
    if build.cache_from or build.cache_to:
        return BuildCache(build.cache_from, build.cache_to)
    match settings.cache:
        case "inline":
            return BuildCache((f"type=registry,ref={build.repository}:{tag_of(settings.stack)}",), ("type=inline",))
        case "registry":
            reference = f"type=registry,ref={build.repository}:buildcache"
            options = "mode=max,image-manifest=true,oci-mediatypes=true,ignore-error=true"
            return BuildCache((reference,), (f"{reference},{options}",))
        case "github":
            scope = f"type=gha,scope={build.repository.rsplit('/', 1)[-1]}"
            return BuildCache((scope,), (f"{scope},mode=max,ignore-error=true",))
        case _:
            return BuildCache((), ())


def check_builder(builds: Iterable[Build], settings: Settings) -> list[Problem]:
    """The problems of a builder that cannot do what a build asks for; asked only for what not every builder can."""
    builds = list(builds)
    exports = any(each.startswith(_EXPORTED) for build in builds for each in cache_of(build, settings).exports)
    platforms = any(len(build.platforms) > 1 for build in builds)
    if not exports and not platforms:
        return []
    inspected, builder = _docker("buildx", "inspect", settings.builder), settings.builder
    if inspected is None:
        fix = f"docker buildx create --name {builder} --driver docker-container"
        return [Problem(f"builder: there is no BuildKit builder '{builder}'", "no image can be built", fix)]
    driver = next((line.split()[1] for line in inspected.splitlines() if line.startswith("Driver:")), "")
    if driver != "docker" or "io.containerd.snapshotter" in (_docker("info", "--format", "{{.DriverStatus}}") or ""):
        return []
    why = "(it is Docker's own, with driver docker)"
    stopped = "every build would stop before it begins"
    use = config_set(settings.stack, "builder", "slipway")
    fix = f"docker buildx create --name slipway --driver docker-container && {use}"
    problems = []
    if exports:
        meaning = f"{stopped}, unless `cache` is `inline`"
        problems.append(Problem(f"cache: the builder '{builder}' cannot export a cache {why}", meaning, fix))
    if platforms:
        what = f"platforms: the builder '{builder}' cannot build for several platforms {why}"
        problems.append(Problem(what, stopped, fix))
    return problems


def _docker(*arguments: str) -> str | None:
    """What a Docker command prints; None when it fails."""
    try:
        done = subprocess.run(
            ["docker", *arguments], capture_output=True, text=True, timeout=_BUILDER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None
