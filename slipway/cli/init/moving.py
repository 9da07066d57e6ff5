"""`slipway init --from`: what a stack needs to take over from a Compose project that runs already."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.compose.config.compose_files import found_file
from slipway.compose.config.compose_model import resolve, with_placeholders
from slipway.contract.problems import Problem, SlipwayError
from slipway.contract.published_ports import chosen_ports
from slipway.hosts.running_project import EDGE_PORTS, RunningProject, read_project, ssh_command, ssh_target
from slipway.releases.format import counted
from slipway.releases.stack_settings import Change, change_settings
from slipway.settings.dotenv_file import (
    PROJECT,
    dotenv_entries,
    of_the_machine,
    parsed_dotenv,
    plain_places,
    unusable_lines,
)
from slipway.settings.model import LOCAL_ADDRESS
from slipway.settings.rules.stack import is_variable_name
from slipway.settings.setting_files import config_set, entry
from slipway.x_slipway.proxy_labels import unguarded, unreplaced_labels

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from slipway.hosts.running_project import OldMount, OldService
    from slipway.releases.engine import Engine
    from slipway.settings.model import Settings

__all__ = ["Moving", "look_at_project", "store_secrets"]

_PLACE = re.compile(
    r"(?P<host>(?!-)(?:[^@\s:/]+@)?(?:\[[^\]\s]+\]|[^\s:/@\[\]]+))(?::(?P<port>\d+))?(?::(?P<folder>/.*))?"
)
_PROJECT = "project-of-this-stack"  # which is known once the Compose file was read
_SETTINGS = ("COMPOSE_FILE", "COMPOSE_PATH_SEPARATOR")  # the stack's `composeFile` takes their place


class EnvValues(NamedTuple):
    """The values of a `.env`, by what they become."""

    secrets: dict[str, str]
    variables: dict[str, str]
    left: dict[str, str]
    """Those that are left out, with the reason."""


@dataclass(frozen=True, kw_only=True)
class Moving:
    """What is taken over."""

    host: str  # as the option --host takes it
    project: RunningProject
    env: EnvValues
    domain: str = ""
    ssh: str = ""
    """what runs a command there; empty for this machine"""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """what the stack file says of it"""
    differences: tuple[str, ...] = ()
    own_name: str = ""
    """what the stack is called on its hosts"""
    stored: Collection[str] = ()
    """secrets that the stack has already: encrypted there, so that nobody knows here whether they differ"""

    def described(self, read: str) -> Iterator[str]:
        """What is taken over, and what will differ, in lines; `read` is the Compose file of the stack."""
        volumes = ", ".join(f"{key} ({name})" for key, name in self.settings["adoptVolumes"].items())
        yield ""
        yield f"Takes over from {self.project.name}; volumes: {volumes or 'none'}"
        for kind, names in (("secrets", self.env.secrets), ("variables", self.env.variables)):
            if names:
                yield f"  {kind} of its .env: {', '.join(sorted(names))}"
        for name, why in self.env.left.items():
            yield f"  left out of its .env: {name} ({why})"
        runs = " with ".join(name.rpartition("/")[2] for name in self.project.files)
        other = f"it was started from {runs}, this stack is read from {read}: --compose-file names what is read"
        differences = [*([other] if runs not in ("", read) else []), *self.differences]
        if differences:
            yield "  Differences to what runs:"
        yield from (f"  - {line}" for line in differences)

    def with_value_of_today(self, command: str, stack: str) -> str:
        """A command that sets a secret, with the value that a running container has: a new one may cost data."""
        named = re.search(r"\bsecrets\.([A-Za-z_]\w*)", command)
        users = [each for each, old in sorted(self.project.services.items()) if named and named[1] in old.variables]
        if not named or not users:
            return command
        labels = {"project": self.project.name, "service": users[0]}
        chosen = " ".join(
            f"--filter {shlex.quote(f'label=com.docker.compose.{key}={value}')}" for key, value in labels.items()
        )
        value = f'{{{{if eq (index . 0) "{named[1]}"}}}}{{{{join (slice . 1) "="}}}}{{{{end}}}}'
        whole = f'{{{{range .Config.Env}}}}{{{{with split . "="}}}}{value}{{{{end}}}}{{{{end}}}}'
        asked = f"docker inspect --format '{whole}' $(docker ps --quiet {chosen} | head -n 1)"
        return config_set(
            stack, named[0], f"{self.ssh} {shlex.quote(asked)} |" if self.ssh else f"{asked} |", secret=True
        )

    def _other_values(self, services: Mapping[str, Any], missing: Collection[tuple[str, ...]]) -> Iterator[str]:
        """What the stack gives another value than it has now, except for what `missing` values are at."""
        known = {name: value for name, value in self.env.secrets.items() if name not in self.stored}
        for name, old in sorted(self.project.services.items()):
            given = (services.get(name) or {}).get("environment") or {}
            texts = {key: text for key, text in given.items() if ("services", name, "environment", key) not in missing}
            changed = sorted(
                key for key in old.variables.keys() & texts if not _can_be(texts[key], old.variables[key], known)
            )
            if changed:
                yield (
                    f"{name} runs with another value of {', '.join(changed)} than the stack gives it: where data "
                    "depends on it, as on the password of a database, set the one of today"
                )

    def compose_files(self, application: Path) -> list[str]:
        """The files that it was started from, where that folder has them all and Compose would not find the same."""
        files = [application / name for name in self.project.files]
        there = files != [found_file(application)] and all(file.is_file() for file in files)
        return list(self.project.files) if there else []

    def compared(self, settings: Settings) -> Moving:
        """With the settings that adopt its volumes, and where the Compose file differs from what runs."""
        found = resolve(settings)
        model = found.model
        services, volumes = model.get("services") or {}, model.get("volumes") or {}
        adopted = dict(_adopted(self.project, services, volumes))
        stated = {**self.settings, "adoptVolumes": adopted}
        domain = settings.domain or self.domain
        missing = {path for paths in found.places.values() for path in paths}
        differences = [*_differences(self.project, services, set(adopted.values()), domain)]
        differences += self._other_values(services, missing)
        if adopted.keys() == {"secure"}:
            stated["adoptVolumes"] = {}
            differences.append("the volume `secure` cannot be taken over: Pulumi knows encrypted values by that name")
        if renamed := [each for values in self.env for each, value in values.items() if _PROJECT in value]:
            differences.append(
                f"{PROJECT} is {found.stack} in {', '.join(sorted(renamed))}: where that names data, such as a bucket, "
                "set the one of today"
            )
        env = EnvValues(*(_in_project(values, found.stack) for values in self.env))
        stated["variables"] = _in_project(self.settings["variables"], found.stack)
        return replace(self, env=env, settings=stated, differences=tuple(differences), own_name=found.stack)


def _in_project(values: Mapping[str, str], name: str) -> dict[str, str]:
    return {each: value.replace(_PROJECT, name) for each, value in values.items()}


def look_at_project(place: str, name: str, application: Path) -> Moving:
    """The project that the options `--from` and `--from-running` name, to become that of an application's folder.

    Raises:
        SlipwayError: they name none, or it cannot be read.
    """
    parts = _PLACE.fullmatch(place or LOCAL_ADDRESS)
    if parts is None or not (parts["folder"] or name):
        raise SlipwayError(
            f"--from: '{place}' names no project",
            "nothing was written",
            "--from [USER@]HOST[:PORT]:/FOLDER, or --from [USER@]HOST --from-running PROJECT",
        )
    host, port, folder = re.sub(r"[\[\]]", "", parts["host"]), int(parts["port"] or 0), parts["folder"] or ""
    project = read_project(host, folder="" if name else folder, name=name, port=port, env=folder)
    env = _env_values(project, plain_places(application))
    domain = env.variables.pop("DOMAIN", "")
    taken = project.containers if project.folders else (project.name,)
    settings = {"moveFrom": [*taken], "variables": dict(env.variables)}
    target, ssh = ssh_target(host, port), ssh_command(host, port)
    return Moving(host=target, project=project, env=env, domain=domain, settings=settings, ssh=ssh)


def _env_values(project: RunningProject, plain: Collection[str]) -> EnvValues:
    """What becomes of the values of its `.env`; raises SlipwayError as `slipway secrets import` does."""
    dotenv = parsed_dotenv(project.env)
    if problems := unusable_lines(dotenv, f".env of {project.name}"):
        raise SlipwayError(problems)
    found = EnvValues({}, {}, {})
    for name, value, why in dotenv_entries(dotenv, {}, {}, plain, project=lambda _: _PROJECT):
        secret = bool(value and why)
        if of_the_machine(name):
            found.left[name] = "of the machine that runs Docker"
        elif secret and not is_variable_name(name, secret=True):
            found.left[name] = "a secret that no ${NAME} in a Compose file could refer to"
        elif name not in _SETTINGS:
            (found.secrets if secret else found.variables)[name] = value
    return found


def _adopted(
    project: RunningProject, services: Mapping[str, Any], volumes: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Key in the Compose file → name of the volume that stands at the same place in the same service now."""
    for name, old in project.services.items():
        for mount in old.mounts:
            own = _mount(services.get(name) or {}, mount.target)
            key = str(own.get("source") or "") if own.get("type") == "volume" else ""
            if mount.kind == "volume" and key in volumes and not (volumes[key] or {}).get("external"):
                yield key, mount.source


