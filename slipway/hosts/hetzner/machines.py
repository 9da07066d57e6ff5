"""What the stack's state knows of its machines at Hetzner, and what will happen to each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.hosts.hetzner.keys import HOST_KEY_LABEL, key_of_label

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.settings.model import Settings

__all__ = ["COMPONENT", "Machine", "Machines", "machines_in_state", "stated", "with_machines"]

COMPONENT = "slipway:hetzner:HetznerServers"
"""The component's type in the engine's state."""
_HOST = "slipway:host:Host"


class Machine(NamedTuple):
    """A server that the state knows."""

    address: str
    host_key: str
    """Public host key."""
    type: str
    image: str
    location: str
    used: bool
    """Whether a deployment has begun there: it was ready."""


class Machines(NamedTuple):
    """What the state knows."""

    servers: Mapping[str, Machine]
    volumes: Mapping[str, int]
    """Server → GB of its volume."""
    resources: frozenset[tuple[str, str]]
    """Type and name of each resource of the component."""
    stated: str
    """What the last update made true (see `stated`); empty when none did."""
    key: str
    """Name of the login key at Hetzner."""
    unprotected: frozenset[str] = frozenset()
    """Servers whose volume is deleted with them."""

    @property
    def public_key(self) -> str:
        """That may log in to the servers; empty before any is made."""
        return str(json.loads(self.stated or "{}").get("key", ""))

    def pending(self, settings: Settings) -> dict[str, str]:
        """Host → why it cannot be looked at until the engine has changed it: `created`, `rebuilt` or `resized`."""
        found = {}
        turn, rebuild = True, settings.hetzner.rebuild  # one at a time is away, so that the others serve
        for name, server in sorted(settings.hetzner.machines.items(), key=lambda each: each[0] != rebuild):
            known = self.servers.get(name)
            if known and name == rebuild and (known.image != server.image or not known.used):
                found[name], turn = "rebuilt", False
            elif known is None or not known.used:
                found[name] = "created"
            elif turn and known.type != server.type:
                found[name], turn = "resized", False
        return found


def machines_in_state(stack: str) -> Machines:
    """What the state of `stack` knows, asked of the engine that runs this program."""
    from slipway.hosts.records import outputs_in_state  # noqa: PLC0415  # hosts are connected to before it is loaded

    servers: dict[str, dict[str, Any]] = {}
    volumes: dict[str, int] = {}
    used: set[str] = set()
    unprotected: set[str] = set()
    resources: set[tuple[str, str]] = set()
    own: dict[str, Any] = {}
    for urn, outputs in outputs_in_state(stack).items():
        kinds, _, name = urn.rpartition("::")
        kind = kinds.rpartition("$")[2].rpartition(":")[2]
        if kinds.endswith(_HOST):
            used.add(name)
        elif kinds.endswith(COMPONENT):
            own = outputs
        elif f"{COMPONENT}$" in kinds:
            resources.add((kind, name))
            if kind == "Server":
                servers[name] = outputs
            elif kind == "Volume":
                volumes[name] = int(outputs.get("size") or 0)
                unprotected |= set() if outputs.get("deleteProtection") else {name}
    return Machines(
        {name: _machine(outputs, used=name in used) for name, outputs in servers.items()},
        volumes,
        frozenset(resources),
        str(own.get("stated") or ""),
        str(own.get("key") or ""),
        frozenset(unprotected),
    )


def _machine(outputs: Mapping[str, Any], *, used: bool) -> Machine:
    return Machine(
        address=str(outputs.get("ipv4Address") or ""),
        host_key=key_of_label(str((outputs.get("labels") or {}).get(HOST_KEY_LABEL, ""))),
        type=str(outputs.get("serverType") or ""),
        image=str(outputs.get("image") or ""),
        location=str(outputs.get("location") or ""),
        used=used,
    )


def with_machines(settings: Settings) -> Settings:
    """The settings with the addresses and keys of what can be looked at, as the state knows them."""
    if not settings.hetzner.servers:
        return settings
    machines = machines_in_state(settings.stack)
    pending = machines.pending(settings)
    return settings.located(
        {
            name: {"address": machine.address, "hostKey": machine.host_key}
            for name, machine in machines.servers.items()
            if pending.get(name) in (None, "resized")
        },
    )


def stated(settings: Settings, public_key: str) -> str:
    """What the machines are made of, as JSON: as long as it is the same, Hetzner is asked nothing."""
    hetzner = settings.hetzner.model_dump(by_alias=True, exclude={"rebuild", "drop_volumes"})
    ports = [settings.http_port, settings.https_port]
    return json.dumps({**hetzner, "key": public_key, "ports": ports}, sort_keys=True)
