"""What a simulated Docker engine holds: images, networks and containers, and how they look through its API."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from programs import Program

if TYPE_CHECKING:
    import ipaddress
    from collections.abc import Mapping

    from programs import Behaviour
    from virtual_time import VirtualThread

SECOND = 1_000_000_000


class Refused(Exception):  # noqa: N818 - an answer
    """An answer of the engine that is an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass
class Image:
    """An image of the engine or of a registry that it reaches."""

    name: str
    digest: str
    behaviour: Behaviour
    architecture: str = "amd64"
    pull_seconds: float = 0.3
    check: dict[str, Any] = field(default_factory=dict)
    """its HEALTHCHECK, as the engine shows it"""

    @property
    def reference(self) -> str:
        return f"{self.name}@{self.digest}"

    @property
    def id(self) -> str:
        return "sha256:" + hashlib.sha256(self.digest.encode()).hexdigest()


@dataclass
class Network:
    name: str
    id: str
    subnet: ipaddress.IPv4Network
    labels: dict[str, str]
    body: dict[str, Any]
    used: dict[str, str] = field(default_factory=dict)
    """address → container"""


@dataclass
class Health:
    status: str = "starting"
    streak: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Container:
    id: str
    name: str
    image: Image
    config: dict[str, Any]
    host: dict[str, Any]
    endpoints: dict[str, dict[str, Any]]
    created: float
    state: str = "created"
    code: int = 0
    started: float | None = None
    ended: float | None = None
    restarts: int = 0
    backoff: float = 0.0
    upstream: str = ""
    """address that its program keeps"""
    by_hand: bool = False
    """stopped by somebody: its restart policy does not apply"""
    run: int = 0
    health: Health | None = None
    program: Program = field(default_factory=Program)
    logs: list[tuple[float, str]] = field(default_factory=list)
    waiting: list[VirtualThread] = field(default_factory=list)
    """those that wait for its end"""
    volumes: list[str] = field(default_factory=list)
    targets: dict[str, str] = field(default_factory=dict)  # of volumes, with a name or without
    binds: list[str] = field(default_factory=list)
    """folders and files of the host that it may write to"""
    error: str = ""
    out_of_memory: bool = False
    command: list[str] = field(default_factory=list)

    @property
    def labels(self) -> dict[str, str]:
        return dict(self.config.get("Labels") or {})

    @property
    def environment(self) -> dict[str, str]:
        return dict(each.partition("=")[::2] for each in self.config.get("Env") or ())

    @property
    def mounts(self) -> list[dict[str, Any]]:
        """As the engine shows them."""
        at = {str(each.get("Source")): each.get("Target", "") for each in self.host.get("Mounts") or ()}
        bound = [{"Type": "bind", "Source": path, "Destination": at.get(path, ""), "RW": True} for path in self.binds]
        volumes = [
            {"Type": "volume", "Name": name, "Destination": self.targets.get(name, ""), "RW": True}
            for name in self.volumes
        ]
        return volumes + bound

    @property
    def running(self) -> bool:
        return self.state in ("running", "paused")

    def addresses(self) -> list[str]:
        return [each["IPAddress"] for each in self.endpoints.values() if each["IPAddress"]]


def labelled(labels: Mapping[str, str], wanted: Mapping[str, list[str]]) -> bool:
    """Whether all labels are there that a filter asks for: by name, or with their value."""
    for each in wanted.get("label") or ():
        name, equals, value = each.partition("=")
        if name not in labels or (equals and labels[name] != value):
            return False
    return True


def health_check(container: Container) -> dict[str, Any] | None:
    check = container.config.get("Healthcheck") or {}
    test = check.get("Test") or []
    return check if test and test[0] != "NONE" else None


def seconds_of(check: Mapping[str, Any], name: str, default: float) -> float:
    return float(check[name]) / SECOND if check.get(name) else default


def volume(name: str, labels: Mapping[str, str], made: str, options: Mapping[str, str] | None = None) -> dict[str, Any]:
    return {"Name": name, "Driver": "local", "Labels": dict(labels), "Scope": "local", "CreatedAt": f"{made[:19]}Z",
            "Mountpoint": f"/var/lib/docker/volumes/{name}/_data", "Options": options}  # fmt: skip