def _mount(service: Mapping[str, Any], target: str) -> Mapping[str, Any]:
    found = (
        each for each in service.get("volumes") or () if str(each.get("target", "")).rstrip("/") == target.rstrip("/")
    )
    return next(found, {})


def _differences(project: RunningProject, services: Mapping[str, Any], adopted: set[str], domain: str) -> Iterator[str]:
    proxies = [name for name, old in project.services.items() if not set(EDGE_PORTS).isdisjoint(old.ports)]
    labelled = [each.problem() for each in unreplaced_labels(services, domain)] + list(unguarded(services))
    routed = bool(labelled) or any((each.get("x-slipway") or {}).get("route") for each in services.values())
    published = {port for each in services.values() for port in chosen_ports(each)}
    for name, old in sorted(project.services.items()):
        service = services.get(name)
        if name in proxies and (service is None or routed):
            held = " and ".join(str(port) for port in old.ports if port in EDGE_PORTS)
            keeps = _has_edge_ports(service or {})
            yield f"{name} has port {held}: the edge takes over from it" + (
                f"; take {name} out of the Compose file, whose ports the edge needs" if keeps else ""
            )
        elif service is None:
            yield f"{name} runs, and the Compose file has no such service: it is stopped with the rest"
        if lost := sorted(set(old.ports) - published - set(EDGE_PORTS if routed else ())):
            yield f"{name} has port {', '.join(map(str, lost))}, which the Compose file does not publish"
        if service is not None:
            yield from _service_differences(name, old, service)
        for mount in old.mounts:
            if mount.source not in adopted and mount.writable and not (service is None and name in proxies):
                yield from _mount_difference(name, mount, service)
    for name in sorted(services.keys() - project.services.keys() - project.ended):
        yield f"{name} is new: it does not run there"
    yield from (f"{problem.what}: {problem.meaning}; {problem.fix}" for problem in labelled)
    if routed and project.holders:
        held = " and ".join(project.holders)
        yield (
            f"{held}, not of {project.name}, has port 80 or 443, which the edge needs: where nothing else on the host "
            f"needs it, add its name to moveFrom"
        )
    yield from _neighbours(project)


