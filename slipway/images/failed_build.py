"""Why a build failed, in the builder's own words, without the build's secrets.

pulumi-docker-build 0.0.22 drops what the builder printed and reports its exit code only (`exec`, the one way to the
builder that every engine has; provider/internal/cli.go, execBuild). The engine calls an error hook when a resource
fails, so the build is run once more there: what succeeded is cached, the failing step prints its output. Where the
second run succeeds, the cause had passed (a registry that was down), and the engine tries again, once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pulumi
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import monitor_supports_feature

from slipway.contract.commands import of_stack
from slipway.contract.http_answers import WAY_OUT, limited
from slipway.contract.problems import SlipwayError
from slipway.contract.redaction import printable
from slipway.images.build_cache import cache_of
from slipway.images.build_leftovers import docker_auth, remove_leftovers
from slipway.images.image_sources import relative
from slipway.settings.registry_names import address_of, credentials_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from slipway.compose.application import Build
    from slipway.settings.model import Settings

__all__ = ["explained", "last_words", "way_out"]

_LINES = 40


def explained(
    name: str, build: Build, tag: str, settings: Settings, bases: Mapping[str, pulumi.Output[str]]
) -> pulumi.ResourceHookBinding | None:
    """A hook that reports why the image `name` failed; None where the engine has no hooks, or builds nothing.

    `bases` are its contexts that are images of other builds.
    """
    supported = monitor_supports_feature(resource_pb2.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS)
    if pulumi.runtime.is_dry_run() or not supported:
        return None

    async def failed(args: pulumi.ErrorHookArgs) -> bool:
        contexts = {key: await base.future() or "" for key, base in bases.items()}
        named = replace(build, additional_contexts={**build.additional_contexts, **contexts})
        said = await _said(named, tag, settings)
        # now, not at the program's end: the engine may end it where a build failed
        await asyncio.to_thread(remove_leftovers, (tag,), settings)
        if said is None:
            return len(args.errors) == 1
        words = last_words(said)
        last = max((index for index, line in enumerate(words) if line.startswith("ERROR: ")), default=-1)
        reason = " ".join(words[last:]).removeprefix("ERROR: ") or "the builder gave no reason"
        error = SlipwayError(
            f"image {name} was not built and pushed: {reason}",
            "nothing was deployed",
            way_out(reason, build, settings),
        )
        pulumi.log.error("\n".join(["", *(f"    {printable(line)}" for line in words), printable(str(error))]))
        return False

    return pulumi.ResourceHookBinding(on_error=[pulumi.ErrorHook(f"{name}-failed", failed)])


def way_out(reason: str, build: Build, settings: Settings) -> str:
    """The command that leads on from `reason`, in the builder's words."""
    if limited(reason):
        return WAY_OUT
    pushed = "failed to push" in reason  # the build itself is well, and would only be so again
    return of_stack("slipway doctor", settings.stack) if pushed else f"docker build {relative(build.context)}"


def last_words(output: str) -> list[str]:
    """The part of the builder's plain output that shows the failure: from the failing step's own output on.

    BuildKit repeats it at the end, below a line of dashes.
    """
    lines = [line.rstrip() for line in output.splitlines() if line.strip()]
    begin = next((index for index, line in enumerate(lines) if line == "------"), len(lines) - _LINES)
    return lines[max(begin, len(lines) - _LINES, 0) :]


async def _said(build: Build, tag: str, settings: Settings) -> str | None:
    """What the builder prints when it is asked again, without secrets; None when the build succeeds now."""
    secrets = {identity: settings.secrets[variable].get_secret_value() for identity, variable in build.secrets.items()}
    variables = {f"SLIPWAY_BUILD_SECRET_{index}": value for index, value in enumerate(secrets.values())}
    with _docker_configuration(settings) as configuration:
        process = await asyncio.create_subprocess_exec(
            *_command(build, tag, settings, list(secrets)),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **variables, **configuration},
        )
        _, output = await process.communicate((build.dockerfile_inline or "").encode())
    return settings.redactor().text(output.decode(errors="replace")) if process.returncode else None


def _command(build: Build, tag: str, settings: Settings, secrets: list[str]) -> list[str]:
    """The command line that pulumi-docker-build runs, as far as it decides about success."""
    argv = ["docker", "buildx", "build", "--progress", "plain", "--builder", settings.builder, "--push", "--tag", tag]
    cache = cache_of(build, settings)
    options: dict[str, Iterable[str | None]] = {
        "--cache-from": cache.imports,
        "--cache-to": cache.exports,
        "--build-arg": (f"{key}={value}" for key, value in build.args.items()),
        "--secret": (f"id={identity},env=SLIPWAY_BUILD_SECRET_{index}" for index, identity in enumerate(secrets)),
        "--ssh": build.ssh,
        "--platform": build.platforms,
        "--add-host": build.extra_hosts,
        "--build-context": (f"{key}={value}" for key, value in build.additional_contexts.items()),
        "--target": (build.target,),
        "--network": (build.network,),
    }
    argv += [word for option, values in options.items() for value in values if value for word in (option, value)]
    argv += [flag for flag, given in (("--no-cache", build.no_cache), ("--pull", build.pull)) if given]
    if build.dockerfile_inline:
        argv += ["--file", "-"]
    elif build.dockerfile:
        argv += ["--file", str(Path(build.context) / build.dockerfile)]
    return [*argv, build.context]


@contextlib.contextmanager
def _docker_configuration(settings: Settings) -> Iterator[dict[str, str]]:
    """The variables that give Docker the registry's credentials, in a folder that is gone afterwards."""
    if not settings.registry_username:
        yield {}
        return
    own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    key = credentials_key(address_of(settings.registry))
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:
        content = {"auths": {key: {"auth": docker_auth(settings)}}, "cliPluginsExtraDirs": [str(own / "cli-plugins")]}
        (Path(folder) / "config.json").write_text(json.dumps(content))
        yield {"DOCKER_CONFIG": folder, "BUILDX_CONFIG": os.environ.get("BUILDX_CONFIG") or str(own / "buildx")}
