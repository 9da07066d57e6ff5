"""The digests of images that are not built in this run: pinned ones, and third-party ones that are new.

A third-party tag is looked up once, when it first appears; from then on the live release's digest holds until the
Compose file names another image, so that a moved tag never restarts a database.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import re
from typing import TYPE_CHECKING, Any, Final

import pulumi

from slipway.contract.http_answers import WAY_OUT, limited
from slipway.contract.problems import Problem, SlipwayError, in_brief
from slipway.settings.edge_settings import edge_image
from slipway.settings.registry_names import is_local, plugin_address, plugin_name, registry_of
from slipway.settings.setting_files import config_set

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.compose.application import Application
    from slipway.settings.model import Settings

__all__ = ["Digests", "known_by_digest"]

# By name: importing the types of the docker plugin costs each run a tenth of a second.
_PLUGIN, _LOOK_UP = "docker", "docker:index/getRegistryImage:getRegistryImage"
_ANSWERED: Final = re.compile(r"\b(?:registry|credentials): (\d{3})\b")
"""How the docker plugin gives a registry's refusal; a port or a tag may hold the same digits."""
_ENGINES_WORDS: Final = re.compile(r".*?image version \S+ from registry: |.*?returned an error: ", re.DOTALL)
"""What the engine and the plugin say before they come to the reason: names that the problem has already."""


class Digests:
    """Looks digests up for one program run, collecting problems on the way."""

    def __init__(self, settings: Settings, application: Application, opts: pulumi.ResourceOptions) -> None:
        self._settings = settings
        self._own = registry_of(f"{settings.registry}/image")
        self._read = self._special_registries(application)
        self._reader = self._registry_reader(opts) if self._read else None
        self._problems: list[Problem] = []
        self._found: dict[str, str] = {}

    def of_pins(self, repositories: Mapping[str, str]) -> dict[str, str]:
        """Service → image by digest, for the tag that the stack is pinned to in each service's repository."""
        return {
            service: self._looked_up(f"{repository}:{self._settings.pin}", "pin")
            for service, repository in repositories.items()
        }

    def of_third_party(self, images: Mapping[str, str], live: Mapping[str, str]) -> dict[str, str]:
        """Service → image by digest, for images that are not built; `live` is what runs now, in the same form."""
        return {
            service: self.digest_of(f"services.{service}.image", image, live.get(service, ""))
            for service, image in images.items()
        }

    def digest_of(self, where: str, image: str, live: str) -> str:
        """`image` by digest; `live` is what runs now, in the same form, and `where` what names the image."""
        if "@sha256:" in image:
            return image
        tagged = image if ":" in image.rsplit("/", 1)[-1] else f"{image}:latest"
        return live if live.split("@", maxsplit=1)[0] == tagged else self._looked_up(tagged, where)

    def finish(self) -> None:
        """Raise a `SlipwayError` with every look-up that failed."""
        if self._problems:
            raise SlipwayError(self._problems)

    def _looked_up(self, reference: str, where: str) -> str:
        """`reference` with its digest, asked of its registry now; without one when that failed."""
        if reference not in self._found:
            try:
                self._found[reference] = f"{reference}@{self._ask(reference)}"
            except Exception as error:  # noqa: BLE001  # the engine raises plain exceptions for a failed invoke
                self._found[reference] = reference
                self._problems.append(self._problem(reference, where, str(error)))
        return self._found[reference]

    def _ask(self, reference: str) -> str:
        reader = self._reader if registry_of(reference) in self._read else None
        options = pulumi.InvokeOptions(provider=reader, version=_version())
        return str(pulumi.runtime.invoke(_LOOK_UP, {"name": plugin_name(reference)}, options).value["sha256Digest"])

    def _special_registries(self, application: Application) -> list[str]:
        """The registries that are not read as anybody may read any: with the stack's credentials, or without TLS.

        All in which a look-up could be needed, whatever is live: a provider that comes and goes, or changes, would be a
        change every time.
        """
        settings = self._settings
        images = [*application.images.values(), *([edge_image(settings)] if application.routed else [])]
        homes = {*map(registry_of, images), *([self._own] if settings.pin else [])}
        return sorted(home for home in homes if is_local(home) or (home == self._own and settings.registry_username))

    def _registry_reader(self, opts: pulumi.ResourceOptions) -> pulumi.ProviderResource:
        """The provider that reads them: only an address of its configuration makes the plugin do without TLS."""

        def entry(home: str) -> dict[str, Any]:
            login = self._settings.registry_login() if home == self._own else {}
            if not login:  # without this the plugin wants a Docker client's configuration file
                return {"address": plugin_address(home), "authDisabled": True}
            password = pulumi.Output.secret(login["password"])
            return {"address": plugin_address(home), "password": password, "username": login["username"]}

        properties: dict[str, Any] = {
            "registryAuth": pulumi.Output.from_input([entry(home) for home in self._read]).apply(json.dumps),
            "disableDockerDaemonCheck": "true",  # a registry is read without an engine
        }
        options = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(version=_version()))
        return pulumi.ProviderResource(_PLUGIN, "registry-reader", properties, options)

    def _problem(self, reference: str, where: str, error: str) -> Problem:
        """What a look-up's error means."""
        settings = self._settings
        answered = _ANSWERED.search(error)
        status = answered[1] if answered else ""
        if status == "404":
            return Problem(
                f"{where}: {reference} does not exist in its registry", "hosts could not pull it", "correct the tag"
            )
        if status == "429" or limited(error):
            return Problem(
                f"{where}: the registry of {reference} refuses more requests for now (rate limit)",
                "its digest is unknown, so nothing is changed",
                WAY_OUT,
            )
        if status in {"401", "403"} and registry_of(reference) != self._own:  # also Docker Hub's answer to a wrong name
            return Problem(
                f"{where}: {reference} does not exist in its registry, or it wants a login",
                "hosts could not pull it: they log in to the stack's own registry only",
                "correct its name, or push the image to that registry",
            )
        if status in {"401", "403"}:
            fix = config_set(settings.stack, "registryPassword", secret=True)
            fix = fix if settings.registry_username else config_set(settings.stack, "registryUsername")
            return Problem(
                f"{where}: the registry of {reference} refuses the credentials", "hosts could not pull it", fix
            )
        if "docker daemon" in error:
            return Problem(
                f"{where}: the digest of {reference} cannot be looked up without a Docker engine on this machine",
                "Pulumi's docker plugin reads registries only where it reaches one",
                "docker info",
            )
        return Problem(
            f"{where}: the registry of {reference} does not answer "
            f"({in_brief(settings.redactor().text(_ENGINES_WORDS.sub('', error, count=1)))})",
            "its digest is unknown, so nothing is changed",
            "run it again when the registry answers",
        )


@functools.cache
def _version() -> str:
    return importlib.metadata.version(f"pulumi-{_PLUGIN}")


def known_by_digest(reference: pulumi.Output[str]) -> pulumi.Output[str]:
    """`reference`, unknown while it has no digest: of an image that will be built a preview knows the tag only."""
    if not pulumi.runtime.is_dry_run():
        return reference

    async def value() -> str:
        return await reference.future() or ""

    async def known() -> bool:
        return "@sha256:" in await value()

    return pulumi.Output(reference.resources(), value(), known(), reference.is_secret())