def _has_edge_ports(service: Mapping[str, Any]) -> bool:
    return service.get("network_mode") == "host" or not set(EDGE_PORTS).isdisjoint(chosen_ports(service))


def _neighbours(project: RunningProject) -> Iterator[str]:
    if project.folders:
        found = ", ".join(f"{folder} ({', '.join(names)})" for folder, names in sorted(project.folders.items()))
        yield (
            f"{project.name} runs from several folders, which may be several applications: {found}; moveFrom names the "
            "containers that this stack takes over, so change it where one is missing or another application's"
        )
    for network in sorted(project.shared):
        yield (
            f"on the network {network} are containers of others: to stay there, set adoptNetworks.KEY to {network}, "
            "KEY being its name in the Compose file"
        )


def _service_differences(name: str, old: OldService, service: Mapping[str, Any]) -> Iterator[str]:
    image = str(service.get("image") or "")
    if image and not service.get("build") and image != old.image:
        yield f"{name} runs {old.image}, the Compose file says {image}"
    if variables := sorted(old.variables.keys() - (service.get("environment") or {}).keys()):
        yield f"{name} has variables that the Compose file does not set: {', '.join(variables)}"
    for key in ("command", "entrypoint"):
        stated, running = service.get(key), old.words.get(key, ())
        if stated is None and running and key not in old.of_image:
            yield f"{name} runs with a {key} of its own, the Compose file sets none"
        elif stated is not None and not _same_words(stated, running):
            yield f"{name} runs with another {key} than the Compose file sets"
    if service.get("container_name"):
        yield (
            f"{name} has the fixed container_name {service['container_name']}, which the running one has, too: "
            "take it out of the Compose file"
        )


