"""What hangs on servers of the emulated Hetzner Cloud: SSH keys, volumes, primary IPs.

Where machines are given, a volume is a real one, and an address one at which a machine can be reached.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import ipaddress
import itertools
from typing import Any, Protocol

from hetzner_core import Core, HetznerError, Record, route

__all__ = ["Attachments", "Machine", "Machines"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Machine:
    """What a server is born with."""

    server: int
    name: str
    address: str
    """Where it is reached (IPv4); empty without a public one."""
    image: str
    user_data: str
    keys: tuple[str, ...]
    """Public SSH keys of root."""
    volumes: tuple[tuple[int, int, str], ...]
    """Id, size in GB and file system of each volume that is attached."""
    private: tuple[str, ...]
    """Addresses in private networks, as ADDRESS/PREFIX."""


class Machines(Protocol):
    """Real machines behind the servers. Each call returns when it is so; what it raises ends the action."""

    def address(self) -> str:
        """An address that nobody has."""

    def create(self, machine: Machine) -> None:
        """Make it and boot it; in place of an earlier one of that server, whose volumes stay."""

    def power(self, server: int, *, on: bool) -> None:
        """Switch it on, or off at once."""

    def remove(self, server: int) -> None:
        """End it; what is on its volumes stays."""

    def join(self, server: int, address: str) -> None:
        """Give it a private address, as ADDRESS/PREFIX."""

    def guard(self, address: str, rules: list[Record] | None) -> None:
        """Let in by these rules alone what comes to that public address; all without any."""

    def attach(self, server: int, volume: int, size: int, file_system: str) -> None:
        """Give it a volume, formatted when it is new and has a file system."""

    def detach(self, server: int, volume: int) -> None:
        """Take it away; its content stays."""

    def drop_volume(self, volume: int) -> None:
        """Its content goes."""


class Attachments(Core):
    """What servers are given."""

    def __init__(self, machines: Machines | None = None) -> None:
        super().__init__()
        self.machines = machines
        self._free = (str(each) for each in ipaddress.ip_network("198.18.0.0/16").hosts())
        self._sixes = itertools.count(1)

    def _place(self, body: Record) -> Record:
        if "datacenter" in body:
            return self.get("datacenters", body["datacenter"], "datacenter")["location"]  # type: ignore[no-any-return]
        return self.get("locations", body.get("location", "fsn1"), "location")

    def _act(self, command: str, server: Record, *more: tuple[str, Any], **given: Any) -> Record:
        return {"action": self.action(command, ("server", server["id"]), *more, **given)}

    def _stopped(self, server: Record) -> None:
        if server["status"] != "off":
            raise HetznerError("server_not_stopped", "the server must be off")

    # --- SSH keys

    @route("POST /ssh_keys")
    def _new_key(self, body: Record) -> Record:
        parts = body["public_key"].split()
        try:
            key = base64.b64decode(parts[1], validate=True)
            key.index(parts[0].encode(), 4)  # it begins with its own kind
            digest = hashlib.md5(key).hexdigest()  # noqa: S324  # as Hetzner shows it
        except (IndexError, ValueError):
            raise HetznerError(
                "invalid_input", "invalid input in field 'public_key'", fields=[{"name": "public_key"}]
            ) from None
        fingerprint = ":".join(digest[at : at + 2] for at in range(0, 32, 2))
        if any(each["fingerprint"] == fingerprint for each in self.records["ssh_keys"].values()):
            raise HetznerError(
                "uniqueness_error", "SSH key with the same fingerprint already exists", fields=[{"name": "public_key"}]
            )
        return {"ssh_key": self.new("ssh_keys", body, public_key=body["public_key"], fingerprint=fingerprint)}

    # --- primary IPs

    @route("POST /primary_ips")
    def _new_address(self, body: Record) -> Record:
        place = self._place(body)
        assignee = body.get("assignee_id")
        if assignee is not None:
            server = self.get("servers", assignee, "assignee_id")
            place = server["location"]
        elif not (body.get("location") or body.get("datacenter")):
            raise HetznerError("invalid_input", "assignee_id or location is needed", fields=[{"name": "location"}])
        record = self._make_address(body, place)
        shown = {"primary_ip": self.view("primary_ips", record)}
        if assignee is None:
            return shown
        shown["action"] = self._assign(record, server)
        return {**shown, "primary_ip": self.view("primary_ips", record)}

    def _make_address(self, body: Record, place: Record, **more: Any) -> Record:
        record = self.new(
            "primary_ips", body, type=body["type"], ip="", assignee_type="server", assignee_id=None, blocked=False,
            auto_delete=body.get("auto_delete", False), protection={"delete": False}, dns_ptr=[], location=place,
            datacenter=self.records["datacenters"][place["id"]], **more,
        )  # fmt: skip
        if record["type"] == "ipv6":
            record["ip"] = f"2001:db8:{next(self._sixes):x}::/64"
        else:
            record["ip"] = self.machines.address() if self.machines else next(self._free)
            record["dns_ptr"] = [{"ip": record["ip"], "dns_ptr": _default_name(record["ip"])}]
        return record

    @route("DELETE /primary_ips/{id}")
    def _no_address(self, record: Record, _: Record) -> None:
        self.protected(record)
        if record["assignee_id"] is not None:
            raise HetznerError("resource_in_use", "primary IP is assigned to a server")
        del self.records["primary_ips"][record["id"]]

    @route("POST /primary_ips/{id}/actions/assign")
    def _assigned(self, record: Record, body: Record) -> Record:
        server = self.get("servers", body["assignee_id"], "assignee_id")
        self._stopped(server)
        return {"action": self._assign(record, server)}

    def _assign(self, record: Record, server: Record) -> Record:
        if self.machines and record["type"] == "ipv4":
            raise HetznerError("unsupported_error", "not emulated: a machine keeps the address that it was born with")
        self._may_have(record, server["location"], record["type"])
        if self.address_of(server, record["type"]):
            raise HetznerError(f"server_has_{record['type']}", f"server already has an {record['type']} address")
        return self.action(
            "assign_primary_ip", ("primary_ip", record["id"]), ("server", server["id"]),
            then=lambda: record.update(assignee_id=server["id"]),
        )  # fmt: skip

    def _may_have(self, record: Record, place: Record, kind: str) -> None:
        if record["type"] != kind:
            raise HetznerError("primary_ip_version_mismatch", f"primary IP is no {kind} address")
        if record["assignee_id"] is not None:
            raise HetznerError("primary_ip_assigned", "primary IP is already assigned")
        if record["location"]["id"] != place["id"]:
            raise HetznerError("primary_ip_datacenter_mismatch", "primary IP is in another location")

    @route("POST /primary_ips/{id}/actions/unassign")
    def _unassigned(self, record: Record, _: Record) -> Record:
        if record["assignee_id"] is None:
            raise HetznerError("primary_ip_not_assigned", "primary IP is not assigned")
        server = self.get("servers", record["assignee_id"])
        self._stopped(server)
        resources = (("primary_ip", record["id"]), ("server", server["id"]))
        return {"action": self.action("unassign_primary_ip", *resources, then=lambda: record.update(assignee_id=None))}

    @route("POST /primary_ips/{id}/actions/change_dns_ptr")
    def _named_address(self, record: Record, body: Record) -> Record:
        return {
            "action": self.action(
                "change_dns_ptr", ("primary_ip", record["id"]), then=lambda: self._reverse(record, body)
            )
        }

    @route("POST /servers/{id}/actions/change_dns_ptr")
    def _named_server(self, server: Record, body: Record) -> Record:
        address = ipaddress.ip_address(body["ip"])
        own = (self.address_of(server, kind) for kind in ("ipv4", "ipv6"))
        record = next(
            (each for each in own if each and address in ipaddress.ip_network(each["ip"], strict=False)), None
        )
        if record is None:
            raise HetznerError("invalid_input", "the IP is not the server's", fields=[{"name": "ip"}])
        return self._act("change_dns_ptr", server, then=lambda: self._reverse(record, body))

    def _reverse(self, record: Record, body: Record) -> None:
        others = [each for each in record["dns_ptr"] if each["ip"] != body["ip"]]
        name = body["dns_ptr"] or (_default_name(body["ip"]) if record["type"] == "ipv4" else None)
        record["dns_ptr"] = others + ([{"ip": body["ip"], "dns_ptr": name}] if name else [])

    def address_of(self, server: Record, kind: str) -> Record | None:
        """The server's primary IP of that kind."""
        own = (each for each in self.records["primary_ips"].values() if each["assignee_id"] == server["id"])
        return next((each for each in own if each["type"] == kind), None)

    # --- volumes

    @route("POST /volumes")
    def _new_volume(self, body: Record) -> Record:
        server = self.get("servers", body["server"]) if body.get("server") else None
        if server is None and "location" not in body:
            raise HetznerError("invalid_input", "location or server is needed", fields=[{"name": "location"}])
        if not 10 <= body["size"] <= 10240:  # GB
            raise HetznerError("invalid_input", "size must be between 10 and 10240", fields=[{"name": "size"}])
        place = server["location"] if server else self._place(body)
        volume = self.new(
            "volumes", body, size=body["size"], format=body.get("format"), server=None, status="creating",
            location=place, linux_device="", protection={"delete": False},
        )  # fmt: skip
        volume["linux_device"] = f"/dev/disk/by-id/scsi-0HC_Volume_{volume['id']}"
        begun = self.action("create_volume", ("volume", volume["id"]), then=lambda: volume.update(status="available"))
        following = [self._attach(volume, server)] if server else []
        return {"volume": self.view("volumes", volume), "action": begun, "next_actions": following}

    def _free_volume(self, number: int, place: Record) -> Record:
        volume = self.get("volumes", number)
        if volume["server"] is not None:
            raise HetznerError("volume_already_attached", "volume is already attached to a server")
        if volume["location"]["id"] != place["id"]:
            raise HetznerError("invalid_input", "volume is in another location", fields=[{"name": "volumes"}])
        return volume

    def _attach(self, volume: Record, server: Record) -> Record:
        volume["server"] = server["id"]
        machines, given = self.machines, (server["id"], volume["id"], volume["size"], volume["format"] or "")
        resources = (("volume", volume["id"]), ("server", server["id"]))
        return self.action("attach_volume", *resources, work=machines and (lambda: machines.attach(*given)))

    @route("POST /volumes/{id}/actions/attach")
    def _attached(self, volume: Record, body: Record) -> Record:
        server = self.get("servers", body["server"])
        return {"action": self._attach(self._free_volume(volume["id"], server["location"]), server)}

    @route("POST /volumes/{id}/actions/detach")
    def _detached(self, volume: Record, _: Record) -> Record:
        server, machines = volume["server"], self.machines
        if server is None:
            raise HetznerError("invalid_input", "volume is not attached")
        resources = (("volume", volume["id"]), ("server", server))
        work = machines and (lambda: machines.detach(server, volume["id"]))
        return {"action": self.action("detach_volume", *resources, work=work, then=lambda: volume.update(server=None))}

    @route("POST /volumes/{id}/actions/resize")
    def _resized(self, volume: Record, body: Record) -> Record:
        if body["size"] <= volume["size"]:
            raise HetznerError("invalid_input", "a volume only grows", fields=[{"name": "size"}])
        return {
            "action": self.action(
                "resize_volume", ("volume", volume["id"]), then=lambda: volume.update(size=body["size"])
            )
        }

    @route("DELETE /volumes/{id}")
    def _no_volume(self, volume: Record, _: Record) -> None:
        self.protected(volume)
        if volume["server"] is not None:
            raise HetznerError("resource_in_use", "volume is attached to a server")
        if self.machines:
            self.machines.drop_volume(volume["id"])
        del self.records["volumes"][volume["id"]]


def _default_name(address: str) -> str:
    return f"static.{'.'.join(reversed(address.split('.')))}.clients.your-server.de"
