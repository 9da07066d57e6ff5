"""What `slipway cost` shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from slipway.contract.redaction import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

    from slipway.hosts.hetzner.prices import Cost

__all__ = ["cost_document", "rendered"]


def cost_document(stack: str, cost: Cost) -> dict[str, Any]:
    """As cost.schema.json has it."""
    items = [{**each._asdict(), "monthly": f"{each.monthly:.4f}"} for each in cost.items]
    return {
        "contract": 1,
        "stack": stack,
        "currency": cost.currency,
        "vat": f"{cost.vat:.2f}",
        "items": items,
        "monthly": f"{cost.monthly:.2f}",
        "complete": not cost.unknown,
    }


def rendered(document: Mapping[str, Any]) -> RenderableType:
    """For a terminal."""
    if not document["items"]:
        return Text(f"{document['stack']} has no machines at Hetzner")
    table = Table(box=None, pad_edge=False, show_footer=True)
    table.add_column("host", "sum", overflow="fold")
    table.add_column("what", f"without VAT of {float(document['vat']):g} %", overflow="fold")
    amount = f"{document['currency']} a month"
    table.add_column(amount, document["monthly"], justify="right", no_wrap=True)
    for each in document["items"]:
        what = printable(f"{each['kind']}, {each['what']}")
        table.add_row(printable(each["host"]), what, f"{float(each['monthly']):.2f}")
    return table
