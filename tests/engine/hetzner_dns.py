"""Zones with their records, and certificates, of the emulated Hetzner Cloud. Nothing is resolved or issued for real."""

from __future__ import annotations

import datetime as dt
import ipaddress
import re
from typing import TYPE_CHECKING, Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from flask import request
from hetzner_actions import now
from hetzner_balancers import Balancers
from hetzner_core import HetznerError, Record, route
from hetzner_lists import page

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Zones"]

_SERVERS = ["hydrogen.ns.hetzner.com.", "oxygen.ns.hetzner.com.", "helium.ns.hetzner.de."]
_RRSET = "/zones/{id_or_name}/rrsets/{rr_name}/{rr_type}"
_CERTIFICATE_DAYS = 90


class Zones(Balancers):
    """The names of what is served."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._sets: dict[int, dict[str, Record]] = {}

    # --- zones

    @route("POST /zones")
    def _new_zone(self, body: Record) -> Record:
        if not re.fullmatch(r"([a-z0-9_]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}", body["name"]):
            raise HetznerError("invalid_input", "name is no domain", fields=[{"name": "name"}])
        zone = self.new(
            "zones", body, mode=body["mode"], ttl=body.get("ttl", 3600), status="ok", registrar="unknown",
            primary_nameservers=body.get("primary_nameservers", []), protection={"delete": False}, record_count=0,
            authoritative_nameservers={
                "assigned": _SERVERS, "delegated": [], "delegation_last_check": now(), "delegation_status": "unknown",
            },
        )  # fmt: skip
        self._sets[zone["id"]] = {}
        if body["mode"] == "primary":
            start = f"{_SERVERS[0]} dns.hetzner.com. 2026010100 86400 10800 3600000 3600"
            self._put(zone, {"name": "@", "type": "SOA", "records": [{"value": start}]})
            self._put(zone, {"name": "@", "type": "NS", "records": [{"value": each} for each in _SERVERS]})
        for each in body.get("rrsets", ()):
            self._put(zone, each)
        return {"zone": self.view("zones", zone), "action": self._zone_action("create_zone", zone)["action"]}

    def show_zones(self, record: Record) -> Record:
        return {**record, "record_count": sum(len(each["records"]) for each in self._sets[record["id"]].values())}

    def rrsets(self, zone: str) -> dict[str, list[str]]:
        """Its records: `name/type` → values; those that a zone begins with are left out."""
        with self.lock:
            self._settle()
            found = self._sets[self.get("zones", zone)["id"]]
            chosen = {key: each for key, each in found.items() if key not in {"@/SOA", "@/NS"}}
            return {key: [record["value"] for record in each["records"]] for key, each in chosen.items()}

    def _zone_action(self, command: str, zone: Record, then: Callable[[], Any] = lambda: None) -> Record:
        return {"action": self.action(command, ("zone", zone["id"]), then=then)}

    @route("DELETE /zones/{id_or_name}")
    def _no_zone(self, zone: Record, _: Record) -> Record:
        self.protected(zone)
        return self._zone_action("delete_zone", zone, lambda: self.records["zones"].pop(zone["id"]))

    @route("POST /zones/{id_or_name}/actions/change_ttl", "POST /zones/{id_or_name}/actions/change_primary_nameservers")
    def _changed_zone(self, zone: Record, body: Record) -> Record:
        return self._zone_action(request.path.rpartition("/")[2], zone, lambda: zone.update(body))

    # --- records

    def _put(self, zone: Record, body: Record) -> Record:
        key = f"{body['name']}/{body['type']}"
        if key in self._sets[zone["id"]]:
            raise HetznerError("uniqueness_error", "RRSet already exists", fields=[{"name": "name"}])
        self._check(zone, body["name"], body["type"], body["records"])
        rrset = {
            "id": key, "name": body["name"], "type": body["type"], "ttl": body.get("ttl"),
            "labels": body.get("labels", {}), "protection": {"change": False},
            "records": [_record(each) for each in body["records"]], "zone": zone["id"],
        }  # fmt: skip
        self._sets[zone["id"]][key] = rrset
        return rrset

    def _check(self, zone: Record, name: str, kind: str, records: list[Record]) -> None:
        if not re.fullmatch(r"@|\*|(\*\.)?[a-z0-9_]([a-z0-9_.-]*[a-z0-9_])?", name):
            raise HetznerError("invalid_input", "name is no relative name in lower case", fields=[{"name": "name"}])
        others = {each["type"] for each in self._sets[zone["id"]].values() if each["name"] == name} - {kind}
        if (kind == "CNAME" and others) or "CNAME" in others:
            raise HetznerError("invalid_input", "a CNAME stands alone", fields=[{"name": "type"}])
        values = [each["value"] for each in records]
        if not values or len({*values}) < len(values):
            raise HetznerError("invalid_input", "records are missing or twice there", fields=[{"name": "records"}])
        for value in values:
            try:
                _fits(kind, value)
            except ValueError as error:
                raise HetznerError(
                    "invalid_input", f"invalid {kind} record: {error}", fields=[{"name": "records"}]
                ) from error

    def _rrset(self, zone: Record, parts: Record) -> Record:
        key = f"{parts['rr_name']}/{parts['rr_type']}"
        if key not in self._sets[zone["id"]]:
            raise HetznerError("not_found", f"RRSet '{key}' not found")
        return self._sets[zone["id"]][key]

    @route("GET /zones/{id_or_name}/rrsets")
    def _sets_of(self, zone: Record, _: Record) -> Record:
        return page("rrsets", self._sets[zone["id"]].values())

    @route("POST /zones/{id_or_name}/rrsets")
    def _new_set(self, zone: Record, body: Record) -> Record:
        return {"rrset": self._put(zone, body), **self._zone_action("create_rrset", zone)}

    @route(f"GET {_RRSET}")
    def _one_set(self, zone: Record, _: Record, **parts: str) -> Record:
        return {"rrset": self._rrset(zone, parts)}

    @route(f"PUT {_RRSET}")
    def _labelled_set(self, zone: Record, body: Record, **parts: str) -> Record:
        rrset = self._rrset(zone, parts)
        rrset.update(body)
        return {"rrset": rrset}

    @route(f"DELETE {_RRSET}")
    def _no_set(self, zone: Record, _: Record, **parts: str) -> Record:
        rrset = self._rrset(zone, parts)
        self.protected(rrset, "change")
        return self._zone_action("delete_rrset", zone, lambda: self._sets[zone["id"]].pop(rrset["id"]))

    @route(*(f"POST {_RRSET}/actions/{each}_records" for each in ("add", "remove", "set", "update")))
    def _changed_records(self, zone: Record, body: Record, **parts: str) -> Record:
        command = request.path.rpartition("/")[2]
        if command == "add_records" and f"{parts['rr_name']}/{parts['rr_type']}" not in self._sets[zone["id"]]:
            self._put(zone, {"name": parts["rr_name"], "type": parts["rr_type"], **body})
            return self._zone_action("add_rrset_records", zone)
        rrset = self._rrset(zone, parts)
        self.protected(rrset, "change")
        now_there = {each["value"]: each for each in rrset["records"]}
        given = {each["value"]: _record(each) for each in body["records"]}
        match command:
            case "set_records":
                left = given
            case "add_records":
                if now_there.keys() & given.keys():
                    raise HetznerError("uniqueness_error", "record already exists")
                left = {**now_there, **given}
            case "update_records":
                self._known(now_there, given)
                left = {**now_there, **given}
            case _:
                self._known(now_there, given)
                left = {value: each for value, each in now_there.items() if value not in given}
        if left:
            self._check(zone, rrset["name"], rrset["type"], list(left.values()))
        change = {"records": list(left.values()), **({"ttl": body["ttl"]} if "ttl" in body else {})}

        def then() -> None:
            rrset.update(change)
            if not left:
                del self._sets[zone["id"]][rrset["id"]]

        return self._zone_action(command.replace("_records", "_rrset_records"), zone, then)

    @staticmethod
    def _known(there: dict[str, Record], given: dict[str, Record]) -> None:
        if missing := given.keys() - there.keys():
            raise HetznerError("not_found", f"record {', '.join(sorted(missing))} not found")

    @route(f"POST {_RRSET}/actions/change_ttl")
    def _other_ttl(self, zone: Record, body: Record, **parts: str) -> Record:
        rrset = self._rrset(zone, parts)
        self.protected(rrset, "change")
        return self._zone_action("change_rrset_ttl", zone, lambda: rrset.update(body))

    @route(f"POST {_RRSET}/actions/change_protection")
    def _shielded_set(self, zone: Record, body: Record, **parts: str) -> Record:
        rrset = self._rrset(zone, parts)
        return self._zone_action("change_rrset_protection", zone, lambda: rrset.update(protection=body))

    # --- certificates

    @route("POST /certificates")
    def _new_certificate(self, body: Record) -> Record:
        if body.get("type", "uploaded") == "managed":
            return self._managed(body)
        try:
            found = x509.load_pem_x509_certificate(body["certificate"].encode())
            key = serialization.load_pem_private_key(body["private_key"].encode(), None)
        except (KeyError, ValueError) as error:
            raise HetznerError("invalid_input", f"no certificate with its key: {error}") from error
        if found.public_key() != key.public_key():
            raise HetznerError(
                "invalid_input", "the private key is not the certificate's", fields=[{"name": "private_key"}]
            )
        given = {"type": "uploaded", "status": None, "certificate": body["certificate"], **_facts(found)}
        return {"certificate": self.view("certificates", self.new("certificates", body, **given)), "action": None}

    def _managed(self, body: Record) -> Record:
        if not body.get("domain_names"):
            raise HetznerError("invalid_input", "domain_names are missing", fields=[{"name": "domain_names"}])
        pending = {"issuance": "pending", "renewal": "unavailable", "error": None}
        unknown = dict.fromkeys(("certificate", "fingerprint", "not_valid_before", "not_valid_after"))
        names = body["domain_names"]
        certificate = self.new("certificates", body, type="managed", status=pending, domain_names=names, **unknown)

        def issue() -> None:
            made = _issued(names)
            text = made.public_bytes(serialization.Encoding.PEM).decode()
            done = {"issuance": "completed", "renewal": "scheduled", "error": None}
            certificate.update(_facts(made), certificate=text, status=done)

        begun = self.action("create_certificate", ("certificate", certificate["id"]), then=issue)
        return {"certificate": self.view("certificates", certificate), "action": begun}

    def show_certificates(self, record: Record) -> Record:
        balancers = self.records["load_balancers"].values()
        used = [
            {"type": "load_balancer", "id": each["id"]}
            for each in balancers
            if any(record["id"] in service.get("http", {}).get("certificates", ()) for service in each["services"])
        ]
        return {**record, "used_by": used}

    @route("DELETE /certificates/{id}")
    def _no_certificate(self, certificate: Record, _: Record) -> None:
        if self.show_certificates(certificate)["used_by"]:
            raise HetznerError("resource_in_use", "certificate is still in use")
        del self.records["certificates"][certificate["id"]]


def _record(body: Record) -> Record:
    return {"value": body["value"], "comment": body.get("comment") or ""}


def _fits(kind: str, value: str) -> None:
    """Refuse a value that cannot be one of that kind.

    Raises:
        ValueError: it cannot.
    """
    match kind:
        case "A":
            ipaddress.IPv4Address(value)
        case "AAAA":
            if str(ipaddress.IPv6Address(value)) != value:
                raise ValueError("not in its shortest form")
        case "TXT":
            if not re.fullmatch(r'"(?:[^"\\]|\\.){0,255}"(?: "(?:[^"\\]|\\.){0,255}")*', value):
                raise ValueError("not in quotes")
        case "MX":
            if not re.fullmatch(r"\d+ \S+", value):
                raise ValueError("no priority with a name")


def _facts(found: x509.Certificate) -> Record:
    print_ = found.fingerprint(hashes.SHA1()).hex()  # noqa: S303  # as Hetzner shows it
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(
            x509.DNSName
        )
    except x509.ExtensionNotFound:
        names = []
    return {
        "domain_names": list(names), "fingerprint": ":".join(print_[at : at + 2] for at in range(0, len(print_), 2)),
        "not_valid_before": found.not_valid_before_utc.isoformat(),
        "not_valid_after": found.not_valid_after_utc.isoformat(),
    }  # fmt: skip


def _issued(names: list[str]) -> x509.Certificate:
    key, begin = ec.generate_private_key(ec.SECP256R1()), dt.datetime.now(dt.UTC).replace(tzinfo=None)
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    alternatives = x509.SubjectAlternativeName([x509.DNSName(each) for each in names])
    builder = x509.CertificateBuilder(who, who, key.public_key(), x509.random_serial_number(), begin)
    builder = builder.not_valid_after(begin + dt.timedelta(days=_CERTIFICATE_DAYS)).add_extension(
        alternatives, critical=False
    )
    return builder.sign(key, hashes.SHA256())
