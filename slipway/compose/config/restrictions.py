"""What a restricted stack's Compose file may not say: it may be a stranger's, as that of a pull request is.

Allowed is what stays within the application's own containers, networks, volumes and repository; the rest is refused, as
what Compose will learn later is as well. The limits of capabilities and namespaces are those of Kubernetes' Pod
Security Standards, level "baseline"; the capabilities are the ones that Docker gives by itself.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from slipway.compose.config.compose_files import compose_files
from slipway.compose.git import repository_of
from slipway.contract.problems import SlipwayError
from slipway.settings.setting_files import config_rm
from slipway.x_slipway.findings import Findings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from slipway.settings.model import Settings
    from slipway.x_slipway.service import ServiceExtension

__all__ = ["check_read_files", "restrict"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SERVICE = _words("""
    attach build cap_add cap_drop command configs container_name cpu_count cpu_percent cpu_period cpu_quota
    cpu_shares cpus depends_on deploy develop dns dns_opt dns_search domainname entrypoint env_file environment expose
    extra_hosts healthcheck hostname image init labels links logging mem_limit mem_reservation mem_swappiness
    memswap_limit network_mode networks pids_limit platform ports post_start pre_stop
    profiles pull_policy read_only restart scale secrets security_opt shm_size stdin_open stop_grace_period stop_signal
    sysctls tmpfs tty ulimits user volumes working_dir
""")
_BUILD = _words("""
    additional_contexts args context dockerfile dockerfile_inline extra_hosts labels no_cache platforms pull secrets
    shm_size tags target
""")
_CAPABILITIES = _words("""
    AUDIT_WRITE CHOWN DAC_OVERRIDE FOWNER FSETID KILL MKNOD NET_BIND_SERVICE NET_RAW SETFCAP SETGID SETPCAP SETUID
    SYS_CHROOT
""")
_LOGGING = (None, "json-file", "local", "none")
# What Compose takes for a repository or a registry rather than a file, its home and what is no text.
_ELSEWHERE = re.compile(r"^~|[:@]|\.git(?:/|$)|^[^/]*[^/.][^/]*\.[^/]*/")
_OUTSIDE = "is outside of the repository"
# Keys under which files are named that Compose reads on the deploying machine, and what beside a path stands there.
_READ = {"include": (), "extends": ("service",), "env_file": ("required", "format"), "label_file": ()}


def check_read_files(settings: Settings) -> None:
    """Of a restricted stack, refuse files outside of the repository that Compose would read on the deploying machine.

    Asked before Compose reads any: their values would reach the containers, or an error's text.

    Raises:
        SlipwayError: with every such file.
    """
    if not settings.restricted:
        return
    found, boundary = Findings(), _boundary(settings.application)
    files, seen = compose_files(settings)[0], set[tuple[Path, Path]]()
    left = [(file, base) for file in files for base in {file.parent, files[0].parent}]
    while left:
        if (pair := left.pop(0)) in seen:
            continue
        seen.add(pair)
        file, base = pair  # relative paths begin at the first of the files that are merged
        # Compose reads the `.env` beside what it includes.
        if outside := [each for each in (file, file.with_name(".env")) if not _within(each, boundary)]:
            _refuse(found, settings, str(outside[0]), _OUTSIDE)
            continue
        try:
            read = list(_reads(file))
        except (UnicodeDecodeError, yaml.YAMLError):  # Compose reads more than one document, for example
            _refuse(found, settings, file.name, "cannot be read as a YAML document in UTF-8")
            continue
        bases = [(base / value).parent for key, value in read if key == "include"]
        for key, value in read:
            there = Path(os.path.normpath(base / value))
            if "$" in value or _ELSEWHERE.search(value) or not _within(base / value, boundary):
                _refuse(found, settings, f"{file.name}: {key}: {value}", _OUTSIDE)
            else:
                left += [(there, each) for each in {"include": bases, "extends": [there.parent]}.get(key, ())]
    if found.problems:
        raise SlipwayError(found.problems)


def _within(path: Path, boundary: Path) -> bool:
    """Whether a path leads there by its words, as Compose takes `LINK/..`, and by the links in it as well."""
    return all(each.resolve().is_relative_to(boundary) for each in (path, Path(os.path.normpath(path))))


def _reads(file: Path) -> Iterator[tuple[str, str]]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError:
        return  # Compose's to refuse
    yield from _named(yaml.compose(text, Loader=yaml.SafeLoader), set())


def _boundary(folder: Path) -> Path:
    return (repository_of(folder) or folder).resolve()


def _named(node: yaml.Node | None, seen: set[int]) -> Iterator[tuple[str, str]]:
    """Key and value of all that names a file to read, wherever it stands: anchors can put it anywhere."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if node.tag == "tag:yaml.org,2002:binary":
        yield "!!binary", "~"  # a word that only Compose decodes
    if isinstance(node, yaml.SequenceNode):
        for each in node.value:
            yield from _named(each, seen)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            name = str(key.value)
            if name in _READ:
                yield from ((name, each) for each in _scalars(value, _READ[name], set()))
            if name == "project_directory":
                yield name, "~"  # relative paths would start there
            yield from _named(key, seen)
            yield from _named(value, seen)


