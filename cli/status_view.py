"""What `slipway status` prints for people: one block per host, words first, colour only beside them.

Owns: the printed form. Does not own: what is told (see `status_document`).
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.console import RenderableType

__all__ = ["ago", "rendered", "show"]

_COLUMNS = ("service", "container", "state", "health", "image", "started", "restarts")
_UNBOUNDED = 10_000  # columns, where no terminal says how wide it is: whatever reads a log folds its lines itself
_SHORT = 12  # hex digits of a digest or commit that people compare
_STYLES = {
    "running": "green", "completed": "green", "healthy": "green",
    "starting": "yellow", "restarting": "yellow",
    "unhealthy": "red", "exited": "red", "dead": "red", "missing": "red",
}  # fmt: skip
_UNITS = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))


def show(document: Mapping[str, Any]) -> None:
    """Print `document` on standard output."""
    console = Console(highlight=False)
    if console.is_terminal:
        console.print(rendered(document))
        return
    console = Console(highlight=False, width=_UNBOUNDED)
    with console.capture() as capture:
        console.print(rendered(document))
    for line in capture.get().splitlines():
        typer.echo(line.rstrip())  # the padding of a table's last column


def rendered(document: Mapping[str, Any]) -> RenderableType:
    """`document` as something rich can print."""
    now = datetime.fromisoformat(document["checked"])
    good = document["as_deployed"]
    verdict = Text("as deployed", "bold green") if good else Text("not as deployed", "bold red")
    title = Text.assemble((document["application"], "bold"), " on stack ", (document["stack"], "bold"), ": ", verdict)
    blocks: list[RenderableType] = [title, *(_note("differs", finding, "red") for finding in document["findings"])]
    for host in document["hosts"]:
        blocks += ["", *_host(host, now)]
    return Group(*blocks)


def ago(moment: str, now: datetime) -> str:
    """How long ago an RFC 3339 moment was, in its largest unit; `never` for Docker's year 1."""
    try:
        then = datetime.fromisoformat(moment)
    except ValueError:
        return "unknown"
    if then.year == 1:
        return "never"
    seconds = int(max(now - then.astimezone(UTC), timedelta()).total_seconds())
    return next((f"{seconds // size} {unit} ago" for size, unit in _UNITS if seconds >= size), "now")


def _host(host: Mapping[str, Any], now: datetime) -> Iterator[RenderableType]:
    probe = host["probe"]
    name = Text.assemble(
        (host["name"], "bold"), "" if host["address"] == "local" else f" ({_plain(host['address'])})", ": "
    )
    yield name + _release(probe, now)
    for error in host["errors"]:
        yield _note("error", f"{error['what']} — {error['meaning']} — {error['mend']}", "red")
    if probe is None:
        return
    if probe["lock"]:
        yield _note("deploying now", probe["lock"], "cyan")
    for finding in host["findings"]:
        yield _note("differs", finding, "red")
    last = probe["last"]
    if last and last["outcome"] == "failed":
        yield _note("last deployment failed", f"{last['release']}, {ago(last['at'], now)}: {last['reason']}", "yellow")
    if probe["live"] and probe["machine"]["docker"]:  # without an engine, what runs is not known
        yield Padding(_services(probe["live"]["services"], now), (0, 0, 0, 2), expand=False)


def _release(probe: Mapping[str, Any] | None, now: datetime) -> Text:
    if probe is None:
        return Text("not known")
    live = probe["live"]
    if live is None:
        return Text("nothing deployed")
    commit, suffix = live["commit"][:_SHORT], "-dirty" if live["commit"].endswith("-dirty") else ""
    source = f", commit {commit}{suffix}" if commit else ""
    source += f" on {live['branch']}" if live["branch"] else ""
    since = live["since"].replace("T", " ").replace("Z", " UTC")
    return Text.assemble(
        "release ", (live["release"], "bold"), _plain(f"{source}, live since {since} ({ago(live['since'], now)})")
    )


def _services(services: Mapping[str, Mapping[str, Any]], now: datetime) -> Table:
    table = Table(*_COLUMNS, box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for service, entry in sorted(services.items()):
        image = entry["image"].rpartition("sha256:")[2][:_SHORT]
        name = _plain(service)
        for container in entry["containers"]:
            table.add_row(
                name,
                _plain(container["name"]),
                _word(container["state"]),
                _word(container["health"] or "-"),
                image,
                ago(container["since"], now),
                str(container["restarts"]),
            )
            name = ""
        if not entry["containers"] and entry["replicas"]:
            table.add_row(name, "-", _word("missing"), "-", image, "-", "-")
    return table


def _note(label: str, text: str, style: str) -> RenderableType:
    return Padding(Text.assemble((f"{label}: ", f"bold {style}"), _plain(text)), (0, 0, 0, 2), expand=False)


def _word(text: str) -> Text:
    return Text(_plain(text), _STYLES.get(text, ""))


def _plain(text: str) -> str:
    """What a host said, without the control characters that could repaint the terminal."""
    return "".join(character if character.isprintable() else " " for character in text)
