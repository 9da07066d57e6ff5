"""What `slipway health` prints for people: a block per stack, a line per address."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from slipway.cli.style import rows
from slipway.contract.redaction import printable
from slipway.releases.format import ago, counted, latency

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["rendered"]

_STYLES = {"up": "green", "recovered": "green", "expiring": "yellow", "down": "red"}


def rendered(document: Mapping[str, Any], *, quiet: bool) -> RenderableType | None:
    """`document` as something rich can print; with `quiet` only what is down or changed, None without any."""
    now = datetime.fromisoformat(document["checked"])
    blocks: list[RenderableType] = []
    for stack in document["stacks"]:
        shown = [each for each in stack["probes"] if not quiet or each["state"] == "down" or each["change"]]
        if shown or stack["errors"] or not quiet:
            blocks.append(_title(stack))
        if shown:
            blocks.append(rows([_word(each), each["url"], _details(each, now)] for each in shown))
    return Group(*blocks) if blocks else None


def _title(stack: Mapping[str, Any]) -> Text:
    words, style = ("up", "bold green") if stack["up"] else ("down", "bold red")
    if stack["errors"]:
        words = "not known"
    elif not stack["probes"]:
        words, style = "nothing to probe", "dim"
    of = f"{stack['application']} on stack {stack['stack']}" if stack["application"] else f"stack {stack['stack']}"
    return Text.assemble((printable(of), "bold"), ": ", (words, style))


def _word(probe: Mapping[str, Any]) -> Text:
    word = "recovered" if probe["change"] == "recovered" else probe["state"]
    return Text(word, _STYLES[word])


def _details(probe: Mapping[str, Any], now: datetime) -> str:
    if probe["state"] == "down":
        since = "" if probe["change"] else f" (noticed {ago(probe['since'], now)})"
        return f"{probe['reason'].strip()}{since}"
    said = [f"{probe['status']} in {latency(probe['seconds'])}"]
    if probe["days_left"] is not None:
        said.append(f"certificate {counted(probe['days_left'], 'day')} left")
    if probe["behind_login"]:
        said.append("behind a password, not probed further")
    return ", ".join(said)
