"""What `slipway history` prints for people: one line an event, the newest first."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from slipway.releases.format import ago, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import RenderableType

__all__ = ["noted", "rendered", "took"]

_SHORT = 8  # hex digits of a commit that people compare
_RESULTS = {"succeeded": "green", "failed": "red", "interrupted": "red", "in progress": "cyan"}
_MINUTE = 60


def rendered(document: Mapping[str, Any], *, more: int = 0) -> RenderableType:
    """`document` as something rich can print; `more` older entries are not in it."""
    title = Text.assemble("stack ", (document["stack"], "bold"))
    title.append(f": {document['live']} is live" if document["live"] else ": nothing is live")
    if document["validated"]:
        title.append(f", {document['validated']} is validated")
    blocks: list[RenderableType] = [title]
    missing = (f"  {plain(each['what'])}: its own record is missing below" for each in document["errors"])
    blocks += [Text(text, "yellow") for text in missing]
    none = Text("  no update yet: pulumi up makes the first", "dim")
    blocks += ["", _table(document)] if document["entries"] else [none]
    if more:
        blocks.append(Text(f"{more} older: slipway history --all", "dim"))
    return Group(*blocks)


def _table(document: Mapping[str, Any]) -> RenderableType:
    table = Table(box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("#", "when", "kind", "release", "commit"):
        table.add_column(name, no_wrap=True, justify="right" if name == "#" else "left")
    table.add_column("took", no_wrap=True, justify="right")
    table.add_column("by", overflow="ellipsis", no_wrap=True, max_width=24)
    table.add_column("result", no_wrap=True)
    table.add_column("", overflow="ellipsis", no_wrap=True)
    now = datetime.now(UTC)
    for entry in document["entries"]:
        table.add_row(
            str(entry["number"] or ""),
            ago(entry["at"], now),
            Text(plain(entry["kind"]), "yellow" if entry["kind"] == "automatic rollback" else ""),
            Text(entry["release"] or "-", "bold" if entry["release"] == document["live"] else ""),
            _commit(entry),
            took(entry["seconds"]),
            plain(entry["actor"]) or "-",
            Text(entry["result"], _RESULTS.get(entry["result"], "")),
            plain(noted(entry)),
        )
    return Padding(table, 0, expand=False)


def _commit(entry: Mapping[str, Any]) -> str:
    commit, dirty = entry["commit"][:_SHORT], "+" if entry["commit"].endswith("-dirty") else ""
    return f"{commit}{dirty}" if commit else "-"


def took(seconds: float | None) -> str:
    """How long something took: `3 s`, `2:05 min`."""
    if seconds is None:
        return "-"
    if seconds < _MINUTE:
        return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"
    return f"{int(seconds // 60)}:{int(seconds % 60):02d} min"


def noted(entry: Mapping[str, Any]) -> str:
    """What is to be said of an entry in a few words: is it live, validated, a way back, why did it fail."""
    words = []
    if entry["validated"]:
        words.append("validated")
    back = entry["back"]
    if entry["result"] == "succeeded" and entry["release"]:
        said = {"no": f"no way back: {back['reason']}", "cold": ""}.get(back["kind"], back["kind"])
        words += [said] if said else []
    words += [f"went back to {entry['returned']}"] if entry["returned"] else []
    words += [entry["reason"]] if entry["reason"] else []
    if entry["message"] and not entry["reason"]:
        # what Slipway says by itself is in the other columns; what a person added stands after it
        own = entry["kind"] in ("rollback", "promotion")
        said = entry["message"].partition(": ")[2] if own else entry["message"]
        words += said.splitlines()[:1]
    return "; ".join(words)
