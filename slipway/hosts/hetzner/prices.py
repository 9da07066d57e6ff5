"""What the machines of a stack cost a month, from Hetzner's own prices."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.contract.problems import Problem
from slipway.settings.blocks.hetzner import HetznerSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["COST", "Cost", "CostItem", "cost_of", "difference", "earlier"]

COST = "servers at Hetzner: "
"""How the line begins that a preview says of what they cost."""


class CostItem(NamedTuple):
    """One thing that is paid for."""

    host: str
    kind: str
    """`server`, `backups`, `volume` or `address`."""
    what: str
    monthly: Decimal
    """Net."""


class Cost(NamedTuple):
    """All of it."""

    currency: str
    vat: Decimal
    """Per cent."""
    items: list[CostItem]
    unknown: list[Problem]
    """What has no price."""

    @property
    def monthly(self) -> Decimal:
        """The sum, net."""
        return sum((each.monthly for each in self.items), Decimal())


def cost_of(hetzner: HetznerSettings, pricing: Mapping[str, Any]) -> Cost:
    """What the machines cost; `pricing` is what Hetzner answers at /pricing."""
    found, unknown = list[CostItem](), list[Problem]()
    for host, server in hetzner.machines.items():
        price = _of(pricing.get("server_types") or (), server.type, "name", server.location)
        if price is None:
            what = f"{host}: Hetzner has no price for a {server.type} in {server.location}"
            unknown.append(Problem(what, "the sum is without it", "slipway preview"))
            continue
        found.append(CostItem(host, "server", f"{server.type} in {server.location}", price))
        if server.backups:
            share = Decimal(str((pricing.get("server_backup") or {}).get("percentage", "20")))
            found.append(CostItem(host, "backups", f"{share.normalize():f} % of the server", price * share / 100))
        if server.volume:
            of_gb = Decimal(str(pricing["volume"]["price_per_gb_month"]["net"]))
            found.append(CostItem(host, "volume", f"{server.volume.size} GB", of_gb * server.volume.size))
        address = _of(pricing.get("primary_ips") or (), "ipv4", "type", server.location)
        found.append(CostItem(host, "address", "IPv4", address or Decimal()))
    return Cost(str(pricing["currency"]), Decimal(str(pricing.get("vat_rate", 0))), found, unknown)


def _of(kinds: Any, name: str, key: str, location: str) -> Decimal | None:  # noqa: ANN401  # of an answer
    prices: Iterator[Any] = (price for kind in kinds if kind[key] == name for price in kind["prices"])
    return next((Decimal(price["price_monthly"]["net"]) for price in prices if price["location"] == location), None)


def earlier(stated: str) -> HetznerSettings:
    """The machines that the last update made (see `machines.stated`)."""
    known = json.loads(stated or "{}")
    return HetznerSettings.model_validate({key: value for key, value in known.items() if key not in ("key", "ports")})


def difference(before: Cost, after: Cost) -> str:
    """What changes, in one line; empty where nothing does."""
    changed = after.monthly - before.monthly
    if not changed:
        return ""
    return f"{COST}{before.monthly:.2f} → {after.monthly:.2f} {after.currency} a month net ({changed:+.2f})"