def _same_words(stated: Iterable[str], running: tuple[str, ...]) -> bool:
    """Whether these are the same, whatever a secret of the Compose file is."""
    words = list(stated)
    return len(words) == len(running) and all(map(_can_be, words, running))


def _can_be(text: object, value: str, known: Mapping[str, str] = MappingProxyType({})) -> bool:
    """Whether a text of the Compose file becomes `value`, with the `known` secrets and whatever the others are."""

    def pattern(found: re.Match[str]) -> str:
        whole, name = found.group(0, 1)
        return re.escape(known.get(name, "$" if whole == "$$" else whole)) if name in known or not name else ".*"

    expected = re.sub(r"\$\$|\$\{(\w+)\}|.", pattern, str(with_placeholders(text)), flags=re.DOTALL)
    return text is None or re.fullmatch(expected, value, re.DOTALL) is not None


def _mount_difference(name: str, mount: OldMount, service: Mapping[str, Any] | None) -> Iterator[str]:
    own = _mount(service or {}, mount.target)
    if mount.kind == "bind":
        source = str(own.get("source") or "")
        in_home = source.startswith("~/") and mount.source.endswith(source[1:])  # of the same user, most likely
        if own and source != mount.source and not own.get("read_only") and not in_home:
            yield (
                f"{name} writes to the folder {mount.source}, and would start with one of the stack's own ({source}): "
                f"write {mount.source} in the Compose file to keep it (other stacks: as a variable)"
            )
    elif mount.unnamed:
        yield (
            f"the data of {name} at {mount.target} is in a volume without a name: give it one in the Compose file, "
            f"then set adoptVolumes.KEY to {mount.source}, KEY being that name"
        )
    else:
        yield f"the volume {mount.source} of {name} ({mount.target}) has no counterpart: it stays, and nothing uses it"


def store_secrets(engine: Engine, secrets: Mapping[str, str], *, known: Collection[str]) -> list[Problem]:
    """Set those secrets of the stack that are not `known`, all or none; why not, with what leads on."""
    changes = [
        Change(entry("secrets", name), value, secret=True) for name, value in secrets.items() if name not in known
    ]
    try:
        if changes:
            change_settings(engine, changes)
    except SlipwayError as error:
        what = f"{counted(len(changes), 'secret')} of the running project could not be set ({error.what})"
        return [Problem(what, "the services that need them could not start", "run the same command again")]
    return []
