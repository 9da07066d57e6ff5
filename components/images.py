"""RegistryImages: every service's image by digest; what has a `build:` is built, pushed and tagged.

A build is tagged with the stack's name only, so that a new commit that changes nothing of it changes nothing here: the
digest stays. Commit and branch are put beside it afterwards, by a command of their own.
"""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pulumi
import pulumi_docker_build as docker_build
from pulumi_command import local

from slipway.compose.builds import IMAGE
from slipway.compose.git import Revision, tag_of
from slipway.images import registry_tags
from slipway.images.build_cache import cache_of
from slipway.images.build_leftovers import remove_at_exit
from slipway.images.context_hash import context_hash
from slipway.images.digests import Digests, known_by_digest
from slipway.images.failed_build import explained
from slipway.images.image_sources import build_owners, content_key, given_images, kept_name, relative, with_bases
from slipway.settings.edge_settings import edge_image
from slipway.settings.registry_names import address_of, without_tag

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.compose.application import Application, Build
    from slipway.settings.model import Settings

__all__ = ["RegistryImages", "RegistryImagesArgs"]

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

    images: dict[str, pulumi.Output[str]]
    """Service → `NAME:TAG@sha256:…`; what is built is unknown in a preview."""
    edge: str
    """The edge's image by digest; empty when no service has a route."""

    def __init__(self, name: str, args: RegistryImagesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:images:RegistryImages", name, None, opts)
        self._args = args
        self._named: dict[bytes, tuple[str, Build]] = {}
        self._references: dict[bytes, pulumi.Output[str]] = {}
        settings, application = args.settings, args.application
        self._child = pulumi.ResourceOptions(parent=self)
        digests = Digests(settings, application, self._child)
        owners = build_owners(application.builds, args.live)
        third_party = digests.of_third_party({**application.images, **given_images(settings, application)}, args.live)
        self.edge = digests.digest_of("edgeImage", edge_image(settings), args.live_edge) if application.routed else ""
        built: Mapping[str, pulumi.Input[str]]
        if settings.images:
            built = {service: settings.images[service] for service in owners}
        elif settings.pin:
            built = digests.of_pins({name: application.builds[owner].repository for name, owner in owners.items()})
        digests.finish()
        if not (settings.images or settings.pin):
            built = self._built(name, owners)
        self.images = {service: pulumi.Output.from_input(image) for service, image in {**built, **third_party}.items()}
        self.register_outputs({"images": self.images})

    def _built(self, name: str, owners: Mapping[str, str]) -> dict[str, pulumi.Output[str]]:
        """Build each distinct `build:` once; services that share one share its image."""
        builds = {owner: self._args.application.builds[owner] for owner in sorted(set(owners.values()))}
        if not pulumi.runtime.is_dry_run():
            remove_at_exit({self._tag(build) for build in with_bases(builds.values())}, self._args.settings)
        self._named = {content_key(build): (f"{name}-{owner}", build) for owner, build in builds.items()}
        references = {owner: self._reference(build) for owner, build in builds.items()}
        self._tags(name, {builds[owner].repository: reference for owner, reference in references.items()})
        live, registry = self._args.live, self._args.settings.registry
        return {
            service: references[owner].apply(partial(kept_name, live=live.get(service, ""), registry=registry))
            for service, owner in owners.items()
        }

    def _reference(self, build: Build) -> pulumi.Output[str]:
        """The image of a build by digest, which is made once; one that no service runs is named as its own would be."""
        key = content_key(build)
        if key not in self._references:
            name, build = self._named.get(key, (build.repository.rsplit("/", 1)[-1], build))
            self._references[key] = known_by_digest(self._image(name, build).ref)
        return self._references[key]

    def _tag(self, build: Build) -> str:
        """The one tag that a build pushes."""
        return f"{build.repository}:{tag_of(self._args.settings.stack)}"

    def _image(self, name: str, build: Build) -> docker_build.Image:
        settings = self._args.settings
        tag, cache, login = self._tag(build), cache_of(build, settings), settings.registry_login()
        secrets = {
            identity: pulumi.Output.secret(settings.secrets[variable].get_secret_value())
            for identity, variable in build.secrets.items()
        }
        bases = {key: pulumi.Output.concat(IMAGE, self._reference(base)) for key, base in build.bases.items()}
        folders = {key: relative(value) for key, value in build.additional_contexts.items()}
        named: dict[str, pulumi.Input[str]] = {**folders, **bases}
        contexts = {key: docker_build.ContextArgs(location=each) for key, each in named.items()}
        registries = login and [
            docker_build.RegistryArgs(
                address=address_of(settings.registry),
                username=login["username"],
                password=pulumi.Output.secret(login["password"]),
            )
        ]
        arguments = dict(build.args)
        if missed := context_hash(build):
            arguments["SLIPWAY_CONTEXT"] = missed  # no Dockerfile asks for it, so it changes no layer: it is a reason
        dockerfile = None
        if build.dockerfile_inline:
            dockerfile = docker_build.DockerfileArgs(inline=build.dockerfile_inline)
        elif build.dockerfile:
            dockerfile = docker_build.DockerfileArgs(location=relative(str(Path(build.context) / build.dockerfile)))
        return docker_build.Image(
            name,
            push=True,
            exec_=True,  # the plain `docker` builder, which every engine has, is only reached through the CLI
            builder=docker_build.BuilderConfigArgs(name=settings.builder),
            build_on_preview=False,
            context=docker_build.BuildContextArgs(location=relative(build.context), named=contexts or None),
            dockerfile=dockerfile,
            target=build.target,
            build_args=arguments or None,
            labels=dict(build.labels) or None,
            secrets=secrets or None,
            ssh=[docker_build.SSHArgs(id=identity) for identity in build.ssh] or None,
            platforms=[docker_build.Platform(platform) for platform in build.platforms] or None,
            add_hosts=list(build.extra_hosts) or None,
            network=docker_build.NetworkMode(build.network) if build.network else None,
            no_cache=build.no_cache or None,
            pull=build.pull or None,
            cache_from=[docker_build.CacheFromArgs(raw=each) for each in cache.imports] or None,
            cache_to=[docker_build.CacheToArgs(raw=each) for each in cache.exports] or None,
            tags=[tag],
            registries=registries or None,
            # Left in the registry when the service goes: earlier releases need it on their way back.
            opts=pulumi.ResourceOptions(
                parent=self, retain_on_delete=True, hooks=explained(name, build, tag, settings, bases)
            ),
        )

    def _tags(self, name: str, repositories: Mapping[str, pulumi.Output[str]]) -> None:
        """Tag every built image with commit and branch, beside the deployment and not before it."""
        revision = self._args.revision
        named = "" if self._args.settings.restricted else revision.branch  # a stranger's may be called `production`
        tags = [tag_of(text) for text in (revision.commit, named) if text]
        if not tags or not repositories:
            return
        pairs = [
            pulumi.Output.concat(repository, ":", tag, "=", reference.apply(without_tag))
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
            stdin=pulumi.Output.secret(json.dumps(self._args.settings.registry_login()) + "\n"),
            add_previous_output_in_env=False,
            opts=self._child,
        )
