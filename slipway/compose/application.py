"""What a Compose file describes, in the form a release is made of, and what of it is refused or warned of.

The document still lacks images, and holds secrets as `${NAME}`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.compose.builds import Build, BuildReader
from slipway.compose.compose_config import missing_variable, resolve, with_placeholders, without_escapes
from slipway.compose.definitions import config_for_hosts, volume_for_hosts
from slipway.compose.git import repository_of
from slipway.compose.placement import place, services_of
from slipway.compose.secret_leaks import known_values, readable_values, secret_uses
from slipway.compose.service_entries import plan_services
from slipway.compose.shipped_files import ShippedFiles
from slipway.contract.problems import Problem, SlipwayError
from slipway.settings.registry_names import mirrored
from slipway.settings.secret_rules import missing_secret, new_secret
from slipway.settings.setting_files import config_rm, config_set
from slipway.settings.spelling import suggestion
from slipway.x_slipway.service import ServiceExtension, misspelt_extension, read_extension
from slipway.x_slipway.source_lines import SourceLines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slipway.compose.compose_config import ComposeModel
    from slipway.compose.git import Revision
    from slipway.settings.model import Settings

__all__ = ["Application", "Build", "read_application"]

# Said by the driver itself, or of no use on a host.
_NOT_FOR_HOSTS = ("develop", "pull_policy", "profiles", "env_file", "attach")


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
    """Names of the secrets that the document uses, sorted; a build's own are in its `Build`."""
    entries: Mapping[str, Mapping[str, Any]]
    """Service → its entry in the release document."""
    warnings: tuple[Problem, ...] = ()
    revision: Revision | None = None
    """Of the source; None for what git says of the application's folder now."""

    @property
    def routed(self) -> bool:
        """Whether the edge sends anything to any of its services."""
        return any(entry["routes"] for entry in self.entries.values())

    def services_of(self, host: str) -> list[str]:
        """The services that `host` runs, sorted."""
        return services_of(host, {name: entry["hosts"] for name, entry in self.entries.items()})


def read_application(settings: Settings, *, problems: Iterable[Problem] = ()) -> Application:
    """Read the application's Compose file with the stack's values; `problems` found earlier are reported with its own.

    Raises:
        SlipwayError: with every problem of the file, its variables and its `x-slipway` blocks.
    """
    earlier = list(problems)
    if earlier and not settings.application.is_dir():
        raise SlipwayError(earlier)
    try:
        resolved = resolve(settings)
    except SlipwayError as error:
        raise SlipwayError([*earlier, *error.problems]) from None
    reader = _Reader(settings, resolved)
    application = reader.read(resolved.model)
    if earlier or reader.problems:
        raise SlipwayError([*earlier, *reader.problems])
    return application


