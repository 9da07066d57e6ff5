"""What `slipway show` prints for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from slipway.cli.history.history_view import took
from slipway.releases.format import ago, plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from rich.console import RenderableType

__all__ = ["rendered"]

_SHORT = 12
_SHOWN_SECONDS = 0.05  # what took less is not worth a word
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
        names = {service: image.partition("@") for service, image in sorted(entry["images"].items())}
        rows = [(plain(service), plain(name), _digest(digest)) for service, (name, _, digest) in names.items()]
        blocks += ["", Text("images", "bold"), _table(rows)]
    if document["resources"]:
        changes = [(each["what"], plain(each["name"]), Text(each["type"], "dim")) for each in document["resources"]]
        blocks += ["", Text("resources", "bold"), _table(changes)]
    for host, outcome in sorted(entry["hosts"].items()):
        blocks += ["", *_host(host, outcome, document["reports"].get(host) or {})]
    return Group(*blocks)


def _facts(entry: Mapping[str, Any]) -> RenderableType:
    at = entry["at"].replace("T", " ").replace("Z", " UTC")
    back = entry["back"]
    facts = {
        "release": entry["release"],
        "commit": f"{entry['commit'][:_SHORT]} on {entry['branch'] or 'no branch'}" if entry["commit"] else "",
        "when": f"{at} ({ago(entry['at'], datetime.now(UTC))}), took {took(entry['seconds'])}",
        "by": entry["actor"],
        "run": entry["run"],
        "message": entry["message"],
        "reason": entry["reason"],
        "went back to": entry["returned"],
        "validated": "yes" if entry["validated"] else "",
        "way back": _BACK.get(back["kind"]) or f"no: {back['reason']}",
    }
    return _table([(Text(name, "dim"), plain(str(value))) for name, value in facts.items() if value])


def _host(name: str, told: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[RenderableType]:
    outcome = told["outcome"] or "not known"
    yield Text.assemble((f"host {name}", "bold"), ": ", (outcome, "red" if outcome == "failed" else "green"),
                        f" in {took(told['seconds'])}")  # fmt: skip
    phases = (report.get("phases") or {}).items()
    facts = [
        ("reason", told["reason"]),
        ("before", told["previous"]),
        ("touched", ", ".join(told["touched"])),
        ("phases", ", ".join(f"{phase} {took(seconds)}" for phase, seconds in phases if seconds >= _SHOWN_SECONDS)),
        *(("warning", warning) for warning in report.get("warnings") or ()),
        ("pruned", ", ".join(report.get("removed") or ())),
    ]
    styles = {"warning": "yellow"}
    yield _table([(Text(what, styles.get(what, "dim")), plain(text)) for what, text in facts if text])


def _digest(digest: str) -> str:
    return digest.removeprefix("sha256:")[:_SHORT]


def _table(rows: Iterable[Sequence[str | Text]]) -> RenderableType:
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    for row in rows:
        table.add_row(*row)
    return Padding(table, (0, 0, 0, 2), expand=False)
