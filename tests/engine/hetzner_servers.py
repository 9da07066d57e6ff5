"""Servers of the emulated Hetzner Cloud, and their placement groups.

Where machines are given, each server is one: it is really reached at its address.
"""

from __future__ import annotations

import re

from flask import request
from hetzner_attachments import Attachments, Machine
from hetzner_core import HetznerError, Record, route

__all__ = ["Servers"]

_GROUP_SIZE = 10  # servers of a placement group
_USER_DATA_BYTES = 32 * 1024


class Servers(Attachments):
    """Servers, from birth to deletion."""

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
        prices = next(each for each in kind["prices"] if each["location"] == place["name"])
        server = self.new(
            "servers", body, status="initializing", server_type=kind, location=place, image=image,
            datacenter=self.records["datacenters"][place["id"]], iso=None, rescue_enabled=False, locked=False,
            backup_window=None, outgoing_traffic=0, ingoing_traffic=0, private_net=[],
            included_traffic=prices["included_traffic"],
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
            private=self.private(server),
        )  # fmt: skip

    def private(self, server: Record) -> tuple[str, ...]:
        """Its private addresses, each with the prefix of its network."""
        ranges = {each["id"]: each["ip_range"].rpartition("/")[2] for each in self.records["networks"].values()}
        return tuple(f"{each['ip']}/{ranges[each['network']]}" for each in server["private_net"])

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
        changed = {"server_type": kind, "primary_disk_size": disk, "status": "running"}  # Hetzner starts it again
        number, machines = server["id"], self.machines
        work = machines and (lambda: machines.power(number, on=True))
        return self._act("change_server_type", server, then=lambda: server.update(changed), work=work)

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


def _shown(address: Record) -> Record:
    return {name: address[name] for name in ("id", "ip", "blocked")}
