"""Networks, firewalls and load balancers of the emulated Hetzner Cloud."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from flask import request
from hetzner_core import HetznerError, Record, route
from hetzner_lists import selects
from hetzner_servers import Servers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hetzner_attachments import Machines

__all__ = ["Networks"]

_PRIVATE = tuple(ipaddress.ip_network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


class Networks(Servers):
    """What connects servers, and what keeps others out."""

    def __init__(self, machines: Machines | None = None) -> None:
        super().__init__(machines)
        self._guarded: dict[str, list[Record]] = {}

    # --- networks

    @route("POST /networks")
    def _new_network(self, body: Record) -> Record:
        whole = _network(body["ip_range"], "ip_range")
        if not any(whole.subnet_of(each) for each in _PRIVATE):
            raise HetznerError("invalid_input", "ip_range must be private", fields=[{"name": "ip_range"}])
        network = self.new(
            "networks", body, ip_range=body["ip_range"], subnets=[], routes=list(body.get("routes", ())),
            protection={"delete": False}, expose_routes_to_vswitch=body.get("expose_routes_to_vswitch", False),
        )  # fmt: skip
        for subnet in body.get("subnets", ()):
            network["subnets"].append(self._subnet(network, subnet))
        return {"network": self.view("networks", network)}

    def show_networks(self, record: Record) -> Record:
        def within(kind: str) -> list[int]:
            entries = self.records[kind].values()
            return [
                each["id"] for each in entries if any(net["network"] == record["id"] for net in each["private_net"])
            ]

        return {**record, "servers": within("servers"), "load_balancers": within("load_balancers")}

    @route("DELETE /networks/{id}")
    def _no_network(self, network: Record, _: Record) -> None:
        self.protected(network)
        shown = self.show_networks(network)
        if shown["servers"] or shown["load_balancers"]:
            raise HetznerError("resource_in_use", "network is still in use")
        del self.records["networks"][network["id"]]

    def _subnet(self, network: Record, body: Record) -> Record:
        whole = _network(network["ip_range"], "ip_range")
        taken = [_network(each["ip_range"], "ip_range") for each in network["subnets"]]
        if "ip_range" in body:
            part = _network(body["ip_range"], "ip_range")
        else:
            part = next(
                each for each in whole.subnets(new_prefix=max(24, whole.prefixlen)) if not _overlaps(each, taken)
            )
        if not part.subnet_of(whole):
            raise HetznerError("invalid_input", "ip_range is not in the network's", fields=[{"name": "ip_range"}])
        if _overlaps(part, taken):
            raise HetznerError("invalid_input", "ip_range overlaps with another subnet", fields=[{"name": "ip_range"}])
        return {
            "type": body["type"], "ip_range": str(part), "network_zone": body["network_zone"],
            "gateway": str(next(whole.hosts())), "vswitch_id": body.get("vswitch_id"),
        }  # fmt: skip

    @route("POST /networks/{id}/actions/add_subnet")
    def _more_subnets(self, network: Record, body: Record) -> Record:
        subnet = self._subnet(network, body)
        return self._network_action("add_subnet", network, lambda: network["subnets"].append(subnet))

    @route("POST /networks/{id}/actions/delete_subnet")
    def _fewer_subnets(self, network: Record, body: Record) -> Record:
        part = _network(body["ip_range"], "ip_range")
        if any(ipaddress.ip_address(each) in part for each in self._used(network)):
            raise HetznerError("resource_in_use", "subnet still has servers")
        kept = [each for each in network["subnets"] if each["ip_range"] != body["ip_range"]]
        if len(kept) == len(network["subnets"]):
            raise HetznerError("not_found", "subnet not found")
        return self._network_action("delete_subnet", network, lambda: network.update(subnets=kept))

    @route("POST /networks/{id}/actions/add_route", "POST /networks/{id}/actions/delete_route")
    def _routed(self, network: Record, body: Record) -> Record:
        others = [each for each in network["routes"] if each != body]
        adds = request.path.endswith("add_route")
        if adds != (len(others) == len(network["routes"])):
            raise HetznerError("invalid_input", "route is already there" if adds else "route not found")
        command = "add_route" if adds else "delete_route"
        return self._network_action(
            command, network, lambda: network.update(routes=[*others, body] if adds else others)
        )

    @route("POST /networks/{id}/actions/change_ip_range")
    def _widened(self, network: Record, body: Record) -> Record:
        if not _network(network["ip_range"], "ip_range").subnet_of(_network(body["ip_range"], "ip_range")):
            raise HetznerError("invalid_input", "a network only grows", fields=[{"name": "ip_range"}])
        return self._network_action("change_ip_range", network, lambda: network.update(body))

    def _network_action(self, command: str, network: Record, then: Any) -> Record:
        return {"action": self.action(command, ("network", network["id"]), then=then)}

    def _used(self, network: Record) -> Iterator[str]:
        for kind in ("servers", "load_balancers"):
            for each in self.records[kind].values():
                yield from (net["ip"] for net in each["private_net"] if net["network"] == network["id"])

    def join_network(self, server: Record, network: Record, body: Record) -> None:
        if any(each["network"] == network["id"] for each in server["private_net"]):
            raise HetznerError("server_already_attached", "server is already attached to this network")
        address = self._free_address(network, body, server["location"])
        mac = ":".join(["86", "00", *(f"{part:02x}" for part in ipaddress.ip_address(address).packed)])
        entry = {"network": network["id"], "ip": address, "alias_ips": body.get("alias_ips", []), "mac_address": mac}
        server["private_net"].append(entry)

    def _free_address(self, network: Record, body: Record, place: Record) -> str:
        used = {*self._used(network)}
        subnets = [each for each in network["subnets"] if each["network_zone"] == place["network_zone"]]
        subnets = [each for each in subnets if each["ip_range"] == body.get("ip_range", each["ip_range"])]
        parts = [_network(each["ip_range"], "ip_range") for each in subnets]
        if wanted := body.get("ip"):
            if wanted in used or not any(ipaddress.ip_address(wanted) in part for part in parts):
                raise HetznerError("ip_not_available", "the address is not available in the network")
            return str(wanted)
        for part in parts:
            first = {str(part.network_address), str(part.network_address + 1)}
            for each in part.hosts():
                if str(each) not in used | first:
                    return str(each)
        raise HetznerError("no_subnet_available", "no subnet or IP is available")

    @route("POST /servers/{id}/actions/attach_to_network")
    def _joined(self, server: Record, body: Record) -> Record:
        network = self.get("networks", body["network"])
        self.join_network(server, network, body)
        resources = (("server", server["id"]), ("network", network["id"]))
        machines, address = self.machines, self.private(server)[-1]
        work = machines and (lambda: machines.join(server["id"], address))
        return {"action": self.action("attach_to_network", *resources, work=work)}

    @route("POST /servers/{id}/actions/detach_from_network", "POST /load_balancers/{id}/actions/detach_from_network")
    def _left(self, record: Record, body: Record) -> Record:
        network = self.get("networks", body["network"])
        kept = [each for each in record["private_net"] if each["network"] != network["id"]]
        if len(kept) == len(record["private_net"]):
            raise HetznerError("invalid_input", "it is not attached to this network", fields=[{"name": "network"}])
        kind = "server" if request.path.startswith("/v1/servers") else "load_balancer"
        resources = ((kind, record["id"]), ("network", network["id"]))
        return {"action": self.action("detach_from_network", *resources, then=lambda: record.update(private_net=kept))}

    @route("POST /servers/{id}/actions/change_alias_ips")
    def _aliased(self, server: Record, body: Record) -> Record:
        entry = next((each for each in server["private_net"] if each["network"] == body["network"]), None)
        if entry is None:
            raise HetznerError("invalid_input", "it is not attached to this network", fields=[{"name": "network"}])
        resources = (("server", server["id"]), ("network", body["network"]))
        change = {"alias_ips": body["alias_ips"]}
        return {"action": self.action("change_alias_ips", *resources, then=lambda: entry.update(change))}

    # --- firewalls

    @route("POST /firewalls")
    def _new_firewall(self, body: Record) -> Record:
        wall = self.new("firewalls", body, rules=[_rule(each) for each in body.get("rules", ())], applied_to=[])
        actions = [self.action("set_firewall_rules", ("firewall", wall["id"]))]
        actions += [self._apply(wall, each) for each in body.get("apply_to", ())]
        return {"firewall": self.view("firewalls", wall), "actions": actions}

    def show_firewalls(self, record: Record) -> Record:
        return {**record, "applied_to": [self._shown_resource(each) for each in record["applied_to"]]}

    def _shown_resource(self, entry: Record) -> Record:
        if entry["type"] == "server":
            return entry
        chosen = (
            each
            for each in self.records["servers"].values()
            if selects(entry["label_selector"]["selector"], each["labels"])
        )
        return {**entry, "applied_to_resources": [{"type": "server", "server": {"id": each["id"]}} for each in chosen]}

    def covers(self, wall: Record, server: Record) -> bool:
        shown = (self._shown_resource(each) for each in wall["applied_to"])
        entries = [part for each in shown for part in each.get("applied_to_resources", [each])]
        return any(each["server"]["id"] == server["id"] for each in entries)

    def _handle(self, *given: Any) -> Any:
        answer = super()._handle(*given)
        if self.machines:
            self._guard(self.machines)
        return answer

    def _guard(self, machines: Machines) -> None:
        """Make the firewalls of real machines what the records say."""
        wanted: dict[str, list[Record]] = {}
        for server in self.records["servers"].values():
            walls = [each for each in self.records["firewalls"].values() if self.covers(each, server)]
            if walls and (address := self.address_of(server, "ipv4")):
                rules = (rule for wall in walls for rule in wall["rules"] if rule["direction"] == "in")
                wanted[address["ip"]] = list(rules)
        for each in {*wanted, *self._guarded}:
            if wanted.get(each) != self._guarded.get(each):
                machines.guard(each, wanted.get(each))
        self._guarded = wanted

    def _apply(self, wall: Record, entry: Record) -> Record:
        if entry in wall["applied_to"]:
            raise HetznerError("firewall_already_applied", "firewall is already applied")
        resources = [("firewall", wall["id"])]
        if entry["type"] == "server":
            server = self.get("servers", entry["server"]["id"])
            if not (self.address_of(server, "ipv4") or self.address_of(server, "ipv6")):
                raise HetznerError("private_net_only_server", "the server has no public interface")
            resources.append(("server", server["id"]))
        wall["applied_to"].append(entry)
        return self.action("apply_firewall", *resources)

    @route("POST /firewalls/{id}/actions/apply_to_resources")
    def _applied(self, wall: Record, body: Record) -> Record:
        return {"actions": [self._apply(wall, each) for each in body["apply_to"]]}

    @route("POST /firewalls/{id}/actions/remove_from_resources")
    def _removed(self, wall: Record, body: Record) -> Record:
        actions = []
        for entry in body["remove_from"]:
            if entry not in wall["applied_to"]:
                raise HetznerError("firewall_already_removed", "firewall is not applied to it")
            wall["applied_to"].remove(entry)
            actions.append(self.action("remove_firewall", ("firewall", wall["id"])))
        return {"actions": actions}

    @route("POST /firewalls/{id}/actions/set_rules")
    def _ruled(self, wall: Record, body: Record) -> Record:
        rules = [_rule(each) for each in body["rules"]]
        return {
            "actions": [
                self.action("set_firewall_rules", ("firewall", wall["id"]), then=lambda: wall.update(rules=rules))
            ]
        }

    @route("DELETE /firewalls/{id}")
    def _no_firewall(self, wall: Record, _: Record) -> None:
        if wall["applied_to"]:
            raise HetznerError("resource_in_use", f"firewall with ID '{wall['id']}' is still in use")
        del self.records["firewalls"][wall["id"]]

    def leave_all(self, server: Record) -> None:
        for wall in self.records["firewalls"].values():
            wall["applied_to"] = [
                each for each in wall["applied_to"] if each.get("server", {}).get("id") != server["id"]
            ]
        for balancer in self.records["load_balancers"].values():
            balancer["targets"] = [
                each for each in balancer["targets"] if each.get("server", {}).get("id") != server["id"]
            ]


def _network(text: str, field: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as error:
        raise HetznerError(
            "invalid_input", f"invalid input in field '{field}': {error}", fields=[{"name": field}]
        ) from error


def _overlaps(part: ipaddress.IPv4Network, others: list[ipaddress.IPv4Network]) -> bool:
    return any(part.overlaps(each) for each in others)


def _rule(body: Record) -> Record:
    """A rule as it is kept; what makes no sense is refused."""
    sides = {"in": "source_ips", "out": "destination_ips"}
    if not body.get(sides[body["direction"]]):
        raise HetznerError("invalid_input", f"{sides[body['direction']]} is missing", fields=[{"name": "rules"}])
    if (body["protocol"] in {"tcp", "udp"}) != bool(body.get("port")):
        raise HetznerError(
            "invalid_input", "a port goes with tcp and udp, and with nothing else", fields=[{"name": "rules"}]
        )
    for each in (*body.get("source_ips", ()), *body.get("destination_ips", ())):
        try:
            ipaddress.ip_network(each)
        except ValueError as error:
            raise HetznerError("invalid_input", str(error), fields=[{"name": "rules"}]) from error
    return {"description": None, "port": None, "source_ips": [], "destination_ips": [], **body}
