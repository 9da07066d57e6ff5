"""Application: what a Compose file describes, in the form a release is made of.

Owns: which parts of the file can run on another machine, and what is refused or warned of. Does not own: Compose's
rules (see `compose`), `x-slipway` (see `extension`), files that ship along (see `shipped_files`).
Produces: `Application`, whose document still lacks images and holds secrets as `${NAME}`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from components.compose import missing_variable, resolve, secret_names, with_placeholders
from components.errors import Problem, SlipwayError
from components.extension import ServiceExtension, read_extension
from components.shipped_files import ShippedFiles

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from components.settings import Settings

__all__ = ["Application", "Build", "read_application"]

# Where a secret may stand: an environment, or a config's content. Anywhere else it can be read by others.
_SECRET_PLACES = re.compile(r"services\.[^.]+\.environment\.|configs\.[^.]+\.content$")
_BUILD_KEYS = {
    "context", "dockerfile", "dockerfile_inline", "target", "args", "secrets", "ssh", "platforms", "cache_from",
    "cache_to", "additional_contexts", "no_cache", "pull", "network", "labels", "extra_hosts", "tags", "shm_size",
}  # fmt: skip
_BUILD_IGNORED = {"tags", "shm_size", "cache_from", "cache_to", "labels"}


@dataclass(frozen=True, kw_only=True)
class Build:
    """A `build:` section."""

    repository: str
    """Where the image is pushed, without tag."""
    context: str
    """Folder or URL of the context; folders relative to the Compose file's folder made absolute."""
    dockerfile: str | None = None
    dockerfile_inline: str | None = None
    target: str | None = None
    args: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    """BuildKit secret id → name of the stack's secret."""
    ssh: tuple[str, ...] = ()
    platforms: tuple[str, ...] = ()
    additional_contexts: Mapping[str, str] = field(default_factory=dict)
    extra_hosts: tuple[str, ...] = ()
    network: str | None = None
    no_cache: bool = False
    pull: bool = False


@dataclass(frozen=True, kw_only=True)
class Application:
    """What the Compose file describes, in the form a release is made of."""

    name: str
    stack: str
    """Compose project name on the hosts: application and Pulumi stack."""
    builds: Mapping[str, Build]
    """Service → build, for the services that are built; equal builds are one build."""
    images: Mapping[str, str]
    """Service → image reference, for the services that are not built."""
    document: Mapping[str, Any]
    """The Compose file for the hosts; `image` of every service is filled in by the release."""
    files: Mapping[str, Mapping[str, Any]]
    """Configuration files by SHA-256: mode and base64 content."""
    secrets: tuple[str, ...]
    """Names of the secrets that the document or a build uses, sorted."""
    extensions: Mapping[str, ServiceExtension]
    warnings: tuple[Problem, ...] = ()

    def services_of(self, host: str) -> list[str]:
        """The services that `host` runs, sorted."""
        return sorted(
            name for name, extension in self.extensions.items() if not extension.hosts or host in extension.hosts
        )


def read_application(settings: Settings) -> Application:
    """Read the application's Compose file with the stack's values.

    Raises:
        SlipwayError: with every problem of the file, its variables and its `x-slipway` blocks.
    """
    file, model, problems = resolve(settings)
    name = settings.name or re.sub(r"[^a-z0-9-]+", "-", str(model["name"]).lower()).strip("-") or "app"
    stack = re.sub(r"[^a-z0-9_-]+", "-", f"{name}-{settings.stack}".lower())
    reader = _Reader(settings, file.parent, name, stack, problems)
    application = reader.read(_renamed(model, stack))
    if reader.problems:
        raise SlipwayError(reader.problems)
    return application


def _renamed(model: dict[str, Any], stack: str) -> dict[str, Any]:
    """The names that Compose derived from its project name (networks, volumes) derived from the stack's instead."""
    before, model["name"] = model["name"], stack
    for kind in ("networks", "volumes", "configs", "secrets"):
        for key, entry in (model.get(kind) or {}).items():
            if isinstance(entry, dict) and entry.get("name") == f"{before}_{key}" and not entry.get("external"):
                entry["name"] = f"{stack}_{key}"
    return model


