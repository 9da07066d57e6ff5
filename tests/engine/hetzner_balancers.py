"""Load balancers of the emulated Hetzner Cloud; none of them passes traffic on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import request
from hetzner_core import HetznerError, Record, route
from hetzner_lists import selects
from hetzner_networks import Networks

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Balancers"]


class Balancers(Networks):
    """Load balancers, their services and targets."""

    @route("POST /load_balancers")
    def _new_balancer(self, body: Record) -> Record:
        kind = self.get("load_balancer_types", body["load_balancer_type"], "load_balancer_type")
        zone = body.get("network_zone")
        if ("location" in body) == bool(zone):
            raise HetznerError("invalid_input", "either location or network_zone", fields=[{"name": "location"}])
        places = self.records["locations"].values()
        place = (
            next(each for each in places if each["network_zone"] == zone)
            if zone
            else self.get("locations", body["location"], "location")
        )
        balancer = self.new(
            "load_balancers", body, load_balancer_type=kind, location=place, services=[], targets=[], private_net=[],
            algorithm=body.get("algorithm", {"type": "round_robin"}), protection={"delete": False},
            outgoing_traffic=None, ingoing_traffic=None,
            included_traffic=kind["prices"][0]["included_traffic"], public_net={},
        )  # fmt: skip
        balancer["public_net"] = {
            "enabled": body.get("public_interface", True),
            "ipv4": {"ip": next(self._free), "dns_ptr": f"lb-{balancer['id']}.your-server.de"},
            "ipv6": {"ip": f"2001:db8:{next(self._sixes):x}::1", "dns_ptr": f"lb-{balancer['id']}.your-server.de"},
        }
        if "network" in body:
            self._join(balancer, self.get("networks", body["network"]), {})
        balancer["services"] = [_service(each) for each in body.get("services", ())]
        for each in body.get("targets", ()):
            self._add(balancer, each)
        return {
            "load_balancer": self.view("load_balancers", balancer),
            "action": self.action("create_load_balancer", ("load_balancer", balancer["id"])),
        }

    def _balancer_action(self, command: str, balancer: Record, then: Callable[[], Any] = lambda: None) -> Record:
        return {"action": self.action(command, ("load_balancer", balancer["id"]), then=then)}

    @route("DELETE /load_balancers/{id}")
    def _no_balancer(self, balancer: Record, _: Record) -> Record:
        self.protected(balancer)
        kept = self.records["load_balancers"]
        return self._balancer_action("delete_load_balancer", balancer, lambda: kept.pop(balancer["id"]))

    # --- services

    @route("POST /load_balancers/{id}/actions/add_service")
    def _more_services(self, balancer: Record, body: Record) -> Record:
        self._certified(body)
        service = _service(body)
        if any(each["listen_port"] == service["listen_port"] for each in balancer["services"]):
            raise HetznerError("source_port_already_used", f"source port {service['listen_port']} is already used")
        return self._balancer_action("add_service", balancer, lambda: balancer["services"].append(service))

    @route("POST /load_balancers/{id}/actions/update_service")
    def _changed_service(self, balancer: Record, body: Record) -> Record:
        service = self._at_port(balancer, body)
        self._certified(body)
        merged = {**service, **body}
        for part in ("health_check", "http"):
            if part in body:
                merged[part] = {**service.get(part, {}), **body[part]}
        return self._balancer_action("update_service", balancer, lambda: service.update(_service(merged)))

    @route("POST /load_balancers/{id}/actions/delete_service")
    def _fewer_services(self, balancer: Record, body: Record) -> Record:
        service = self._at_port(balancer, body)
        return self._balancer_action("delete_service", balancer, lambda: balancer["services"].remove(service))

    def _at_port(self, balancer: Record, body: Record) -> Record:
        for each in balancer["services"]:
            if each["listen_port"] == body["listen_port"]:
                return each  # type: ignore[no-any-return]
        raise HetznerError("not_found", f"no service listens on port {body['listen_port']}")

    def _certified(self, body: Record) -> None:
        for number in body.get("http", {}).get("certificates", ()):
            self.get("certificates", number)

    # --- targets

    @route("POST /load_balancers/{id}/actions/add_target")
    def _more_targets(self, balancer: Record, body: Record) -> Record:
        self._add(balancer, body)
        return self._balancer_action("add_target", balancer)

    def _add(self, balancer: Record, body: Record) -> None:
        if any(_same(each, body) for each in balancer["targets"]):
            raise HetznerError("target_already_defined", "target is already defined")
        if body["type"] == "server":
            server = self.get("servers", body["server"]["id"])
            shared = {each["network"] for each in server["private_net"]} & {
                each["network"] for each in balancer["private_net"]
            }
            if body.get("use_private_ip") and not shared:
                raise HetznerError("server_not_attached_to_network", "server is not in the load balancer's network")
        balancer["targets"].append({"use_private_ip": False, **body})

    @route("POST /load_balancers/{id}/actions/remove_target")
    def _fewer_targets(self, balancer: Record, body: Record) -> Record:
        target = next((each for each in balancer["targets"] if _same(each, body)), None)
        if target is None:
            raise HetznerError("not_found", "target not found")
        return self._balancer_action("remove_target", balancer, lambda: balancer["targets"].remove(target))

    def balances(self, balancer: Record, server: Record) -> bool:
        return any(
            each["server"]["id"] == server["id"] if "server" in each
            else "label_selector" in each and selects(each["label_selector"]["selector"], server["labels"])
            for each in balancer["targets"]
        )  # fmt: skip

    def show_load_balancers(self, record: Record) -> Record:
        health = [{"listen_port": each["listen_port"], "status": "healthy"} for each in record["services"]]

        def shown(target: Record) -> Record:
            if target["type"] != "label_selector":
                return {**target, "health_status": health}
            chosen = (
                each
                for each in self.records["servers"].values()
                if selects(target["label_selector"]["selector"], each["labels"])
            )
            common: Record = {"type": "server", "use_private_ip": target["use_private_ip"], "health_status": health}
            return {**target, "targets": [{**common, "server": {"id": each["id"]}} for each in chosen]}

        return {**record, "targets": [shown(each) for each in record["targets"]]}

    # --- the rest

    def _join(self, balancer: Record, network: Record, body: Record) -> None:
        if any(each["network"] == network["id"] for each in balancer["private_net"]):
            raise HetznerError("load_balancer_already_attached", "load balancer is already attached to a network")
        entry = {"network": network["id"], "ip": self._free_address(network, body, balancer["location"])}
        balancer["private_net"].append(entry)

    @route("POST /load_balancers/{id}/actions/attach_to_network")
    def _balancer_joined(self, balancer: Record, body: Record) -> Record:
        self._join(balancer, self.get("networks", body["network"]), body)
        return self._balancer_action("attach_to_network", balancer)

    @route("POST /load_balancers/{id}/actions/change_algorithm")
    def _other_algorithm(self, balancer: Record, body: Record) -> Record:
        return self._balancer_action("change_algorithm", balancer, lambda: balancer.update(algorithm=body))

    @route("POST /load_balancers/{id}/actions/change_type")
    def _other_type(self, balancer: Record, body: Record) -> Record:
        kind = self.get("load_balancer_types", body["load_balancer_type"], "load_balancer_type")
        return self._balancer_action(
            "change_load_balancer_type", balancer, lambda: balancer.update(load_balancer_type=kind)
        )

    @route(*(f"POST /load_balancers/{{id}}/actions/{each}_public_interface" for each in ("enable", "disable")))
    def _public(self, balancer: Record, _: Record) -> Record:
        command = request.path.rpartition("/")[2]
        on = command.startswith("enable")
        return self._balancer_action(command, balancer, lambda: balancer["public_net"].update(enabled=on))

    @route("POST /load_balancers/{id}/actions/change_dns_ptr")
    def _named_balancer(self, balancer: Record, body: Record) -> Record:
        own = next((each for each in ("ipv4", "ipv6") if balancer["public_net"][each]["ip"] == body["ip"]), None)
        if own is None:
            raise HetznerError("invalid_input", "the IP is not the load balancer's", fields=[{"name": "ip"}])
        name = body["dns_ptr"] or f"lb-{balancer['id']}.your-server.de"
        return self._balancer_action(
            "change_dns_ptr", balancer, lambda: balancer["public_net"][own].update(dns_ptr=name)
        )


def _same(target: Record, body: Record) -> bool:
    return target["type"] == body["type"] and target.get(body["type"]) == body.get(body["type"])


def _service(body: Record) -> Record:
    """A service with what was left out."""
    port = {"http": 80, "https": 443}.get(body["protocol"], 0)
    made: dict[str, Any] = {"listen_port": port, "destination_port": 80, "proxyprotocol": False, **body}
    if body["protocol"] in {"http", "https"}:
        default = {
            "cookie_name": "HCLBSTICKY", "cookie_lifetime": 300, "certificates": [], "redirect_http": False,
            "sticky_sessions": False,
        }  # fmt: skip
        made["http"] = {**default, **body.get("http", {})}
    else:
        made.pop("http", None)
    default = {"protocol": "tcp", "port": made["destination_port"], "interval": 15, "timeout": 10, "retries": 3}
    check = {**default, **body.get("health_check", {})}
    if check["protocol"] == "http":
        default = {"domain": "", "path": "/", "response": "", "status_codes": ["2??", "3??"], "tls": False}
        check["http"] = {**default, **check.get("http", {})}
    else:
        check.pop("http", None)
    return {**made, "health_check": check}
