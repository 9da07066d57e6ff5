"""Servers of the emulated Hetzner Cloud, and what hangs on them: keys, volumes, primary IPs, placement groups.

Where machines are given, each server is one: it is really reached at its address.
"""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import ipaddress
import itertools
import re
from typing import TYPE_CHECKING, Any, Protocol

from flask import request
from hetzner_core import Core, HetznerError, Record, route

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Machine", "Machines", "Servers"]

_GROUP_SIZE = 10  # servers of a placement group
_USER_DATA_BYTES = 32 * 1024


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

    def attach(self, server: int, volume: int, size: int, file_system: str) -> None:
        """Give it a volume, formatted when it is new and has a file system."""

    def detach(self, server: int, volume: int) -> None:
        """Take it away; its content stays."""

    def drop_volume(self, volume: int) -> None:
        """Its content goes."""


class Servers(Core):
    """Servers and what is attached to them."""

    def __init__(self, machines: Machines | None = None) -> None:
        super().__init__()
        self.machines = machines
        self._free = (str(each) for each in ipaddress.ip_network("198.18.0.0/16").hosts())
        self._sixes = itertools.count(1)

    # --- SSH keys

    @route("POST /ssh_keys")
    def _new_key(self, body: Record) -> Record:
        parts = body["public_key"].split()
        try:
            digest = hashlib.md5(base64.b64decode(parts[1], validate=True)).hexdigest()  # noqa: S324  # as Hetzner shows it
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

    # --- placement groups

    @route("POST /placement_groups")
    def _new_group(self, body: Record) -> Record:
        return {
            "placement_group": self.view("placement_groups", self.new("placement_groups", body, type=body["type"])),
            "action": None,
        }

    @route("DELETE /placement_groups/{id}")
    def _no_group(self, group: Record, _: Record) -> None:
        if self.show_placement_groups(group)["servers"]:
            raise HetznerError("resource_in_use", "placement group is still in use")
        del self.records["placement_groups"][group["id"]]

    def show_placement_groups(self, record: Record) -> Record:
        servers = [each["id"] for each in self.records["servers"].values() if each["_group"] == record["id"]]
        return {**record, "servers": servers}

    @route("POST /servers/{id}/actions/add_to_placement_group")
    def _into_group(self, server: Record, body: Record) -> Record:
        self._stopped(server)
        group = self._group(body["placement_group"])
        return self._act(
            "add_to_placement_group", server, ("placement_group", group), then=lambda: server.update(_group=group)
        )

    @route("POST /servers/{id}/actions/remove_from_placement_group")
    def _out_of_group(self, server: Record, _: Record) -> Record:
        return self._act("remove_from_placement_group", server, then=lambda: server.update(_group=None))

    def _group(self, number: int | None) -> int | None:
        if number is None:
            return None
        group = self.get("placement_groups", number)
        if len(self.show_placement_groups(group)["servers"]) >= _GROUP_SIZE:
            raise HetznerError("placement_error", "placement group is full")
        return int(group["id"])

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

    # --- servers

    @route("POST /servers")
    def _new_server(self, body: Record) -> Record:
        if not re.fullmatch(r"[a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(\.[a-zA-Z0-9-]+)*", body["name"]):
            raise HetznerError("invalid_input", "name must be a valid hostname", fields=[{"name": "name"}])
        if len(body.get("user_data", "").encode()) > _USER_DATA_BYTES:
            raise HetznerError("invalid_input", "user_data is longer than 32 KiB", fields=[{"name": "user_data"}])
        place, kind = self._place(body), self.get("server_types", body["server_type"], "server_type")
        image = self.image(body["image"], kind)
        self._in_stock(kind, place)
        public = {"enable_ipv4": True, "enable_ipv6": True, **body.get("public_net", {})}
        given = {each: self.get("primary_ips", public[each]) for each in ("ipv4", "ipv6") if public.get(each)}
        for version, address in given.items():
            self._may_have(address, place, version)
        keys = tuple(self.get("ssh_keys", key, "ssh_key")["public_key"] for key in body.get("ssh_keys", ()))
        volumes = [self._free_volume(number, place) for number in body.get("volumes", ())]
        networks = [self.get("networks", number) for number in body.get("networks", ())]
        walls = [self.get("firewalls", each["firewall"]) for each in body.get("firewalls", ())]
        group = self._group(body.get("placement_group"))
        if not networks and not (public["enable_ipv4"] or public["enable_ipv6"]):
            raise HetznerError("invalid_input", "a server needs a public or private network")
        server = self.new(
            "servers", body, status="initializing", server_type=kind, location=place, image=image,
            datacenter=self.records["datacenters"][place["id"]], iso=None, rescue_enabled=False, locked=False,
            backup_window=None, outgoing_traffic=0, ingoing_traffic=0, private_net=[],
            included_traffic=next(each["included_traffic"] for each in kind["prices"] if each["location"] == place["name"]),
            protection={"delete": False, "rebuild": False}, primary_disk_size=kind["disk"], _group=group,
            _user_data=body.get("user_data", ""), _keys=keys,
        )  # fmt: skip
        for version in ("ipv4", "ipv6"):
            if public[f"enable_{version}"]:
                default = {"name": f"primary_ip-{server['id']}-{version}", "type": version, "auto_delete": True}
                address = given.get(version) or self._make_address(default, place)
                address["assignee_id"] = server["id"]
        for volume in volumes:
            volume["server"] = server["id"]
        for network in networks:
            self.join_network(server, network, {})
        for wall in walls:
            wall["applied_to"].append({"type": "server", "server": {"id": server["id"]}})
        begun = self.action("create_server", ("server", server["id"]))
        following = [self._boot(server, on=body.get("start_after_create", True))]
        following += [
            self.action("attach_volume", ("volume", each["id"]), ("server", server["id"])) for each in volumes
        ]
        password = None if keys else "wXkT7pHnVq3b"
        return {
            "server": self.view("servers", server),
            "action": begun,
            "next_actions": following,
            "root_password": password,
        }

    def machine(self, server: Record) -> Machine:
        address = self.address_of(server, "ipv4")
        volumes = ((each["id"], each["size"], each["format"] or "") for each in self._volumes(server))
        return Machine(
            server=server["id"], name=server["name"], address=address["ip"] if address else "", keys=server["_keys"],
            image=server["image"]["name"] or "", user_data=server["_user_data"], volumes=tuple(volumes),
        )  # fmt: skip

    def _boot(self, server: Record, *, on: bool, command: str = "start_server") -> Record:
        machines, machine = self.machines, self.machine(server)

        def work() -> None:
            if machines:
                machines.create(machine)
                if not on:
                    machines.power(machine.server, on=False)

        server["status"] = "rebuilding" if command == "rebuild_server" else "starting" if on else "off"
        return self.action(
            command, ("server", server["id"]), work=work, then=lambda: server.update(status="running" if on else "off")
        )

    def _in_stock(self, kind: Record, place: Record) -> None:
        if (kind["name"], place["name"]) in self.unavailable or place["id"] not in {
            each["id"] for each in kind["locations"]
        }:
            raise HetznerError(
                "resource_unavailable", f"server type {kind['name']} is not available in {place['name']}"
            )

    def show_server_types(self, record: Record) -> Record:
        def offered(place: Record) -> Record:
            return {**place, "available": (record["name"], place["name"]) not in self.unavailable}

        return {**record, "locations": [offered(each) for each in record["locations"]]}

    def _place(self, body: Record) -> Record:
        if "datacenter" in body:
            return self.get("datacenters", body["datacenter"], "datacenter")["location"]  # type: ignore[no-any-return]
        return self.get("locations", body.get("location", "fsn1"), "location")

    def image(self, key: int | str, kind: Record) -> Record:
        """The image of that name or id, for that type's processors."""
        fits = [each for each in self.records["images"].values() if str(key) in (each["name"], str(each["id"]))]
        if not fits:
            raise HetznerError("not_found", f"image {key} not found", fields=[{"name": "image"}])
        for each in fits:
            if each["architecture"] == kind["architecture"]:
                return each
        raise HetznerError(
            "invalid_input", "image has another architecture than the server type", fields=[{"name": "image"}]
        )

    def _volumes(self, server: Record) -> list[Record]:
        return [each for each in self.records["volumes"].values() if each["server"] == server["id"]]

    def show_servers(self, record: Record) -> Record:
        four, six = self.address_of(record, "ipv4"), self.address_of(record, "ipv6")
        group = self.records["placement_groups"].get(record["_group"])
        busy = self._busy("servers", record["id"])
        walls = [each["id"] for each in self.records["firewalls"].values() if self.covers(each, record)]
        return {
            **record,
            "locked": busy,
            "volumes": [each["id"] for each in self._volumes(record)],
            "placement_group": self.view("placement_groups", group) if group else None,
            "load_balancers": [
                each["id"] for each in self.records["load_balancers"].values() if self.balances(each, record)
            ],
            "public_net": {
                "ipv4": four and {**_shown(four), "dns_ptr": four["dns_ptr"][0]["dns_ptr"]},
                "ipv6": six and {**_shown(six), "dns_ptr": six["dns_ptr"]},
                "floating_ips": [],
                "firewalls": [{"id": number, "status": "applied"} for number in walls],
            },
        }

    def covers(self, wall: Record, server: Record) -> bool:
        """Whether a firewall is applied to a server."""
        raise NotImplementedError

    def balances(self, balancer: Record, server: Record) -> bool:
        """Whether a load balancer has a server as its target."""
        raise NotImplementedError

    def join_network(self, server: Record, network: Record, body: Record) -> None:
        """Attach a server to a network."""
        raise NotImplementedError

    def leave_all(self, server: Record) -> None:
        """Take a server that goes out of firewalls and load balancers."""
        raise NotImplementedError

    def _act(self, command: str, server: Record, *more: tuple[str, Any], **given: Any) -> Record:
        return {"action": self.action(command, ("server", server["id"]), *more, **given)}

    def _stopped(self, server: Record) -> None:
        if server["status"] != "off":
            raise HetznerError("server_not_stopped", "the server must be off")

    @route("DELETE /servers/{id}")
    def _no_server(self, server: Record, _: Record) -> Record:
        self.protected(server)
        server["status"] = "deleting"
        number, machines = server["id"], self.machines

        def gone() -> None:
            for volume in self._volumes(server):
                volume["server"] = None
            for address in [each for each in self.records["primary_ips"].values() if each["assignee_id"] == number]:
                address["assignee_id"] = None
                if address["auto_delete"]:
                    del self.records["primary_ips"][address["id"]]
            self.leave_all(server)
            del self.records["servers"][number]

        return self._act("delete_server", server, then=gone, work=machines and (lambda: machines.remove(number)))

    @route(*(f"POST /servers/{{id}}/actions/{each}" for each in ("poweroff", "shutdown", "poweron", "reboot", "reset")))
    def _powered(self, server: Record, _: Record) -> Record:
        word = request.path.rpartition("/")[2]
        commands = {"poweroff": "stop_server", "shutdown": "shutdown_server", "poweron": "start_server"}
        number, machines, on = server["id"], self.machines, word not in {"poweroff", "shutdown"}

        def work() -> None:
            if machines:
                if word in {"reboot", "reset"}:
                    machines.power(number, on=False)
                machines.power(number, on=on)

        status = "running" if on else "off"
        return self._act(
            commands.get(word, f"{word}_server"), server, work=work, then=lambda: server.update(status=status)
        )

    @route("POST /servers/{id}/actions/rebuild")
    def _rebuilt(self, server: Record, body: Record) -> Record:
        self.protected(server, "rebuild")
        server["image"] = self.image(body["image"], server["server_type"])
        server["_user_data"] = body.get("user_data", server["_user_data"])
        return {"action": self._boot(server, on=True, command="rebuild_server"), "root_password": None}

    @route("POST /servers/{id}/actions/change_type")
    def _retyped(self, server: Record, body: Record) -> Record:
        self._stopped(server)
        kind = self.get("server_types", body["server_type"], "server_type")
        self._in_stock(kind, server["location"])
        if kind["disk"] < server["primary_disk_size"]:
            raise HetznerError("invalid_server_type", "the new type's disk is smaller than the server's")
        if kind["architecture"] != server["server_type"]["architecture"]:
            raise HetznerError("invalid_server_type", "the new type has another architecture")
        disk = kind["disk"] if body["upgrade_disk"] else server["primary_disk_size"]
        changed = {"server_type": kind, "primary_disk_size": disk}
        return self._act("change_server_type", server, then=lambda: server.update(changed))

    @route("POST /servers/{id}/actions/change_protection")
    def _shielded(self, server: Record, body: Record) -> Record:
        wanted = {**server["protection"], **body}
        if wanted["delete"] != wanted["rebuild"]:
            raise HetznerError(
                "invalid_input", "delete and rebuild protection go together", fields=[{"name": "rebuild"}]
            )
        return self._act("change_protection", server, then=lambda: server.update(protection=wanted))

    @route("POST /servers/{id}/actions/enable_backup", "POST /servers/{id}/actions/disable_backup")
    def _backed_up(self, server: Record, _: Record) -> Record:
        on = request.path.endswith("enable_backup")
        command = "enable_backup" if on else "disable_backup"
        return self._act(command, server, then=lambda: server.update(backup_window="22-02" if on else None))

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
            "volumes", body, size=body["size"], format=body.get("format"), server=None, status="creating", location=place,
            linux_device="", protection={"delete": False},
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


def _shown(address: Record) -> Record:
    return {name: address[name] for name in ("id", "ip", "blocked")}