class _Reader:
    """Turns Compose's model into an `Application`, collecting problems on the way."""

    def __init__(self, settings: Settings, resolved: ComposeModel) -> None:
        folder = resolved.file.parent
        self.lines = SourceLines(resolved.file)
        self.settings, self.folder, self.name, self.stack = settings, folder, resolved.name, resolved.stack
        self.problems = list(resolved.problems)
        self.warnings: list[Problem] = []
        self.files = ShippedFiles(folder, repository_of(folder), settings.stack)
        self.images: dict[str, str] = {}
        self.extensions: dict[str, ServiceExtension] = {}

    def read(self, model: Mapping[str, Any]) -> Application:
        used, found = secret_uses(model)
        self.problems += [*found, *self._misspelt_extensions(model)]
        secrets, configs = model.get("secrets") or {}, model.get("configs") or {}
        variables = {name: self._secret_variable(name, entry) for name, entry in secrets.items()}
        builds = BuildReader(self.settings, self.folder, self.name, variables)
        services = {
            name: self._service(name, dict(service), configs, builds)
            for name, service in (model.get("services") or {}).items()
        }
        self._check_whole(services, model)
        hosts = [host.name for host in self.settings.hosts]
        placed = place(services, self.extensions, hosts=hosts, stack=self.settings.stack)
        planned = plan_services(services, self.extensions, self.settings, self.lines)
        mounted = {entry["source"] for service in services.values() for entry in service.get("secrets") or []}
        used |= {variables[name] for name in mounted if variables.get(name)}
        used |= planned.secrets
        parts = {
            "networks": model.get("networks"),
            "volumes": {name: volume_for_hosts(entry or {}) for name, entry in (model.get("volumes") or {}).items()},
            "configs": self._configs(configs, used),
            "secrets": {name: entry for name, entry in secrets.items() if name in mounted},
        }
        document = {"name": self.stack, "services": services, **{key: part for key, part in parts.items() if part}}
        self.files.finish()
        clear, warnings = readable_values(services, self.settings)
        clear += known_values(model, self.files.plain, self.settings)
        self.problems += [*builds.problems, *self.files.problems, *placed.problems, *planned.problems, *clear]
        self.warnings += [*builds.warnings, *self.files.warnings, *placed.warnings, *planned.warnings, *warnings]
        return Application(
            name=self.name,
            stack=self.stack,
            builds=builds.finish(),
            images=self.images,
            document=with_placeholders(document),
            files=self.files.content,
            secrets=tuple(sorted(used)),
            entries=planned.documents,
            warnings=tuple(self.warnings),
        )

    def _misspelt_extensions(self, model: Mapping[str, Any]) -> list[Problem]:
        places = [("", model), *((f"services.{name}.", each) for name, each in (model.get("services") or {}).items())]
        return [problem for place, node in places for key in node if (problem := misspelt_extension(place, key))]

    def _check_whole(self, services: Mapping[str, Any], model: Mapping[str, Any]) -> None:
        """What can only be said of the whole file."""
        if not services:
            self._refuse(
                "the Compose file has no services",
                "there is nothing to deploy",
                "add a service, or name its profile: "
                + config_set(self.settings.stack, "variables.COMPOSE_PROFILES", "PROFILE"),
            )
        volumes = [name for name, entry in (model.get("volumes") or {}).items() if not (entry or {}).get("external")]
        for name in self.settings.remove_volumes:
            if name not in volumes:
                self._refuse(
                    f"removeVolumes: '{name}' is not a volume of the Compose file's own",
                    suggestion(name, volumes, "`pulumi destroy` could not remove it"),
                    f"{config_rm(self.settings.stack, 'removeVolumes')}, or name volumes as the Compose file does",
                )
        awaited = {
            name
            for service in services.values()
            for name, how in (service.get("depends_on") or {}).items()
            if how.get("condition") == "service_completed_successfully"
        }
        for name, service in services.items():
            restarts = service.get("restart") or (service.get("deploy") or {}).get("restart_policy")
            if not restarts and name not in awaited and "healthcheck" in service:
                self._warn(
                    f"services.{name} has no restart policy",
                    "it stays down after a crash or a reboot of its host",
                    "add `restart: unless-stopped`",
                )

    def _secret_variable(self, name: str, entry: Mapping[str, Any]) -> str:
        """The stack's secret that a top-level secret is; empty after reporting why it is none."""
        variable, stack = str(entry.get("environment") or ""), self.settings.stack
        if "file" in entry:
            self._refuse(
                f"secrets.{name} is read from the file {entry['file']}",
                "it would be stored in plain text with the release",
                f"write `environment: {_as_variable(name)}` there and: "
                + config_set(stack, f"secrets.{_as_variable(name)}", f"< {entry['file']}", secret=True),
            )
        elif not variable:
            self._refuse(
                f"secrets.{name} is kept outside of the Compose file (external)",
                "only Docker Swarm has such secrets",
                f"write `environment: {_as_variable(name)}` there and: {new_secret(stack, _as_variable(name))}",
            )
        elif variable not in self.settings.secrets:
            needed_by = f"secrets.{name} of the Compose file needs it"
            self.problems.append(missing_secret(stack, variable, needed_by, "the service could not start"))
        else:
            return variable
        return ""

    def _configs(self, configs: Mapping[str, Any], used: set[str]) -> dict[str, Any]:
        found = {
            name: config_for_hosts(name, entry, self.settings) for name, entry in configs.items() if "file" not in entry
        }
        self.problems += [config.problem for config in found.values() if config.problem]
        used |= {config.secret for config in found.values() if config.secret}
        return {name: config.entry for name, config in found.items()}

    def _service(
        self, name: str, service: dict[str, Any], configs: Mapping[str, Any], builds: BuildReader
    ) -> dict[str, Any]:
        self._read_extension(name, service.pop("x-slipway", None))
        for variable, value in (service.get("environment") or {}).items():
            if value is None:  # `environment: [NAME]` takes the value from the shell that runs Compose: from nowhere
                self.problems.append(
                    missing_variable(variable, self.settings, f"services.{name}.environment takes it from the shell")
                )
        build, image = service.pop("build", None), service.pop("image", None)
        if build:
            builds.read(name, without_escapes(build), image=image, platform=service.get("platform"))
        else:
            self.images[name] = mirrored(image, self.settings.mirror)
        if "container_name" in service:
            self._warn(
                f"services.{name}.container_name fixes the name of the only container",
                "two stacks cannot run on one host, nor two generations side by side",
                f"remove container_name; the service answers to the name {name} anyway",
            )
        for key in [key for key in service if key in _NOT_FOR_HOSTS or key.startswith("x-")]:
            service.pop(key)
        service["volumes"] = [self.files.mount(name, dict(mount)) for mount in service.get("volumes") or []]
        mounted = [entry for entry in service.get("configs") or [] if "file" in configs.get(entry["source"], {})]
        service["volumes"] += [self.files.config(name, entry, configs[entry["source"]]["file"]) for entry in mounted]
        service["configs"] = [entry for entry in service.get("configs") or [] if entry not in mounted]
        # an empty command or entrypoint takes the image's own away, which leaving it out would not
        return {
            key: value
            for key, value in service.items()
            if value not in (None, [], {}) or (value == [] and key in ("command", "entrypoint"))
        }

    def _read_extension(self, name: str, block: object) -> None:
        extension, problems = read_extension(name, without_escapes(block))
        self.problems += problems
        self.extensions[name] = extension

    def _refuse(self, what: str, meaning: str, fix: str) -> None:
        self.problems.append(Problem(what, meaning, fix))

    def _warn(self, what: str, meaning: str, fix: str) -> None:
        self.warnings.append(Problem(what, meaning, fix))


def _as_variable(name: str) -> str:
    """A name for the variable of a top-level secret."""
    return re.sub(r"[^A-Z0-9]+", "_", name.upper())
