"""RegistryImages: the images of a release, by digest.

Owns: building what has a `build:` section (cached, pushed, tagged with commit and branch). Does not own: the builds'
content (the Compose file), the digests of what is not built (see `digests`), or pulling.
Produces: service → image by digest.

A build is tagged with the stack's name only, so that a new commit that changes nothing of it changes nothing here: the
digest stays. Commit and branch are put beside it afterwards, by a command of their own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pulumi
import pulumi_docker_build as docker_build
from pulumi_command import local

from slipway.compose.git import Revision, tag_of
from slipway.contract.canonical import canonical
from slipway.contract.problems import Problem, SlipwayError
from slipway.images import registry_tags
from slipway.images.build_cache import cache_of
from slipway.images.build_leftovers import remove_at_exit
from slipway.images.digests import Digests
from slipway.images.failed_build import explained
from slipway.settings.edge_settings import edge_image
from slipway.settings.registry_names import address_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.compose.application import Application, Build
    from slipway.settings.model import Settings

__all__ = ["RegistryImages", "RegistryImagesArgs"]

_BY_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")
_TAGGING = Path(".slipway") / "registry_tags.py"
"""The script beside Pulumi.yaml, so that the state names no path of this machine: the engine's plugin runs it."""
_TAG = f"exec python3 {_TAGGING.as_posix()}"


@dataclass(frozen=True, kw_only=True)
class RegistryImagesArgs:
    """Which images, and where they go."""

    settings: Settings
    application: Application
    revision: Revision
    live: Mapping[str, str]
    """Service → image by digest of the release that is live now; empty before the first."""
    live_edge: str = ""
    """The image by digest that the hosts' edge runs now; empty without one."""


