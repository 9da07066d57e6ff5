"""What `slipway preview` prints: a table per host, and Markdown for pull requests."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from slipway.contract.plan import interruption
from slipway.hosts.plans import basis, change_of
from slipway.releases.format import plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from slipway.contract.plan import Change

__all__ = ["in_markdown", "rendered"]

_STYLES = {"created": "green", "removed": "red", "recreated": "yellow", "restarted": "yellow", "stopped": "red"}


def rendered(document: Mapping[str, Any]) -> RenderableType:
    """The preview for a terminal."""
    parts: list[RenderableType] = []
    for host in document["hosts"]:
        parts.append(Text.assemble(("host ", "dim"), (plain(host["host"]), "bold")))
        parts += [Text(f"  {said}", "yellow")] if (said := basis(host)) else []
        parts.append(_table(_changes(host)) if host["changes"] else Text("  nothing to do", "dim"))
        parts += [Text(f"  {line}", "dim") for line in _beside(host)]
    if document["resources"]:
        parts.append(Text("other resources", "dim"))
        parts += [Text(f"  {line}") for line in _resources(document)]
    parts += [Text(f"warning: {plain(each)}", "yellow") for each in document["warnings"]]
    parts.append(Text(_end(document), "bold"))
    return Group(*parts)


def in_markdown(document: Mapping[str, Any]) -> str:
    """The preview for a comment on a pull request."""
    lines = [f"### Preview of `{document['stack']}`", "", f"{_cell(_end(document))}."]
    for host in document["hosts"]:
        lines += ["", f"**Host {_cell(host['host'])}**", ""]
        lines += [f"_{_cell(said)}_", ""] if (said := basis(host)) else []
        if host["changes"]:
            lines += ["| service | what | because | interrupted |", "| --- | --- | --- | --- |"]
            lines += [f"| {' | '.join(_cells(each))} |" for each in _changes(host)]
            lines.append("")
        lines += [_cell(line) for line in _beside(host)] or ["Nothing to do."]
    if document["resources"]:
        lines += ["", "**Other resources**", "", *(f"- {_cell(line)}" for line in _resources(document))]
    lines += ["", *(f"> ⚠️ {_cell(each)}" for each in document["warnings"])] if document["warnings"] else []
    return "\n".join(lines)


def _changes(host: Mapping[str, Any]) -> list[Change]:
    return [change_of(each) for each in host["changes"]]


def _table(changes: Sequence[Change]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for each in changes:
        what = Text(each.action, _STYLES.get(each.action, "cyan"))
        what.append(f"; {meanwhile}" if (meanwhile := interruption(each)) else "", "yellow")
        table.add_row(Text(f"  {plain(each.service)}", "bold"), what)
        table.add_row("", Text(plain(", ".join(each.because)), "dim"))
    return table


def _cells(change: Change) -> tuple[str, ...]:
    return _cell(change.service), change.action, _cell(", ".join(change.because)), interruption(change) or "no"


def _beside(host: Mapping[str, Any]) -> list[str]:
    """What is left alone."""
    return [f"unchanged: {', '.join(plain(name) for name in host['unchanged'])}"] if host["unchanged"] else []


def _resources(document: Mapping[str, Any]) -> Iterator[str]:
    for each in document["resources"]:
        yield f"{each['operation']} {each['type'].rpartition(':')[2].lower()} {plain(each['name'])}"


def _end(document: Mapping[str, Any]) -> str:
    if document["unplanned"]:
        return f"{document['stack']}: not planned on {plain(', '.join(document['unplanned']))}"
    if not document["changes"]:
        return f"{document['stack']}: nothing to do"
    changes = [(host["host"], each) for host in document["hosts"] for each in _changes(host)]
    interrupted = sorted({f"{each.service} on {host}" for host, each in changes if interruption(each)})
    if not interrupted:
        return f"{document['stack']}: nothing is interrupted"
    return f"{document['stack']}: interrupted for a while: {plain(', '.join(interrupted))}"


def _cell(text: str) -> str:
    """Text that cannot end a table's cell or begin markup."""
    return re.sub(r"([\\|`*_\[\]!])", r"\\\1", plain(text)).replace("<", "&lt;").replace("@", "&#64;")
