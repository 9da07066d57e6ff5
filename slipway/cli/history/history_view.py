"""What `slipway history`, `slipway show` and `slipway diff` print for people."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from slipway.cli.fitting_table import FittingTable
from slipway.cli.style import digest, moment, rows, source
from slipway.contract.outcomes import UNCHANGED
from slipway.contract.redaction import printable
from slipway.releases.format import ago

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["diff_rendered", "history_rendered", "update_rendered"]

_SHORT = 8  # hex digits of a commit, in a table
_RESULTS = {"succeeded": "green", "failed": "red", "interrupted": "red", "in progress": "cyan"}
_BACK = {
    "live": "it is live",
    "warm": "at once: every host has all of it",
    "cold": "yes: its images are pulled again",
}
_DIFFERENCES = {"+": "green", "-": "red"}
_MINUTE = 60
_SHOWN_SECONDS = 0.05  # what took less is not worth a word


def history_rendered(document: Mapping[str, Any], *, more: int = 0) -> RenderableType:
    """`document` as something rich can print, the newest first; `more` older entries are not in it."""
    title = Text.assemble("stack ", (printable(document["stack"]), "bold"))
    title.append(f": {document['live']} is live" if document["live"] else ": nothing is live")
    if document["validated"]:
        title.append(f", {document['validated']} is validated")
    missing = [f"  {printable(each['what'])}: its own record is missing below" for each in document["errors"]]
    blocks: list[RenderableType] = [title, *(Text(text, "yellow") for text in missing)]
    none = Text("  no update yet: pulumi up makes the first", "dim")
    blocks += ["", _history_table(document)] if document["entries"] else [none]
    return Group(
        *blocks, *([Text(f"{more} older: slipway history --all --stack {document['stack']}", "dim")] if more else [])
    )


def _history_table(document: Mapping[str, Any]) -> FittingTable:
    columns, now = ("#", "when", "kind", "release", "commit", "took", "by", "result", ""), datetime.now(UTC)
    made = FittingTable(*columns, right=("#", "took"), prose=True)
    for entry in document["entries"]:
        made.add_row(
            str(entry["number"] or ""),
            ago(entry["at"], now),
            Text(printable(entry["kind"]), "yellow" if entry["kind"] == "automatic rollback" else ""),
            Text(printable(entry["release"] or "-"), "bold" if entry["release"] == document["live"] else ""),
            (entry["commit"][:_SHORT] + ("+" if entry["commit"].endswith("-dirty") else "")) or "-",
            _took(entry["seconds"]),
            printable(entry["actor"]) or "-",
            Text(entry["result"], _RESULTS.get(entry["result"], "")),
            printable(_remarks(entry, known=not document["errors"])),
        )
    return made


def _remarks(entry: Mapping[str, Any], *, known: bool) -> str:
    """In a few words: is it validated, live, a way back; why did it fail."""
    words = ["validated" if entry["validated"] else ""]
    if entry["result"] == "succeeded" and entry["release"]:
        back = entry["back"]
        words.append({"no": f"no way back: {back['reason']}", "cold": ""}.get(back["kind"], back["kind"]))
    words += [f"rolled back to {entry['returned']}" if entry["returned"] else "", entry["reason"]]
    if entry["result"] == "failed" and not entry["reason"]:  # the title of a commit would read as the reason
        words.append("no host finished or undid it: its own output says why" if known else "not known why")
    elif entry["message"] and not entry["reason"]:
        # what Slipway says by itself is in the other columns; what a person added stands after it
        own = entry["kind"] in ("rollback", "promotion")
        words += (entry["message"].partition(": ")[2] if own else entry["message"]).splitlines()[:1]
    return "; ".join(filter(None, words))


def update_rendered(document: Mapping[str, Any]) -> RenderableType:
    """The document of one update as something rich can print."""
    entry, now = document["entry"], datetime.now(UTC)
    number = f"update {entry['number']}" if entry["number"] else "without an update"
    result = (entry["result"], "bold green" if entry["result"] == "succeeded" else "bold red")
    title = Text.assemble((f"{entry['kind']} ", "bold"), printable(f"on stack {document['stack']}, {number}: "), result)
    facts = {
        "release": entry["release"],
        "commit": source(entry | {"branch": entry["branch"] or "no branch"}),
        "when": f"{moment(entry['at'])} ({ago(entry['at'], now)}), took {_took(entry['seconds'])}",
        "by": entry["actor"],
        "run": entry["run"],
        "message": entry["message"],
        "reason": entry["reason"],
        "rolled back to": entry["returned"],
        "validated": "yes" if entry["validated"] else "",
        "way back": _BACK.get(entry["back"]["kind"]) or f"no: {entry['back']['reason']}",
    }
    blocks = [title, rows((Text(name, "dim"), printable(str(value))) for name, value in facts.items() if value)]
    if entry["images"]:
        images = (
            (printable(name), printable(image.partition("@")[0]), digest(image))
            for name, image in entry["images"].items()
        )
        blocks += ["", Text("images", "bold"), rows(sorted(images))]
    if document["resources"]:
        changes = (
            (each["what"], printable(each["name"]), Text(printable(each["type"]), "dim"))
            for each in document["resources"]
        )
        blocks += ["", Text("resources", "bold"), rows(changes)]
    for host, outcome in sorted(entry["hosts"].items()):
        blocks += ["", *_host(host, outcome, document["reports"].get(host) or {})]
    return Group(*blocks)


def _host(name: str, entry: Mapping[str, Any], report: Mapping[str, Any]) -> Iterator[RenderableType]:
    outcome = entry["outcome"] or "not known"
    style = "red" if outcome == "failed" else "green"
    alone = outcome == UNCHANGED and entry["seconds"] is None
    took = ", as nothing was to do there" if alone else f" in {_took(entry['seconds'])}"
    yield Text.assemble((f"host {name}", "bold"), ": ", (outcome, style), took)
    phases = (report.get("phases") or {}).items()
    facts = [
        ("reason", entry["reason"], "dim"),
        ("before", entry["previous"], "dim"),
        ("touched", ", ".join(entry["touched"]), "dim"),
        ("phases", ", ".join(f"{phase} {_took(each)}" for phase, each in phases if each >= _SHOWN_SECONDS), "dim"),
        *(("warning", warning, "yellow") for warning in report.get("warnings") or ()),
        ("pruned", ", ".join(report.get("removed") or ()), "dim"),
    ]
    yield rows((Text(what, style), printable(text)) for what, text, style in facts if text)


def _took(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < _MINUTE:
        return f"{seconds:.0f} s" if seconds >= 1 else f"{seconds:.1f} s"
    return f"{int(seconds // 60)}:{int(seconds % 60):02d} min"


def diff_rendered(found: Mapping[str, Any]) -> RenderableType:
    """A difference as something rich can print."""
    before, after, secrets = found["before"], found["after"], found["secrets"]
    title = Text.assemble(_release(before), _source(before), " → ", _release(after), _source(after))
    parts = {
        **{f"image of {each['name']}": _image_lines(each) for each in found["images"]},
        **{f"service {each['name']}": each["lines"] for each in found["services"]},
        **{f"file {each['name']}": each["lines"] for each in found["files"]},
        "networks, volumes": found["other"],
        "secrets, by name": [f"- {name}" for name in secrets["removed"]] + [f"+ {name}" for name in secrets["added"]],
    }
    blocks: list[RenderableType] = [title]
    for name, lines in parts.items():
        if lines:
            blocks += ["", Text(printable(name), "bold")]
            blocks += [
                Text(f"  {printable(line)}", _DIFFERENCES.get(line[:1], "")) for line in lines if line[:2] != "@@"
            ]
    if len(blocks) == 1:
        same = before["release"] == after["release"]
        blocks.append(Text("no difference" if same else "only commit or branch differ"))
    return Group(*blocks)


def _image_lines(change: Mapping[str, str]) -> list[str]:
    images = {sign: change[side] for sign, side in (("-", "before"), ("+", "after")) if change[side]}
    return [f"{sign} {image.partition('@')[0]} {digest(image)}" for sign, image in images.items()]


def _release(found: Mapping[str, Any]) -> tuple[str, str]:
    return printable(found["release"]), "bold"


def _source(release: Mapping[str, Any]) -> str:
    return f" ({found})" if (found := source(release)) else ""
