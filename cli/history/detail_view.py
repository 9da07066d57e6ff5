"""What `slipway show` prints for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from cli.history.view import took
from cli.wording import ago, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import RenderableType

__all__ = ["rendered"]

_SHORT = 12
_BACK = {
    "live": "it is live",
    "warm": "slipway rollback, at once: every host has all of it",
    "cold": "slipway rollback: its images are pulled again",
}


def rendered(document: Mapping[str, Any]) -> RenderableType:
    """`document` as something rich can print."""
    entry = document["entry"]
    number = f"update {entry['number']}" if entry["number"] else "without an update"
    good = entry["result"] == "succeeded"
    title = Text.assemble(
        (f"{entry['kind']} ", "bold"), f"on stack {document['stack']}, {number}: ",
        (entry["result"], "bold green" if good else "bold red"),
    )  # fmt: skip
    blocks: list[RenderableType] = [title, _facts(entry)]
    if entry["images"]:
        blocks += ["", Text("images", "bold"), _images(entry["images"])]
    if document["resources"]:
        blocks += ["", Text("resources", "bold"), _resources(document["resources"])]
    for host, told in sorted(entry["hosts"].items()):
        blocks += ["", *_host(host, told, document["reports"].get(host) or {})]
    return Group(*blocks)


def _facts(entry: Mapping[str, Any]) -> RenderableType:
    table = _plain_table()
    now = datetime.now(UTC)
    at = entry["at"].replace("T", " ").replace("Z", " UTC")
    source = f"{entry['commit'][:_SHORT]} on {entry['branch'] or 'no branch'}" if entry["commit"] else ""
    back = entry["back"]
    facts = {
        "release": entry["release"],
        "commit": source,
        "when": f"{at} ({ago(entry['at'], now)}), took {took(entry['seconds'])}",
        "by": entry["actor"],
        "run": entry["run"],
        "message": entry["message"],
        "reason": entry["reason"],
        "went back to": entry["returned"],
        "validated": "yes" if entry["validated"] else "",
        "way back": _BACK.get(back["kind"]) or f"no: {back['reason']}",
    }
    for name, value in facts.items():
        if value:
            table.add_row(Text(name, "dim"), plain(str(value)))
    return _indented(table)


def _images(images: Mapping[str, str]) -> RenderableType:
    table = _plain_table()
    for service, image in sorted(images.items()):
        name, _, digest = image.partition("@")
        table.add_row(plain(service), plain(name), digest.removeprefix("sha256:")[:_SHORT])
    return _indented(table)


def _resources(resources: list[Mapping[str, str]]) -> RenderableType:
    table = _plain_table()
    for each in resources:
        table.add_row(each["what"], plain(each["name"]), Text(each["type"], "dim"))
    return _indented(table)


def _host(name: str, told: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[RenderableType]:
    outcome = told["outcome"] or "not known"
    yield Text.assemble((f"host {name}", "bold"), ": ", (outcome, "red" if outcome == "failed" else "green"),
                        f" in {took(told['seconds'])}")  # fmt: skip
    table = _plain_table()
    if told["reason"]:
        table.add_row(Text("reason", "dim"), plain(told["reason"]))
    if told["previous"]:
        table.add_row(Text("before", "dim"), told["previous"])
    if told["touched"]:
        table.add_row(Text("touched", "dim"), plain(", ".join(told["touched"])))
    if phases := report.get("phases"):
        parts = [f"{phase} {took(seconds)}" for phase, seconds in phases.items() if seconds >= 0.05]  # noqa: PLR2004
        table.add_row(Text("phases", "dim"), plain(", ".join(parts)))
    for warning in report.get("warnings") or ():
        table.add_row(Text("warning", "yellow"), plain(warning))
    if removed := report.get("removed"):
        table.add_row(Text("pruned", "dim"), plain(", ".join(removed)))
    yield _indented(table)


def _plain_table() -> Table:
    return Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))


def _indented(table: Table) -> RenderableType:
    return Padding(table, (0, 0, 0, 2), expand=False)
