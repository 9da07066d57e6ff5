"""The digests of images that are not built in this run: pinned ones, and third-party ones that are new.

A third-party tag is looked up once, when it first appears; from then on the live release's digest holds until the
Compose file names another image, so that a moved tag never restarts a database.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from slipway.contract.problems import Problem, SlipwayError
from slipway.settings.edge_settings import edge_image
from slipway.settings.registry_names import address_of, is_local
from slipway.settings.setting_files import config_set

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.compose.application import Application
    from slipway.settings.model import Settings

__all__ = ["Digests", "known_by_digest"]


class Digests:
    """Looks digests up for one program run, collecting problems on the way."""

    def __init__(self, settings: Settings, application: Application, opts: pulumi.ResourceOptions) -> None:
        self._settings = settings
        self._reader = self._own_registry_reader(application, opts)
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
                self._problems.append(_problem(self._settings.stack, reference, where, str(error)))
        return self._found[reference]

    def _ask(self, reference: str) -> str:
        import pulumi_docker as docker  # noqa: PLC0415  # 0.2 s that a run without look-ups need not pay

        own = address_of(reference) == address_of(self._settings.registry)
        found = docker.get_registry_image(
            name=reference,
            insecure_skip_verify=is_local(address_of(reference)) or None,
            opts=pulumi.InvokeOptions(provider=self._reader if own else None),
        )
        return str(found.sha256_digest)

    def _own_registry_reader(
        self, application: Application, opts: pulumi.ResourceOptions
    ) -> pulumi.ProviderResource | None:
        """The provider that reads the stack's own registry; there whenever a look-up in it could ever be needed.

        Its existence must not depend on what is live: a provider that comes and goes would be a change every time.
        """
        settings, registry = self._settings, address_of(self._settings.registry)
        images = [*application.images.values(), *([edge_image(settings)] if application.routed else [])]
        own = bool(settings.pin) or any(address_of(image) == registry for image in images)
        if not own or not settings.registry_username:
            return None
        import pulumi_docker as docker  # noqa: PLC0415  # 0.2 s that a run without look-ups need not pay

        return docker.Provider(
            "registry-reader",
            registry_auth=[
                docker.ProviderRegistryAuthArgs(
                    address=registry,
                    username=settings.registry_username,
                    password=pulumi.Output.secret(settings.registry_password.get_secret_value()),
                )
            ],
            disable_docker_daemon_check=True,  # a registry is read without an engine
            opts=opts,
        )


def _problem(stack: str, reference: str, where: str, error: str) -> Problem:
    text = " ".join(error.split())[-300:]
    lowered = error.lower()
    if "404" in lowered or "not found" in lowered or "manifest unknown" in lowered:
        return Problem(
            f"{where}: {reference} does not exist in its registry", "hosts could not pull it", "correct the tag"
        )
    if "401" in lowered or "unauthorized" in lowered or "denied" in lowered:
        return Problem(
            f"{where}: the registry of {reference} refuses the credentials",
            "hosts could not pull it",
            config_set(stack, "registryPassword", secret=True),
        )
    return Problem(
        f"{where}: the registry of {reference} does not answer ({text})",
        "its digest is unknown, so nothing is changed",
        "run it again when the registry answers",
    )


def known_by_digest(reference: pulumi.Output[str]) -> pulumi.Output[str]:
    """`reference`, unknown while it has no digest: of an image that will be built a preview knows the tag only."""
    if not pulumi.runtime.is_dry_run():
        return reference

    async def value() -> str:
        return await reference.future() or ""

    async def known() -> bool:
        return "@sha256:" in await value()

    return pulumi.Output(reference.resources(), value(), known(), reference.is_secret())
