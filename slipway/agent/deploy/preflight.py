"""What must hold before anything is fetched or touched: disk, ports, names, drivers, external networks and volumes."""

from __future__ import annotations

import errno
import os
import re
import shlex
import socket
from typing import TYPE_CHECKING, Any

from slipway.agent.docker.docker_api import PROJECT_LABEL
from slipway.agent.docker.facts import SHORT_ID
from slipway.agent.move.checks import check_data
from slipway.contract.compose_tree import used_definitions
from slipway.contract.problems import FREE_DISK, SlipwayError
from slipway.contract.published_ports import addresses_meet, listed_ports, published_ports

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.docker.machine import Machine
    from slipway.agent.move.old_project import OldProject

__all__ = ["check", "free_megabytes"]

MEGABYTE = 1_000_000
_NETWORK_LABEL = "com.docker.compose.network"


def check(
    compose: Mapping[str, Any],
    starting: Collection[str],
    *,
    api: DockerApi,
    machine: Machine,
    stack: str,
    changed: Collection[str],
    disk_minimum_mb: int,
    old: OldProject,
    giving_up: Collection[str] = (),
    move_from: Sequence[str] = (),
) -> None:
    """Raise for the first thing that would make starting these services fail; changes nothing.

    Containers that are `giving_up` their ports will have done so; `old` is the project that was taken over from last;
    `changed` are the networks that what is live has with other settings.
    """
    _disk(machine.root, disk_minimum_mb)
    _drivers(compose, machine)
    _external(compose, api)
    _networks(compose, starting, api)
    _fixed(compose, changed, starting, api)
    listed = api.containers()
    own = [each for each in listed if (each.get("Labels") or {}).get(PROJECT_LABEL) == stack]
    others = [each for each in listed if (each.get("Labels") or {}).get(PROJECT_LABEL) != stack]
    leaving = [each for each in others if str(each["Id"])[:SHORT_ID] in giving_up]
    staying = [each for each in others if str(each["Id"])[:SHORT_ID] not in giving_up]
    check_data(compose, starting, others=staying, api=api, old=old, move_from=move_from)
    _names(compose, starting, others, stack)
    _ports(compose, starting, staying, [*own, *leaving])


def free_megabytes(path: str) -> int:
    """Free space where `path` lies, or would lie, in MB of 10^6 bytes."""
    while True:
        try:
            found = os.statvfs(path)
        except OSError:
            parent = os.path.dirname(path)
            if parent == path:
                return 0
            path = parent
        else:
            return found.f_bavail * found.f_frsize // MEGABYTE


def _disk(root: str, minimum: int) -> None:
    free = free_megabytes(root)
    if free < minimum:
        raise SlipwayError(
            f"{free} MB are free on {root}, {minimum} MB are required",
            "a full disk stops databases and loses log lines, so nothing was started",
            FREE_DISK,
        )


def _drivers(compose: Mapping[str, Any], machine: Machine) -> None:
    for name, definition in compose["volumes"].items():
        settings = definition or {}
        driver = str(settings.get("driver") or "local")
        # Plugins are listed with their tag ("name:latest") where they were installed by name.
        if not settings.get("external") and {driver, f"{driver}:latest"}.isdisjoint(machine.volume_drivers):
            raise SlipwayError(
                f"the volume driver {driver} (volume {name}) is not installed on this host",
                f"the engine has {', '.join(machine.volume_drivers)}",
                f"docker plugin install {shlex.quote(driver)}",
            )


def _external(compose: Mapping[str, Any], api: DockerApi) -> None:
    for kind, find in (("volume", api.volume), ("network", api.network)):
        definitions = {key: definition or {} for key, definition in compose[f"{kind}s"].items()}
        external = {str(each.get("name") or key): each for key, each in definitions.items() if each.get("external")}
        missing = {name: bool(each.get("x-adopted")) for name, each in sorted(external.items()) if find(name) is None}
        if missing:
            adopted = [name for name, each in missing.items() if each]
            names = adopted or list(missing)
            many, them = len(names) > 1, "them" if len(names) > 1 else "it"
            what = f"{kind}{'s' * many} {', '.join(names)}"
            meaning = f"the Compose file declares {them} as external, so Slipway does not create {them}"
            fix = " && ".join(f"docker {kind} create {shlex.quote(name)}" for name in names)
            if adopted:
                meaning = f"adopt{kind.title()}s names {them}, so Slipway does not create {them}"
            if adopted and kind == "volume":
                meaning = f"adoptVolumes says that the data is in {them}: with new ones the stack would begin empty"
                fix = f"make {them}, restore a backup into {them}, and deploy after that: {fix}"
            raise SlipwayError(
                f"the {'' if adopted else 'external '}{what} {'do' if many else 'does'} not exist on this host",
                meaning,
                fix,
            )