def _strings(node: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Every string of the document with its dotted path; keys that hold a secret count as well."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield f"{path}{key}", str(key)
            yield from _strings(value, f"{path}{key}.")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _strings(value, f"{path}{index}.")
    elif isinstance(node, str):
        yield path.removesuffix("."), node


class _Reader:
    """Turns Compose's model into an `Application`, collecting problems on the way."""

    def __init__(self, settings: Settings, folder: Path, name: str, stack: str, problems: list[Problem]) -> None:
        self.settings, self.folder, self.name, self.stack = settings, folder, name, stack
        self.problems = problems
        self.warnings: list[Problem] = []
        self.files = ShippedFiles(folder)
        self.builds: dict[str, Build] = {}
        self.images: dict[str, str] = {}
        self.extensions: dict[str, ServiceExtension] = {}
        self.used: set[str] = set()
        self.secret_variables: dict[str, str] = {}

    def read(self, model: dict[str, Any]) -> Application:
        self._check_secret_places(model)
        self._check_secrets(model.get("secrets") or {})
        self.secret_variables = {
            key: entry.get("environment", "") for key, entry in (model.get("secrets") or {}).items()
        }
        configs = model.get("configs") or {}
        services = {name: self._service(name, dict(service), configs) for name, service in model["services"].items()}
        if not services:
            self.problems.append(
                Problem("the Compose file has no services", "there is nothing to deploy", "add a service")
            )
        mounted = {entry["source"] for service in services.values() for entry in service.get("secrets") or []}
        self.used |= {self.secret_variables[name] for name in mounted if name in self.secret_variables}
        parts = {
            "networks": model.get("networks"),
            "volumes": model.get("volumes"),
            "configs": {name: entry for name, entry in configs.items() if "file" not in entry},
            "secrets": {name: entry for name, entry in (model.get("secrets") or {}).items() if name in mounted},
        }
        document = {"name": self.stack, "services": services, **{key: part for key, part in parts.items() if part}}
        self.problems += [*self.files.problems, *self.files.too_large()]
        self.warnings += self.files.warnings
        return Application(
            name=self.name,
            stack=self.stack,
            builds=self.builds,
            images=self.images,
            document=with_placeholders(document),
            files=self.files.content,
            secrets=tuple(sorted(self.used)),
            extensions=self.extensions,
            warnings=tuple(self.warnings),
        )

    def _check_secret_places(self, model: dict[str, Any]) -> None:
        for path, text in _strings(model):
            for name in secret_names(text):
                if not re.match(r"services\.[^.]+\.build\.", path):
                    self.used.add(name)
                if not _SECRET_PLACES.match(path):
                    self.problems.append(
                        Problem(
                            f"secret {name} stands in {path}",
                            "everybody who can list processes, inspect containers or pull the image could read it",
                            "hand it over in the service's environment or `build.secrets`; the program reads it there",
                        )
                    )

    def _check_secrets(self, secrets: Mapping[str, Mapping[str, Any]]) -> None:
        for name, entry in secrets.items():
            if "file" in entry:
                self.problems.append(
                    Problem(
                        f"secrets.{name} is read from the file {entry['file']}",
                        "it would be stored in the clear with the release",
                        f"write `environment: {name.upper()}` there and: "
                        f"pulumi config set --secret --path 'secrets.{name.upper()}' < {entry['file']}",
                    )
                )
            elif "environment" in entry and entry["environment"] not in self.settings.secrets:
                self.problems.append(_missing_secret(entry["environment"], f"secrets.{name}"))

    def _check_environment(self, name: str, service: Mapping[str, Any]) -> None:
        """`environment: [NAME]` takes the value from the shell that runs Compose: here, from nowhere."""
        for variable, value in (service.get("environment") or {}).items():
            if value is None:
                self.problems.append(
                    missing_variable(variable, self.settings, f"services.{name}.environment takes it from the shell")
                )

    def _service(self, name: str, service: dict[str, Any], configs: Mapping[str, Any]) -> dict[str, Any]:
        extension, problems = read_extension(name, service.pop("x-slipway", None))
        self.problems += problems
        self._check_environment(name, service)
        self.extensions[name] = extension
        known = {host.name for host in self.settings.hosts}
        for host in extension.hosts:
            if host not in known:
                self.problems.append(
                    Problem(
                        f"services.{name}.x-slipway.hosts: '{host}' is not a host of stack {self.settings.stack}",
                        "the service would run nowhere",
                        f"name one of: {', '.join(sorted(known))}",
                    )
                )
        build = service.pop("build", None)
        image = service.pop("image", None)
        if build:
            self.builds[name] = self._build(name, build, image)
        else:
            self.images[name] = self._mirrored(image)
        for key in ("develop", "pull_policy", "profiles", "env_file", "attach"):
            service.pop(key, None)
        for key in [key for key in service if key.startswith("x-")]:
            service.pop(key)
        service["volumes"] = [self.files.mount(name, dict(mount)) for mount in service.get("volumes") or []]
        mounted = [entry for entry in service.get("configs") or [] if "file" in configs.get(entry["source"], {})]
        service["volumes"] += [self.files.config(name, entry, configs[entry["source"]]["file"]) for entry in mounted]
        service["configs"] = [entry for entry in service.get("configs") or [] if entry not in mounted]
        if not service.get("restart") and "healthcheck" in service:
            self.warnings.append(
                Problem(
                    f"services.{name} has no restart policy",
                    "it stays down after a crash or a reboot of its host",
                    "add `restart: unless-stopped`",
                )
            )
        return {key: value for key, value in service.items() if value not in (None, [], {})}

    def _mirrored(self, image: str) -> str:
        """The reference through the mirror, for images of Docker Hub (those without a registry in their name)."""
        first, _, rest = image.partition("/")
        if not self.settings.mirror or (rest and ("." in first or ":" in first or first == "localhost")):
            return image
        return f"{self.settings.mirror}/{image if rest else f'library/{image}'}"

    def _build(self, name: str, build: dict[str, Any], image: str | None) -> Build:
        where = f"services.{name}.build"
        for key in sorted(build.keys() - _BUILD_KEYS):
            self.problems.append(
                Problem(
                    f"{where}.{key} is not supported",
                    "the image would differ from the one you expect",
                    f"remove {key} from {where}",
                )
            )
        for key in sorted(build.keys() & _BUILD_IGNORED):
            self.warnings.append(
                Problem(
                    f"{where}.{key} is not used",
                    "Slipway tags by commit and branch and caches as the setting `cache` says",
                    f"remove {key} from {where}",
                )
            )
        if not self.settings.registry:
            self.problems.append(
                Problem(
                    f"registry: not set, though {where} makes an image",
                    "hosts can only run what they can pull",
                    "pulumi config set registry ghcr.io/YOUR-TEAM",
                )
            )
        secrets = {}
        for entry in build.get("secrets") or []:
            variable = self.secret_variables.get(entry["source"], "")
            if variable:
                secrets[entry.get("target") or entry["source"]] = variable
        context = build.get("context", ".")
        local = not re.match(r"(https?|ssh|git)://|git@", context)
        if local and not (self.folder / context).is_dir():
            self.problems.append(
                Problem(
                    f"{where}.context: {context} is not a folder",
                    "the image cannot be built",
                    f"correct {where}.context",
                )
            )
        return Build(
            repository=_repository(image, self.settings.registry, self.name, name),
            context=os.path.normpath(self.folder / context) if local else context,
            dockerfile=None if build.get("dockerfile_inline") else build.get("dockerfile"),
            dockerfile_inline=build.get("dockerfile_inline"),
            target=build.get("target"),
            args={key: str(value) for key, value in (build.get("args") or {}).items() if value is not None},
            secrets=secrets,
            ssh=tuple(build.get("ssh") or ()),
            platforms=tuple(build.get("platforms") or self.settings.platforms),
            additional_contexts={
                key: os.path.normpath(self.folder / value) if "://" not in value else value
                for key, value in (build.get("additional_contexts") or {}).items()
            },
            extra_hosts=tuple(build.get("extra_hosts") or ()),
            network=build.get("network"),
            no_cache=bool(build.get("no_cache")),
            pull=bool(build.get("pull")),
        )


def _missing_secret(name: str, where: str) -> Problem:
    return Problem(
        f"secret {name} is missing ({where} of the Compose file needs it)",
        "the service could not start",
        f"openssl rand -base64 24 | pulumi config set --secret --path 'secrets.{name}'",
    )


def _repository(image: str | None, registry: str, application: str, service: str) -> str:
    """Where a service's image is pushed: what its `image:` says when that is below the registry, else by name."""
    if image:
        bare = image.split("@")[0]
        head, _, tail = bare.rpartition("/")
        bare = f"{head}/{tail.split(':')[0]}" if head else tail.split(":")[0]
        if registry and bare.startswith(f"{registry.rstrip('/')}/"):
            return bare
    return f"{registry.rstrip('/')}/{application}-{service}"