def _scalars(node: yaml.Node, without: Iterable[str], seen: set[int]) -> Iterator[str]:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        yield str(node.value)
    for each in node.value if isinstance(node, yaml.SequenceNode) else ():
        yield from _scalars(each, without, seen)
    for key, each in node.value if isinstance(node, yaml.MappingNode) else ():
        if key.value not in without:
            yield from _scalars(each, without, seen)


def restrict(
    services: Mapping[str, dict[str, Any]],
    model: Mapping[str, Any],
    extensions: Mapping[str, ServiceExtension],
    *,
    settings: Settings,
    folder: Path,
    found: Findings,
) -> None:
    """Of a restricted stack, refuse what reaches the host, other stacks, or other names of the edge.

    `model` is Compose's, with the services of all profiles: one that does not run may build what another one runs.
    `services` is what becomes of those that run, which lose their published ports, names and labels.
    """
    if not settings.restricted:
        return
    _leave_out(services, found)
    boundary, project = _boundary(folder), str(model.get("name") or "")
    for name, service in (model.get("services") or {}).items():
        runs = (*_of_service(service), *_of_mounts(services[name])) if name in services else ()
        for what in (*runs, *_of_build(service, folder, boundary)):
            _refuse(found, settings, f"services.{name}.{what}", "reaches beyond the application's own containers")
    for kind in ("volumes", "networks"):
        for name, entry in (model.get(kind) or {}).items():
            for what in _of_shared(kind, entry or {}, f"{project}_{name}"):
                _refuse(found, settings, f"{kind}.{name}.{what}", "reaches beyond the stack's own")
    why = f"is not below the stack's domain ({settings.domain or 'none is set'})"
    for name, extension in extensions.items():
        for host in sorted(_hosts(extension, settings.domain) - {"", settings.domain}):
            if not settings.domain or not host.endswith(f".{settings.domain}"):
                _refuse(found, settings, f"services.{name}.x-slipway: {host}", why)


def _hosts(extension: ServiceExtension, domain: str) -> set[str]:
    """All names by which the edge is to know a service."""
    redirected = {host for redirect in extension.redirect for host in redirect.from_}
    return {extension.preview, *redirected, *(route.at(domain) for route in extension.route)}


