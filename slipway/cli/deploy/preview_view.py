"""What `slipway preview` prints: a table per host, and Markdown for pull requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from slipway.cli.deploy.markdown import code
from slipway.contract.plan import interruption
from slipway.contract.redaction import printable
from slipway.hosts.hetzner.prices import COST
from slipway.hosts.plans import NOTHING, basis, change_of, idle, interrupted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from slipway.contract.plan import Change

__all__ = ["in_markdown", "rendered"]

_STYLES = {"created": "green", "removed": "red", "recreated": "yellow", "restarted": "yellow", "stopped": "red"}


def rendered(document: Mapping[str, Any]) -> RenderableType:
    """The preview for a terminal."""
    parts: list[RenderableType] = []
    for host in document["hosts"]:
        parts.append(Text.assemble(("host ", "dim"), (printable(host["host"]), "bold")))
        parts += [Text(f"  {said}", "yellow")] if (said := basis(host)) else []
        parts.append(_table(_changes(host)) if host["changes"] else Text(f"  {_nothing(document, host)}", "dim"))
        parts += [Text(f"  {line}", "dim") for line in _beside(host)]
    if document["resources"]:
        parts.append(Text("other resources", "dim"))
        parts += [Text(f"  {line}") for line in _resources(document)]
    parts += [Text(f"{COST}{printable(document['cost'])}")] if "cost" in document else []
    parts += [Text(f"warning: {printable(each)}", "yellow") for each in document["warnings"]]
    parts.append(Text(_end(document), "bold"))
    return Group(*parts)


def in_markdown(document: Mapping[str, Any]) -> str:
    """The preview for a comment on a pull request."""
    lines = [f"### Preview of {code(document['stack'])}", "", f"{_end(document, code)}."]
    for host in document["hosts"]:
        lines += ["", f"**Host** {code(host['host'])}", ""]
        lines += [f"_{said}_", ""] if (said := basis(host)) else []
        if host["changes"]:
            lines += ["| service | what | because | interrupted |", "| --- | --- | --- | --- |"]
            lines += [f"| {' | '.join(_cells(each))} |" for each in _changes(host)]
            lines += [""] if host["unchanged"] else []
        else:
            lines += [f"{_nothing(document, host).capitalize()}.", *([""] if host["unchanged"] else [])]
        lines += _beside(host, code)
    if document["resources"]:
        lines += ["", "**Other resources**", "", *(f"- {code(line)}" for line in _resources(document))]
    lines += ["", f"{COST}{code(document['cost'])}"] if "cost" in document else []
    lines += ["", *(f"> ⚠️ {code(each)}" for each in document["warnings"])] if document["warnings"] else []
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
        table.add_row(Text(f"  {printable(each.service)}", "bold"), what)
        table.add_row("", Text(printable(", ".join(each.because)), "dim"))
    return table


def _cells(change: Change) -> tuple[str, ...]:
    texts = (
        code(change.service),
        change.action,
        ", ".join(map(code, change.because)),
        interruption(change) or ("gone" if change.interrupts else "no"),
    )
    return tuple(text.replace("|", "\\|") for text in texts)


def _beside(host: Mapping[str, Any], name: Callable[[str], str] = printable) -> list[str]:
    """What is left alone; `name` is how names are put."""
    return [f"unchanged: {', '.join(map(name, host['unchanged']))}"] if host["unchanged"] else []


def _resources(document: Mapping[str, Any]) -> Iterator[str]:
    for each in document["resources"]:
        yield printable(f"{each['operation']} {each['type'].rpartition(':')[2].lower()} {each['name']}")


def _end(document: Mapping[str, Any], name: Callable[[str], str] = printable) -> str:
    return f"{name(document['stack'])}: {_ending(document, name)}"


def _ending(document: Mapping[str, Any], name: Callable[[str], str]) -> str:  # noqa: PLR0911 - one a case
    if document["unplanned"]:
        return f"not planned on {', '.join(map(name, document['unplanned']))}"
    if refused := [name(host["host"]) for host in document["hosts"] if host.get("refused")]:
        return f"would be refused by {', '.join(refused)}"
    if removed := [f"{name(each['project'])} from {name(each['host'])}" for each in document["removed"]]:
        return f"removes {', '.join(removed)}, and leaves its data behind"
    if not document["changes"]:
        return NOTHING
    changes = [
        (f"{name(each.service)} on {name(host['host'])}", each) for host in document["hosts"] for each in _changes(host)
    ]
    if any(each.interrupts for _, each in changes):
        return interrupted(sorted(changes, key=lambda pair: pair[0]))
    if _only_settings(document):
        return "the deployment runs anew; no container changes"
    return "nothing is interrupted"


def _nothing(document: Mapping[str, Any], host: Mapping[str, Any]) -> str:
    """What is said of a host without changes."""
    said = idle(host)
    return "no container changes" if said == NOTHING and _only_settings(document) else said


def _only_settings(document: Mapping[str, Any]) -> bool:
    """Whether an update would only change how hosts are deployed to, such as a deadline."""
    return document["changes"] and not (document["resources"] or any(host["changes"] for host in document["hosts"]))
