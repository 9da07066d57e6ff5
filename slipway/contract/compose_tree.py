"""What a Compose tree refers to: secrets by name, other services, and the top-level definitions that a service uses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

__all__ = [
    "PLACEHOLDER", "ShippedFile", "following", "joined_services", "joining", "placeholders", "secrets_of",
    "shipped_file", "texts", "used_definitions",
]  # fmt: skip

PLACEHOLDER = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
"""An escaped dollar, or a secret's place with its name as group 1."""
_SHIPPED = re.compile(r"@files/([0-9a-f]{64})/([^/\0]+)")


class ShippedFile(NamedTuple):
    """A file or folder that ships with a release; `str()` is how a mount's source names it."""

    sha: str
    """SHA-256 of its content, by which the release's `files` have it."""
    name: str

    def __str__(self) -> str:
        return f"@files/{self.sha}/{self.name}"


def shipped_file(source: object) -> ShippedFile | None:
    """What a mount's source names; None for what does not ship."""
    found = _SHIPPED.fullmatch(str(source))
    return ShippedFile(*found.groups()) if found and found[2] not in (".", "..") else None


def placeholders(tree: Any) -> set[str]:  # noqa: ANN401 - JSON
    """Names of the secrets that a tree needs."""
    return {name for _, text in texts(tree) for name in PLACEHOLDER.findall(text) if name}


def secrets_of(compose: Mapping[str, Any], service: str, entry: Mapping[str, Any]) -> set[str]:
    """Names of the secrets that a service and its route get; `entry` is what the release says of it beside Compose."""
    own = compose["services"][service]
    used = used_definitions(compose, {service: own})
    mounted = {str(each.get("environment") or "") for each in used["secrets"].values()}
    passwords = (entry.get("middlewares") or {}).get("basic_auth")
    return {*placeholders([own, used]), *mounted, passwords or ""} - {""}


def following(services: Iterable[str]) -> str:
    """What to write so that a service is replaced along with these; Compose refuses `restart` without a condition."""
    return f"depends_on: {{{', '.join(f'{each}: {{condition: service_started, restart: true}}' for each in services)}}}"


def joined_services(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The services whose very container this one uses, each with the key that says so."""
    for key in ("network_mode", "ipc", "pid"):
        kind, _, name = str(service.get(key, "")).partition(":")
        if kind == "service":
            yield name, key
    for source in service.get("volumes_from") or ():
        yield str(source).split(":")[0], "volumes_from"


def joining(name: str, services: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """The services that cannot do with any other container of `name`, each with the key that says so.

    Volumes with a name are the same in all its containers; a folder may be that of another release.
    """
    mounts = services[name].get("volumes") or ()
    same = all(isinstance(each, dict) and each.get("type") == "volume" and each.get("source") for each in mounts)
    for other, service in services.items():
        for used, key in joined_services(service):
            if used == name and not (key == "volumes_from" and same):
                yield other, key


def used_definitions(tree: Mapping[str, Any], services: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The top-level definitions that these services use."""
    names: dict[str, set[str]] = {"networks": set(), "volumes": set(), "configs": set(), "secrets": set()}
    for service in services.values():
        names["networks"].update(service.get("networks") or ([] if service.get("network_mode") else ["default"]))
        for kind in ("volumes", "configs", "secrets"):
            for entry in service.get(kind) or ():
                names[kind].add(str(entry.get("source", "")) if isinstance(entry, dict) else str(entry).split(":")[0])
    return {kind: {n: d for n, d in (tree.get(kind) or {}).items() if n in names[kind]} for kind in names}


def texts(tree: Any, key: str = "") -> Iterator[tuple[str, str]]:  # noqa: ANN401 - JSON
    """Every text of a tree, with the key that it is the value of; none for the entry of a list."""
    if isinstance(tree, str):
        yield key, tree
    elif isinstance(tree, (dict, list)):
        for name, value in tree.items() if isinstance(tree, dict) else (("", value) for value in tree):
            yield from texts(value, name)