def _of_service(service: Mapping[str, Any]) -> Iterator[str]:
    yield from (key for key in service if key not in _SERVICE and not key.startswith("x-") and service[key])
    yield from (f"cap_add: {each}" for each in service.get("cap_add") or () if _capability(each) not in _CAPABILITIES)
    yield from (
        f"security_opt: {each}"
        for each in service.get("security_opt") or ()
        if str(each).replace("=", ":") not in ("no-new-privileges", "no-new-privileges:true")
    )
    mode = str(service.get("network_mode") or "none")
    if mode not in ("none", "bridge") and not mode.startswith("service:"):
        yield f"network_mode: {mode}"
    sysctls = service.get("sysctls") or {}
    yield from (f"sysctls: {each}" for each in sysctls if not str(each).startswith("net."))
    yield from (
        f"{key}: privileged"
        for key in ("post_start", "pre_stop")
        for hook in service.get(key) or ()
        if hook.get("privileged")
    )
    deploy = service.get("deploy") or {}
    if ((deploy.get("resources") or {}).get("reservations") or {}).get("devices"):
        yield "deploy.resources.reservations.devices"
    driver = (service.get("logging") or {}).get("driver")
    if driver not in _LOGGING:
        yield f"logging.driver: {driver}"


def _of_mounts(shipped: Mapping[str, Any]) -> Iterator[str]:
    """Where a service's mounts lead on the host; configs that are files are among them.

    Of its own data it gets whole folders: a path within one could be a link that another container planted there.
    """
    for mount in shipped.get("volumes") or ():
        source = str(mount.get("source") or "")
        own = source.startswith("@files/") or re.fullmatch(r"@data/[^/]+", source)
        if mount["type"] not in ("volume", "tmpfs", "image") and not own:
            yield f"volumes: {source.removeprefix('@data/')}"


def _capability(name: object) -> str:
    return str(name).upper().removeprefix("CAP_")


def _of_build(service: Mapping[str, Any], folder: Path, boundary: Path) -> Iterator[str]:
    if not (build := service.get("build") or {}):
        return
    yield from (f"build.{key}" for key in build if key not in _BUILD and build[key])
    context = str(build.get("context") or ".").replace("$$", "$")
    others = {key: str(value).replace("$$", "$") for key, value in (build.get("additional_contexts") or {}).items()}
    others = {key: value for key, value in others.items() if not value.startswith(("service:", "docker-image://"))}
    for key, source in {"context": context, **others}.items():
        if ":" in source or not _within(folder / source, boundary):
            yield f"build.{key}: {source}"
    file = str(build.get("dockerfile") or "Dockerfile").replace("$$", "$")
    if not _within(folder / context / file, boundary):
        yield f"build.dockerfile: {file}"


def _of_shared(kind: str, entry: Mapping[str, Any], own: str) -> Iterator[str]:
    """A top-level volume or network: `own` is the name that it has as the stack's."""
    if entry.get("external"):
        yield "external"
    elif str(entry.get("name") or own) != own:
        yield f"name: {entry['name']}"
    if entry.get("driver") not in (None, "", "local" if kind == "volumes" else "bridge"):
        yield f"driver: {entry['driver']}"
    if entry.get("driver_opts"):
        yield "driver_opts"
    if entry.get("labels"):
        yield "labels"
    if (entry.get("ipam") or {}).get("config"):
        yield "ipam"


def _leave_out(services: Mapping[str, dict[str, Any]], found: Findings) -> None:
    """Let the routes be the only way in: a published port passes the edge by, and a label may ask a proxy beside it.

    Neither a port nor a container's name can be had twice on a host, and labels say whose a container is.
    """
    touched = []
    for name, service in services.items():
        targets = [str(each["target"]) for each in service.get("ports") or ()]
        if targets:
            service["expose"] = list(dict.fromkeys([*(service.get("expose") or []), *targets]))
        given = [key for key in ("ports", "container_name", "labels") if service.pop(key, None)]
        (service.get("deploy") or {}).pop("labels", None)
        touched += [name] if given else []
    if touched:
        found.warn(
            f"services.{', '.join(touched)}: ports are not published; names of containers and labels are left out",
            "the stack is restricted: routes are the only way in, so that its password holds and stacks share a host",
            "write a `route` in `x-slipway` for what is to be reached from outside",
        )


def _refuse(found: Findings, settings: Settings, what: str, why: str) -> None:
    found.refuse(
        f"{what} {why}",
        f"stack {settings.stack} is restricted: its Compose file may be a stranger's",
        f"remove it; or, where the stack has a host of its own: {config_rm(settings.stack, 'restricted')}",
    )