class RegistryImages(pulumi.ComponentResource):
    """The images of one application in one registry."""

    images: pulumi.Output[dict[str, str]]
    """Service → `NAME:TAG@sha256:…`."""
    edge: str
    """The edge's image by digest; empty when no service has a route."""

    def __init__(self, name: str, args: RegistryImagesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:images:RegistryImages", name, None, opts)
        self._args = args
        settings, application = args.settings, args.application
        self._child = pulumi.ResourceOptions(parent=self)
        digests = Digests(settings, application, self._child)
        owners = _owners(application.builds)
        third_party = digests.of_third_party({**application.images, **_given(settings, application)}, args.live)
        self.edge = digests.of_edge(edge_image(settings), args.live_edge) if application.routed else ""
        built: Mapping[str, pulumi.Input[str]]
        if settings.images:
            digests.finish()
            built = {service: settings.images[service] for service in owners}
        elif settings.pin:
            built = digests.of_pins(
                {service: application.builds[owner].repository for service, owner in owners.items()}
            )
            digests.finish()
        else:
            digests.finish()
            built = self._built(name, owners)
        self.images = pulumi.Output.all(**built, **third_party).apply(dict)
        self.register_outputs({"images": self.images})

    def _built(self, name: str, owners: Mapping[str, str]) -> dict[str, pulumi.Output[str]]:
        """Build each distinct `build:` once; services that share one share its image."""
        builds = {owner: self._args.application.builds[owner] for owner in sorted(set(owners.values()))}
        if not pulumi.runtime.is_dry_run():
            remove_at_exit({self._tag(build) for build in builds.values()}, self._args.settings)
        references = {owner: _by_digest(self._image(f"{name}-{owner}", build).ref) for owner, build in builds.items()}
        self._tags(name, {builds[owner].repository: reference for owner, reference in references.items()})
        return {service: references[owner] for service, owner in owners.items()}

    def _tag(self, build: Build) -> str:
        """The one tag that a build pushes."""
        return f"{build.repository}:{tag_of(self._args.settings.stack)}"

    def _image(self, name: str, build: Build) -> docker_build.Image:
        settings = self._args.settings
        location, tag = _relative(build.context), self._tag(build)
        cache = cache_of(build, settings)
        dockerfile = None
        if build.dockerfile_inline:
            dockerfile = docker_build.DockerfileArgs(inline=build.dockerfile_inline)
        elif build.dockerfile:
            dockerfile = docker_build.DockerfileArgs(location=_relative(str(Path(build.context) / build.dockerfile)))
        return docker_build.Image(
            name,
            push=True,
            exec_=True,  # the plain `docker` builder, which every engine has, is only reached through the CLI
            builder=docker_build.BuilderConfigArgs(name=settings.builder),
            build_on_preview=False,
            context=docker_build.BuildContextArgs(
                location=location,
                named={
                    key: docker_build.ContextArgs(location=_relative(value))
                    for key, value in build.additional_contexts.items()
                }
                or None,
            ),
            dockerfile=dockerfile,
            target=build.target,
            build_args=dict(build.args) or None,
            secrets=self._secrets(build),
            ssh=[docker_build.SSHArgs(id=identity) for identity in build.ssh] or None,
            platforms=[docker_build.Platform(platform) for platform in build.platforms] or None,
            add_hosts=list(build.extra_hosts) or None,
            network=docker_build.NetworkMode(build.network) if build.network else None,
            no_cache=build.no_cache or None,
            pull=build.pull or None,
            cache_from=[docker_build.CacheFromArgs(raw=each) for each in cache.imports] or None,
            cache_to=[docker_build.CacheToArgs(raw=each) for each in cache.exports] or None,
            tags=[tag],
            registries=self._registries(),
            # Left in the registry when the service goes: earlier releases need it on their way back.
            opts=pulumi.ResourceOptions(
                parent=self, retain_on_delete=True, hooks=explained(name, build, tag, settings)
            ),
        )

    def _secrets(self, build: Build) -> dict[str, pulumi.Output[str]] | None:
        values = self._args.settings.secrets
        return {
            identity: pulumi.Output.secret(values[variable].get_secret_value())
            for identity, variable in build.secrets.items()
        } or None

    def _registries(self) -> list[docker_build.RegistryArgs] | None:
        settings = self._args.settings
        if not settings.registry_username:
            return None
        return [
            docker_build.RegistryArgs(
                address=address_of(settings.registry),
                username=settings.registry_username,
                password=pulumi.Output.secret(settings.registry_password.get_secret_value()),
            )
        ]

    def _tags(self, name: str, repositories: Mapping[str, pulumi.Output[str]]) -> None:
        """Tag every built image with commit and branch, beside the deployment and not before it."""
        tags = [tag_of(text) for text in self._args.revision if text]
        if not tags or not repositories:
            return
        pairs = [
            pulumi.Output.concat(repository, ":", tag, "=", _without_tag(reference))
            for repository, reference in repositories.items()
            for tag in tags
        ]
        if not pulumi.runtime.is_dry_run():
            _TAGGING.parent.mkdir(exist_ok=True)
            shutil.copyfile(registry_tags.__file__, _TAGGING)
        local.Command(
            f"{name}-tags",
            create=_TAG,
            update=_TAG,
            environment={"SLIPWAY_TAGS": pulumi.Output.all(*pairs).apply(" ".join)},
            stdin=pulumi.Output.secret(_credentials(self._args.settings) + "\n"),
            add_previous_output_in_env=False,
            opts=self._child,
        )


def _given(settings: Settings, application: Application) -> dict[str, str]:
    """The images that the stack is told for services that are not built.

    Raises:
        SlipwayError: when what it is told does not fit the application.
    """
    given, services = settings.images, {*application.builds, *application.images}
    if not given:
        return {}
    fix = "name exactly the services that have a build (slipway promote does)"
    problems = [
        Problem(f"images.{name}: {what}", "it is not known what would run", fix)
        for name, what in (
            *((name, "no service has that name") for name in sorted(given.keys() - services)),
            *(
                (name, "the service has a build, and no image is given for it")
                for name in sorted(application.builds.keys() - given.keys())
            ),
            *(
                (name, "is not an image by digest (NAME@sha256:…)")
                for name, image in given.items()
                if not _BY_DIGEST.fullmatch(image)
            ),
        )
    ]
    if problems:
        raise SlipwayError(problems)
    return {name: image for name, image in given.items() if name in application.images}


def _owners(builds: Mapping[str, Build]) -> dict[str, str]:
    """Service → the first service (by name) with an equal build: the one whose repository the image is pushed to."""
    first: dict[bytes, str] = {}
    return {
        service: first.setdefault(canonical({**vars(build), "repository": ""}), service)
        for service, build in sorted(builds.items())
    }


def _relative(path: str) -> str:
    """A path below the program's folder relative to it, so that another machine's state looks the same."""
    return os.path.relpath(path, Path.cwd()) if Path(path).is_absolute() else path


def _by_digest(reference: pulumi.Output[str]) -> pulumi.Output[str]:
    """`reference`, unknown while it has no digest: of an image that will be built a preview knows the tag only."""
    if not pulumi.runtime.is_dry_run():
        return reference

    async def value() -> str:
        return await reference.future() or ""

    async def known() -> bool:
        return "@sha256:" in await value()

    return pulumi.Output(reference.resources(), value(), known(), reference.is_secret())


def _without_tag(reference: pulumi.Output[str]) -> pulumi.Output[str]:
    def bare(text: str) -> str:
        name, _, digest = text.partition("@")
        head, _, tail = name.rpartition("/")
        return f"{head}/{tail.split(':')[0]}@{digest}"

    return reference.apply(bare)


def _credentials(settings: Settings) -> str:
    """The registry's credentials, as one line of JSON."""
    if not settings.registry_username:
        return "{}"
    return json.dumps(
        {"username": settings.registry_username, "password": settings.registry_password.get_secret_value()}
    )
