"""What the emulated Hetzner offers: places, types, images and prices. The numbers are of a plausible size."""

from __future__ import annotations

from typing import Any

__all__ = ["CREATED", "catalogue", "pricing"]

CREATED = "2026-01-15T08:00:00Z"
_VAT = 0.19
_PLACES = (
    ("fsn1", "Falkenstein", "DE", "eu-central", 50.47612, 12.370071),
    ("nbg1", "Nuremberg", "DE", "eu-central", 49.452102, 11.076665),
    ("hel1", "Helsinki", "FI", "eu-central", 60.169855, 24.938379),
    ("ash", "Ashburn, VA", "US", "us-east", 39.045821, -77.487073),
)
_TYPES = (  # name, cores, memory, disk, architecture, kind of processor, price a month, whether it is going away
    ("cx23", 2, 4, 40, "x86", "shared", 3.49, False),
    ("cx33", 4, 8, 80, "x86", "shared", 5.49, False),
    ("cpx22", 2, 4, 80, "x86", "shared", 6.49, False),
    ("cax11", 2, 4, 40, "arm", "shared", 3.79, False),
    ("ccx13", 2, 8, 80, "x86", "dedicated", 12.49, False),
    ("cx22", 2, 4, 40, "x86", "shared", 3.79, True),
)
_IMAGES = (  # name, flavour, version, whether it is going away
    ("debian-13", "debian", "13", False),
    ("debian-12", "debian", "12", False),
    ("debian-11", "debian", "11", True),
    ("ubuntu-24.04", "ubuntu", "24.04", False),
    ("ubuntu-22.04", "ubuntu", "22.04", False),
)
_BALANCERS = (("lb11", 10_000, 5, 25, 10, 5.39), ("lb21", 20_000, 15, 75, 25, 16.4))
_GOING = {"announced": "2026-06-01T00:00:00Z", "unavailable_after": "2027-06-01T00:00:00Z"}
_TERABYTE = 1024**4


def _price(net: float) -> dict[str, str]:
    return {"net": f"{net:.10f}", "gross": f"{net * (1 + _VAT):.10f}"}


def _prices(month: float) -> list[dict[str, Any]]:
    """At each place; dearer outside Europe, with less traffic."""
    return [
        {
            "location": name,
            "price_hourly": _price(round(month * factor / 625, 4)),
            "price_monthly": _price(month * factor),
            "included_traffic": (20 if zone == "eu-central" else 1) * _TERABYTE,
            "price_per_tb_traffic": _price(1.0),
        }
        for name, _, _, zone, *_ in _PLACES
        for factor in [1.0 if zone == "eu-central" else 1.2]
    ]


def _without_traffic(month: float) -> list[dict[str, Any]]:
    kept = ("location", "price_hourly", "price_monthly")
    return [{name: each[name] for name in kept} for each in _prices(month)]


def _locations() -> list[dict[str, Any]]:
    return [
        {
            "id": number, "name": name, "description": f"{city} DC Park 1", "city": city, "country": country,
            "latitude": latitude, "longitude": longitude, "network_zone": zone,
        }
        for number, (name, city, country, zone, latitude, longitude) in enumerate(_PLACES, 1)
    ]  # fmt: skip


def _server_types() -> list[dict[str, Any]]:
    return [
        {
            "id": 100 + number, "name": name, "description": name.upper(), "cores": cores, "memory": memory,
            "disk": disk, "architecture": architecture, "cpu_type": processor, "storage_type": "local",
            "category": "Dedicated" if processor == "dedicated" else "Shared", "prices": _prices(price),
            "deprecated": going, "deprecation": _GOING if going else None,
            "locations": [
                {
                    "id": place, "name": where[0], "deprecation": _GOING if going else None, "available": True,
                    "recommended": not going,
                }
                for place, where in enumerate(_PLACES, 1)
            ],
        }
        for number, (name, cores, memory, disk, architecture, processor, price, going) in enumerate(_TYPES)
    ]  # fmt: skip


def _images() -> list[dict[str, Any]]:
    return [
        {
            "id": 1000 + 100 * (architecture == "arm") + number, "type": "system", "status": "available", "name": name,
            "description": f"{flavour.title()} {version}", "image_size": None, "disk_size": 5, "created": CREATED,
            "created_from": None, "bound_to": None, "os_flavor": flavour, "os_version": version,
            "rapid_deploy": False, "protection": {"delete": False}, "deleted": None, "labels": {},
            "deprecated": _GOING["announced"] if going else None, "architecture": architecture,
        }
        for architecture in ("x86", "arm")
        for number, (name, flavour, version, going) in enumerate(_IMAGES)
    ]  # fmt: skip


def _load_balancer_types() -> list[dict[str, Any]]:
    return [
        {
            "id": number, "name": name, "description": name.upper(), "max_connections": connections,
            "max_services": services, "max_targets": targets, "max_assigned_certificates": certificates,
            "deprecated": None, "prices": _prices(price),
        }
        for number, (name, connections, services, targets, certificates, price) in enumerate(_BALANCERS, 1)
    ]  # fmt: skip


def catalogue() -> dict[str, dict[int, dict[str, Any]]]:
    """Kind → id → entry, as the API gives them."""
    types = [each["id"] for each in _server_types()]
    datacenters = [
        {
            "id": place["id"], "name": f"{place['name']}-dc1", "description": f"{place['city']} 1 virtual DC 1",
            "location": place,
            "server_types": {"supported": types, "available": types, "available_for_migration": types},
        }
        for place in _locations()
    ]  # fmt: skip
    kinds: dict[str, list[dict[str, Any]]] = {
        "locations": _locations(),
        "datacenters": datacenters,
        "server_types": _server_types(),
        "images": _images(),
        "load_balancer_types": _load_balancer_types(),
    }
    return {kind: {each["id"]: each for each in entries} for kind, entries in kinds.items()}


def pricing() -> dict[str, Any]:
    def of(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{name: each[name] for name in ("id", "name", "prices")} for each in entries]

    addresses = {"ipv4": 0.5, "ipv6": 0.0}
    months = {
        kind: [{name: each[name] for name in ("location", "price_monthly")} for each in _prices(price)]
        for kind, price in {"ipv4": 3.0, "ipv6": 1.0}.items()
    }
    return {
        "currency": "EUR",
        "vat_rate": f"{100 * _VAT:.10f}",
        "image": {"price_per_gb_month": _price(0.0119)},
        "floating_ip": {"price_monthly": _price(3.0)},
        "floating_ips": [{"type": kind, "prices": prices} for kind, prices in months.items()],
        "primary_ips": [{"type": kind, "prices": _without_traffic(price)} for kind, price in addresses.items()],
        "server_backup": {"percentage": f"{20:.10f}"},
        "server_types": of(_server_types()),
        "load_balancer_types": of(_load_balancer_types()),
        "volume": {"price_per_gb_month": _price(0.044)},
    }
