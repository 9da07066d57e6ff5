"""A service as a person knows it: what the engine compares and shows of it, with no secret in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.contract.compose_tree import shipped_file, used_definitions
from slipway.contract.redaction import unmarked
from slipway.contract.strategies import RECREATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slipway.compose.application import Application

__all__ = ["service_inputs"]

_SHORT = 12  # hex digits, as of an image's digest
_MOUNT_WORDS = ("type", "source", "target", "read_only")
_SAY_NOTHING: tuple[dict[str, bool], ...] = (
    {},
    {"create_host_path": False},
    {"create_host_path": True},
)  # what Compose itself fills in
_PORT_WORDS = ("mode", "target", "published", "protocol", "host_ip", "name")
_ROUTED_KEYS = ("routes", "strategy")  # in words of their own


def service_inputs(application: Application, name: str, *, beside: Iterable[str]) -> dict[str, Any]:
    """Key → value of service `name` on a host that runs the services `beside` with it; its image is left out.

    Keys are Compose's own, and those of `x-slipway` that say something; mounts and ports are in the short form that
    people write; a shipped file has the beginning of its SHA-256.
    """
    service, entry = application.document["services"][name], application.entries[name]
    used = used_definitions(application.document, {name: service})
    own = {key: value for key, value in service.items() if key not in ("volumes", "ports", "depends_on")}
    found = {
        **own,
        "uses": _told({kind: _unnamed(each, application.stack) for kind, each in used.items()}),
        "mounts": {mount["target"]: _mount(mount) for mount in service.get("volumes") or ()},
        "ports": [_port(port) for port in service.get("ports") or ()],
        "dependsOn": {other: str(how.get("condition", "")) for other, how in (service.get("depends_on") or {}).items()},
        "routes": [f"{route['host']}{route['path']}" for route in entry["routes"]],
        "strategy": entry["strategy"],
        "slipway": _told({key: value for key, value in entry.items() if key not in _ROUTED_KEYS}),
        "interrupts": interruption(application, name, beside),
    }
    return {key: _shown(value) for key, value in found.items()}


def _shown(tree: Any) -> Any:  # noqa: ANN401  # a JSON tree
    """The tree with texts that the engine can show: it takes `<{%` for a colour, and panics."""
    if isinstance(tree, dict):
        return {_shown(key): _shown(value) for key, value in tree.items()}
    if isinstance(tree, list):
        return [_shown(each) for each in tree]
    return unmarked(tree) if isinstance(tree, str) else tree


def interruption(application: Application, name: str, beside: Iterable[str]) -> str:
    """What a change of service `name` interrupts on its host."""
    services, entry = application.document["services"], application.entries[name]
    followers = sorted(
        other
        for other in beside
        if ((services[other].get("depends_on") or {}).get(name) or {}).get("restart")
    )  # fmt: skip
    itself = f"{name}, until its new container is healthy" if entry["strategy"] == RECREATE else "nothing"
    return f"{itself}; after it {', '.join(followers)}" if followers else itself


def _told(tree: Any) -> Any:  # noqa: ANN401  # a JSON tree
    """A tree without what says nothing: null and what is empty."""
    if not isinstance(tree, dict):
        return tree
    told = {key: _told(value) for key, value in tree.items()}
    return {key: value for key, value in told.items() if value not in (None, {}, [])}


def _unnamed(definitions: Mapping[str, Mapping[str, Any]], stack: str) -> dict[str, Any]:
    """Top-level definitions without the names that Compose gives them by itself."""
    return {
        name: {key: value for key, value in each.items() if (key, value) != ("name", f"{stack}_{name}")}
        for name, each in definitions.items()
    }


def _mount(mount: Mapping[str, Any]) -> str:
    source = str(mount.get("source", ""))
    file = shipped_file(source)
    words = [f"{file.name} sha256:{file.sha[:_SHORT]}" if file else source or str(mount.get("type", ""))]
    words += ["read-only"] if mount.get("read_only") else []
    more = ((key, value) for key, value in mount.items() if key not in _MOUNT_WORDS and value not in _SAY_NOTHING)
    return " ".join([*words, *(f"{key}={value}" for key, value in more)])


def _port(port: Mapping[str, Any] | str) -> str:
    if isinstance(port, str):
        return port
    host = f"{port['host_ip']}:" if port.get("host_ip") else ""
    published = f"{port['published']}:" if port.get("published") else ""
    words = [f"{host}{published}{port['target']}/{port.get('protocol', 'tcp')}"]
    return " ".join([*words, *(f"{key}={value}" for key, value in port.items() if key not in _PORT_WORDS)])
