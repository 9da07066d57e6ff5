"""What a Compose file describes, in the form a release is made of, and what of it is refused or warned of.

The document still lacks images, and holds secrets as `${NAME}`.
"""

from __future__ import annotations

import os
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from slipway.compose.adopted import with_adopted
from slipway.compose.builds import Build, BuildReader
from slipway.compose.config.compose_model import (
    missing_variable,
    resolve,
    secret_names,
    with_placeholders,
    without_escapes,
)
from slipway.compose.config.missing_values import many_missing, unset_here
from slipway.compose.config.restrictions import check_read_files, restrict
from slipway.compose.context_mounts import check_context_mounts
from slipway.compose.git import refused_repository, repository_of
from slipway.compose.literals import check_readable_values
from slipway.compose.placement import check_placement, services_of
from slipway.compose.secret_leaks import check_known_values, check_places, secret_uses
from slipway.compose.service_entries import check_config_files, service_entries
from slipway.compose.shipped_files import ShippedFiles
from slipway.compose.stale_proxies import check_proxies
from slipway.contract.canonical import release_id
from slipway.contract.deployment import EVERY_VOLUME
from slipway.contract.problems import Problem, SlipwayError
from slipway.settings.registry_names import is_reference, mirrored
from slipway.settings.rules.stack import too_long
from slipway.settings.secrets.rules import missing_secret
from slipway.settings.setting_files import config_rm, config_set, entry
from slipway.settings.spelling import suggestion
from slipway.x_slipway.findings import Findings
from slipway.x_slipway.service import ServiceExtension, misspelt_extension, read_extension
from slipway.x_slipway.source_lines import SourceLines

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slipway.compose.config.compose_model import ComposeModel
    from slipway.compose.git import Revision
    from slipway.settings.model import Settings

__all__ = ["Application", "Build", "read_application"]

# Said by the driver itself or by the release, or of no use on a host.
_NOT_FOR_HOSTS = ("build", "image", "develop", "pull_policy", "profiles", "env_file", "attach")


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
    beside: tuple[str, ...] = ()
    """Routed services whose strategy the Compose file states: two generations of them may share their data."""
    revision: Revision | None = None
    """Of the source; None for what git says of the application's folder now."""

    @property
    def routed(self) -> bool:
        """Whether the edge sends anything to any of its services."""
        return any(entry["routes"] for entry in self.entries.values())

    def services_of(self, host: str) -> list[str]:
        """The services that `host` runs, sorted."""
        return services_of(host, {name: entry["hosts"] for name, entry in self.entries.items()})

    def release(self, revision: Revision, images: Mapping[str, str]) -> dict[str, Any]:
        """The release (deployment.schema.json, `$defs/release`) that it makes with its images: same inputs, same id.

        `images` has an image by digest (`NAME[:TAG]@sha256:…`) for every service.
        """
        services = {name: {**service, "image": images[name]} for name, service in self.document["services"].items()}
        content = {
            "application": self.name,
            "commit": revision.commit,
            "branch": revision.branch,
            "images": dict(images),
            "compose": {**self.document, "services": services},
            "files": dict(self.files),
            "secrets": list(self.secrets),
            "services": dict(self.entries),
        }
        return {"id": release_id(content), **content}


def read_application(settings: Settings, *, problems: Iterable[Problem] = ()) -> Application:
    """Read the application's Compose file with the stack's values; `problems` found earlier are reported with its own.

    Raises:
        SlipwayError: with every problem of the file, its variables and its `x-slipway` blocks.
    """
    found = Findings()
    found.add(*problems)
    if found.problems and not settings.application.is_dir():
        raise SlipwayError(found.problems)
    try:
        check_read_files(settings)
        resolved = resolve(settings)
    except SlipwayError as error:
        problems = [*found.problems, *error.problems]
        raise SlipwayError([*problems, *many_missing(problems, settings)]) from None
    found.add(*resolved.problems)
    found.warnings += resolved.warnings
    application = _Reader(settings, resolved, found).read(with_adopted(resolved.model, settings, found))
    if found.problems:
        raise SlipwayError([*found.problems, *many_missing(found.problems, settings)])
    return application


def _stack_secret(entry: Mapping[str, Any], variable: str) -> dict[str, Any]:
    """A top-level secret whose value is the stack's, wherever Compose would take it from."""
    return {**{key: value for key, value in entry.items() if key not in ("file", "external")}, "environment": variable}


