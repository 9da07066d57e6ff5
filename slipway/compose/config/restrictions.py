"""What a restricted stack's Compose file may not say: it may be a stranger's, as that of a pull request is.

Allowed is what stays within the application's own containers, networks, volumes and repository; the rest is refused, as
what Compose will learn later is as well. The limits of capabilities and namespaces are those of Kubernetes' Pod
Security Standards, level "baseline"; the capabilities are the ones that Docker gives by itself.
"""

from __future__ import annotations

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
    left, seen = [*compose_files(settings)[0]], set[Path]()
    while left:
        if (file := left.pop(0)) in seen:
            continue
        seen.add(file)
        if not file.resolve().is_relative_to(boundary):
            _refuse(found, settings, str(file), "is outside of the repository")
            continue
        try:
            top = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            continue  # Compose's to refuse
        for key, value in _named(top, set()):
            there = file.parent / value
            if "$" in value or value.startswith("~") or "://" in value or not there.resolve().is_relative_to(boundary):
                _refuse(found, settings, f"{file.name}: {key}: {value}", "is outside of the repository")
            elif key in ("include", "extends"):
                left.append(there)
    if found.problems:
        raise SlipwayError(found.problems)


def _boundary(folder: Path) -> Path:
    return (repository_of(folder) or folder).resolve()


def _named(node: yaml.Node | None, seen: set[int]) -> Iterator[tuple[str, str]]:
    """Key and value of all that names a file to read, wherever it stands: anchors can put it anywhere."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
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

    `model` is Compose's, and `services` what becomes of its services, which lose their published ports.
    """
    if not settings.restricted:
        return
    _unpublish(services, found)
    boundary, project = _boundary(folder), str(model.get("name") or "")
    for name, service in (model.get("services") or {}).items():
        for what in (*_of_service(service), *_of_build(service.get("build") or {}, folder, boundary)):
            _refuse(found, settings, f"services.{name}.{what}", "reaches beyond the application's own containers")
    for kind in ("volumes", "networks"):
        for name, entry in (model.get(kind) or {}).items():
            for what in _of_shared(kind, entry or {}, f"{project}_{name}"):
                _refuse(found, settings, f"{kind}.{name}.{what}", "reaches beyond the stack's own")
    for name, extension in extensions.items():
        hosts = {
            *(route.at(settings.domain) for route in extension.route),
            *(host for redirect in extension.redirect for host in redirect.from_),
            extension.preview,
        }
        for host in sorted(hosts - {"", settings.domain}):
            if not settings.domain or not host.endswith(f".{settings.domain}"):
                what = f"services.{name}.x-slipway: {host}"
                _refuse(found, settings, what, f"is not below the stack's domain ({settings.domain or 'none is set'})")


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
    for mount in service.get("volumes") or ():
        source = str(mount.get("source") or "")
        if mount["type"] not in ("volume", "tmpfs", "image", "bind") or (
            mount["type"] == "bind" and source.startswith(("/", "~"))
        ):
            yield f"volumes: {source}"
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


def _capability(name: object) -> str:
    return str(name).upper().removeprefix("CAP_")


def _of_build(build: Mapping[str, Any], folder: Path, boundary: Path) -> Iterator[str]:
    yield from (f"build.{key}" for key in build if key not in _BUILD and build[key])
    contexts = {"context": build.get("context") or ".", **(build.get("additional_contexts") or {})} if build else {}
    for key, value in contexts.items():
        source = str(value).replace("$$", "$")
        if source.startswith(("service:", "docker-image://")):
            continue
        if "://" in source or not (folder / source).resolve().is_relative_to(boundary):
            yield f"build.{key}: {source}"
    file = str(build.get("dockerfile") or "Dockerfile").replace("$$", "$")
    if contexts and not (folder / str(contexts["context"]) / file).resolve().is_relative_to(boundary):
        yield f"build.dockerfile: {file}"


def _of_shared(kind: str, entry: Mapping[str, Any], own: str) -> Iterator[str]:
    """A top-level volume or network: `own` is the name that it has as the stack's."""
    if entry.get("external"):
        yield "external"
    elif str(entry.get("name") or own) != own:
        yield f"name: {entry['name']}"
    if entry.get("driver") not in (None, "", "local" if kind == "volumes" else "bridge"):
        yield f"driver: {entry['driver']}"
    options = entry.get("driver_opts") or {}
    device = str(options.get("device") or "")
    bound = kind == "volumes" and "bind" in str(options.get("o") or "").split(",") and not device.startswith(("/", "~"))
    if options and not bound:
        yield "driver_opts"
    if (entry.get("ipam") or {}).get("config"):
        yield "ipam"


def _unpublish(services: Mapping[str, dict[str, Any]], found: Findings) -> None:
    """Let the routes be the only way in: a published port passes the edge by, and is one stack's of a host alone."""
    published = [name for name, service in services.items() if service.get("ports")]
    for name in published:
        targets = [str(each["target"]) for each in services[name].pop("ports")]
        services[name]["expose"] = list(dict.fromkeys([*(services[name].get("expose") or []), *targets]))
    if published:
        found.warn(
            f"services.{', '.join(published)}: ports are not published",
            "the stack is restricted: routes are the only way in, so that its password holds and stacks share a host",
            "write a `route` in `x-slipway` for what is to be reached from outside",
        )


def _refuse(found: Findings, settings: Settings, what: str, why: str) -> None:
    found.refuse(
        f"{what} {why}",
        f"stack {settings.stack} is restricted: its Compose file may be a stranger's",
        f"remove it; or, where the stack has a host of its own: {config_rm(settings.stack, 'restricted')}",
    )
