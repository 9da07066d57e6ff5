"""What a Compose tree refers to: secrets by name, and the top-level definitions that a service uses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["PLACEHOLDER", "ShippedFile", "placeholders", "shipped_file", "texts", "used_definitions"]

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