def _networks(compose: Mapping[str, Any], starting: Collection[str], api: DockerApi) -> None:
    """Refuse a network of a needed name that something else made: Compose would not use it."""
    for key in sorted({key for name in starting for key in compose["services"].get(name, {}).get("networks") or ()}):
        definition = compose["networks"].get(key) or {}
        name = str(definition.get("name") or key)
        found = None if definition.get("external") else api.network(name)
        if found is not None and (found.get("Labels") or {}).get(_NETWORK_LABEL) != key:
            raise SlipwayError(
                f"the network {name} ({key} in the Compose file) is there, and something else made it",
                "Compose would not use it, so nothing was started: Docker removes it once no container is on it, and "
                f"`external: true` in networks.{key} uses it as it is",
                f"docker network rm {shlex.quote(name)}",
            )


def _fixed(compose: Mapping[str, Any], changed: Collection[str], starting: Collection[str], api: DockerApi) -> None:
    """Refuse other settings for a network or volume that is there.

    Docker cannot change them. Compose goes on with the old ones and reports success, or (networks, since about 2.30)
    takes the first container off its network and fails.
    """
    used = used_definitions(compose, {name: compose["services"].get(name) or {} for name in starting})
    for key, wanted in _own(used["networks"]):
        name = str(wanted.get("name") or key)
        if key in changed and api.network(name) is not None:
            raise _unchangeable("network", name, key, "")
    for key, wanted in _own(used["volumes"]):
        name, driver = str(wanted.get("name") or key), str(wanted.get("driver") or "local")
        options = {option: str(value).replace("$$", "$") for option, value in (wanted.get("driver_opts") or {}).items()}
        found = api.volume(name)
        if found and (found.get("Driver") or "local", found.get("Options") or {}) != (driver, options):
            raise _unchangeable("volume", name, key, ", and begins empty")


def _own(definitions: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Those that Compose makes, by key."""
    return [(key, own or {}) for key, own in sorted(definitions.items()) if not (own or {}).get("external")]


def _unchangeable(thing: str, name: str, key: str, begins: str) -> SlipwayError:
    return SlipwayError(
        f"the {thing} {name} ({key} in the Compose file) is there with other settings",
        f"Docker cannot change a {thing}, so its services would go on with the old ones; nothing was started",
        f"restore its settings in {thing}s.{key}, or add `name: {name}-2` there: that one is made anew{begins}",
    )


def _names(
    compose: Mapping[str, Any], starting: Collection[str], others: Sequence[Mapping[str, Any]], stack: str
) -> None:
    given = {name: str(compose["services"].get(name, {}).get("container_name") or "") for name in starting}
    wanted = {name: re.escape(own) or rf"{stack}-{re.escape(name)}-\d+" for name, own in given.items()}
    for entry in others:
        for taken in (str(each).lstrip("/") for each in entry.get("Names") or ()):
            service = next((name for name, pattern in wanted.items() if re.fullmatch(pattern, taken)), None)
            if service:
                raise SlipwayError(
                    f"the name {taken} that a container of service {service} needs belongs to another container",
                    "it does not belong to this stack, so it was left alone and nothing was started",
                    f"docker rename {taken} {taken}-other",
                )


def _ports(
    compose: Mapping[str, Any],
    starting: Collection[str],
    others: Sequence[Mapping[str, Any]],
    giving_up: Sequence[Mapping[str, Any]],
) -> None:
    wanted = [
        (name, port.address, port.first, port.protocol)
        for name in sorted(starting)
        for port in published_ports(compose["services"].get(name, {}))
        if port.width == 1  # of a range Docker chooses one: none of them is certain to be needed
    ]
    if not wanted:
        return
    free = {held[:2] for held in listed_ports(giving_up)}
    taken = list(listed_ports(others))
    for name, address, port, protocol in wanted:
        if (port, protocol) in free:
            continue
        holder = next((who for *key, at, who in taken if key == [port, protocol] and addresses_meet(at, address)), "")
        if holder or not _can_bind(address, port, protocol):
            raise SlipwayError(
                f"port {port}/{protocol} that service {name} publishes is held by {holder or 'another program'}",
                "two programs cannot listen on it, so nothing was started",
                f"docker stop {holder}" if holder else f"sudo ss -lnp 'sport = :{port}'",
            )


def _can_bind(address: str, port: int, protocol: str) -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    with socket.socket(family, kind) as probe:
        if kind == socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            # Anything else (no right to low ports, no such address) is for the engine to say.
            return error.errno != errno.EADDRINUSE
    return True