class _Reader:
    """Turns Compose's model into an `Application`."""

    def __init__(self, settings: Settings, resolved: ComposeModel, found: Findings) -> None:
        self.sources, folder = resolved.files, resolved.files[0].parent
        self.settings, self.folder, self.name, self.stack = settings, folder, resolved.name, resolved.stack
        self.found, self.dormant, self.places = found, resolved.dormant, resolved.places
        self.lines = SourceLines(resolved.files)
        if refused := refused_repository(folder):
            found.refuse(
                f"the repository {refused} belongs to another user, and git refuses it",
                "releases could not name their commit, nor tell tracked files from others",
                f"git config --global --add safe.directory {shlex.quote(str(refused))}",
            )
        self.files = ShippedFiles(folder, repository_of(folder), found, settings.stack)
        self.images: dict[str, str] = {}
        self.extensions: dict[str, ServiceExtension] = {}

    def read(self, model: Mapping[str, Any]) -> Application:
        stated = model.get("services") or {}
        used = secret_uses(model, self.settings, self.found)
        check_places(self.places, stated, self.settings, self.found)
        self._check_extensions(model)
        self.found.warnings += unset_here(stated, self.settings)
        secrets, configs = model.get("secrets") or {}, model.get("configs") or {}
        variables = {name: self._secret_variable(name, entry) for name, entry in secrets.items()}
        builds = BuildReader(
            self.settings, self.folder, self.name, variables, self.found, services=stated, dormant=self.dormant
        )
        services = {name: self._service(name, dict(service), configs, builds) for name, service in stated.items()}
        every = {**model, "services": {**self.dormant, **stated}}
        restrict(services, every, self.extensions, settings=self.settings, folder=self.folder, found=self.found)
        self._check_whole(services, model)
        self._check_names([name for name, service in services.items() if "container_name" in service])
        check_placement(services, self.extensions, self.settings, self.found)
        check_config_files(model, self.folder, self.found)
        entries = service_entries(services, self.extensions, self.settings, self.lines, self.found)
        mounted = {entry["source"] for service in services.values() for entry in service.get("secrets") or []}
        used |= {variables[name] for name in mounted if variables.get(name)}
        used |= {extension.basic_auth for extension in self.extensions.values() if extension.basic_auth}
        values = {name: value.get_secret_value() for name, value in self.settings.secrets.items() if name in used}
        self.found.add(*too_long("secrets", values, self.settings.stack))
        parts = {
            "networks": model.get("networks"),
            "volumes": {
                name: self.files.volume(name, entry or {}) for name, entry in (model.get("volumes") or {}).items()
            },
            "configs": {name: self._config(name, each, used) for name, each in configs.items() if "file" not in each},
            "secrets": {
                name: _stack_secret(entry, variables[name]) for name, entry in secrets.items() if name in mounted
            },
        }
        document = {"name": self.stack, "services": services, **{key: part for key, part in parts.items() if part}}
        self.files.finish()
        volumes, production = model.get("volumes") or {}, self.settings.production
        check_context_mounts(stated, volumes, builds.builds, self.files, self.found, production=production)
        check_readable_values(self.settings, model, self.sources, self.files.plain, self.found)
        check_proxies(
            services,
            entries,
            builds=builds.builds,
            images=self.images,
            shipped=self.files.content,
            configs=configs,
            found=self.found,
        )
        check_known_values(model, self.files.plain, self.settings, self.sources, self.found)
        return Application(
            name=self.name,
            stack=self.stack,
            builds=builds.finish(),
            images=self.images,
            document=with_placeholders(document),
            files=self.files.content,
            secrets=tuple(sorted(used)),
            entries=entries,
            warnings=tuple(self.found.warnings),
            beside=tuple(sorted(name for name, each in self.extensions.items() if each.beside)),
        )

    def _check_extensions(self, model: Mapping[str, Any]) -> None:
        """Look for `x-slipway` where nothing would read it."""
        places = [("", model), *((f"services.{name}.", each) for name, each in (model.get("services") or {}).items())]
        self.found.add(*(error for place, node in places for key in node if (error := misspelt_extension(place, key))))

    def _check_whole(self, services: Mapping[str, Any], model: Mapping[str, Any]) -> None:
        """What can only be said of the whole file."""
        if not services:
            self.found.refuse(
                "the Compose file has no services",
                "there is nothing to deploy; services with a profile count when the setting `profiles` names it",
                config_set(self.settings.stack, "profiles[0]"),
            )
        volumes = [name for name, entry in (model.get("volumes") or {}).items() if not (entry or {}).get("external")]
        for name in (each for each in self.settings.remove_volumes if each not in (*volumes, EVERY_VOLUME)):
            adopted = ", as adoptVolumes has it" if name in self.settings.adopt_volumes else ""
            self.found.refuse(
                f"removeVolumes: '{name}' is not a volume of the Compose file's own{adopted}",
                suggestion(name, () if adopted else volumes, "`pulumi destroy` could not remove it"),
                config_rm(self.settings.stack, "removeVolumes"),
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
                self.found.warn(
                    f"services.{name} has no restart policy",
                    "it stays down after a crash or a reboot of its host",
                    "add `restart: always`",
                )

    def _secret_variable(self, name: str, entry: Mapping[str, Any]) -> str:
        """The stack's secret that a top-level secret is; empty after reporting why it is none."""
        variable, stack = str(entry.get("environment") or ""), self.settings.stack
        own = re.sub(r"[^A-Z0-9]+", "_", name.upper())
        names = [variable] if variable else [name, own]
        if given := next((each for each in names if each in self.settings.secrets), ""):
            return given
        if variable and not re.fullmatch(r"[A-Za-z_]\w*", variable, re.ASCII):
            self.found.refuse(
                f"secrets.{name}.environment: {variable} is not the name of a variable of Compose",
                "those have letters, digits and underscores",
                f"write `environment: {own}` there",
            )
            return ""
        meaning, fix, path = "the service could not start", "", str(entry.get("file") or "")
        if path:
            meaning = f"{path} would be stored in plain text with the release, so the stack's secret takes its place"
            source = self.folder / path
            if source.is_file():
                fix = config_set(stack, f"secrets.{own}", f"< {shlex.quote(os.path.relpath(source))}", secret=True)
        elif not variable:
            meaning = "only Docker Swarm has secrets outside of the Compose file (external), so it is to be the stack's"
        needed_by = f"secrets.{name} of the Compose file needs it"
        self.found.add(missing_secret(stack, variable or own, needed_by, meaning, fix))
        return ""

    def _config(self, name: str, entry: Mapping[str, Any], used: set[str]) -> dict[str, Any]:
        """A top-level config that is no file, for the hosts; one that is a variable's value becomes content."""
        variable = str(entry.get("environment") or "")
        config = {key: value for key, value in entry.items() if key != "environment"}
        if variable in self.settings.secrets:
            used.add(variable)
            return {**config, "content": f"${{{variable}}}"}
        if variable in self.settings.variables:
            return {**config, "content": self.settings.variables[variable].replace("$", "$$")}
        if variable:
            self.found.add(missing_variable(variable, self.settings, f"configs.{name} is its value"))
        elif "content" not in entry:
            self.found.refuse(
                f"configs.{name} is kept outside of the Compose file (external)",
                "only Docker Swarm has such configs",
                f"write `file:` or `content:` in configs.{name}",
            )
        return config

    def _check_names(self, named: list[str]) -> None:
        """Warn once of the services that fix the name of their container."""
        if named:
            one = len(named) == 1
            where = f"services.{named[0]}." if one else f"services.{', '.join(named)}: "
            answers = f"the service answers to the name {named[0]}" if one else "each answers to its name in the file"
            self.found.warn(
                f"{where}container_name fixes the name of the only container",
                "two stacks cannot run on one host, nor two generations side by side",
                f"remove container_name; {answers} anyway",
            )

    def _check_image(self, name: str, image: str) -> None:
        """Refuse an image's name that none can have: mostly there is an empty variable in it."""
        unset = {problem.subject for problem in self.found.problems if problem.code == "variable-missing"}
        written = self.lines.place("services", name, "image").text
        named = re.findall(r"\$\{?([A-Za-z_]\w*)", written)
        if is_reference(without_escapes(image)) or secret_names(image) or unset & (set(named) or unset):
            return
        empty = next((each for each in named if self.settings.variables.get(each) == ""), "")
        self.found.refuse(
            f"services.{name}.image: '{image}' is not the name of an image",
            f"no registry could be asked for it; variable {empty} is empty"
            if empty
            else "no registry could be asked for it: NAME[:TAG][@sha256:DIGEST], NAME in small letters",
            config_set(self.settings.stack, entry("variables", empty)) if empty else f"correct services.{name}.image",
        )

    def _service(
        self, name: str, service: dict[str, Any], configs: Mapping[str, Any], builds: BuildReader
    ) -> dict[str, Any]:
        self.extensions[name], problems = read_extension(name, without_escapes(service.pop("x-slipway", None)))
        self.found.add(*problems)
        if self.settings.basic_auth and self.extensions[name].route:
            self.extensions[name] = self.extensions[name].model_copy(update={"basic_auth": self.settings.basic_auth})
        if not builds.read_service(name, service):
            self._check_image(name, str(service["image"]))
            self.images[name] = mirrored(service["image"], self.settings.mirror)
        service = {key: each for key, each in service.items() if key not in _NOT_FOR_HOSTS and key[:2] != "x-"}
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
