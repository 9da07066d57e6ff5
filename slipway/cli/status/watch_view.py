"""What `slipway watch` prints: a live block per host on a terminal, a line per change elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from slipway.cli.fitting_table import FittingTable
from slipway.cli.printing import json_text
from slipway.cli.style import indented
from slipway.contract.redaction import printable
from slipway.releases.format import clock, counted, latency, span

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.cli.status.watch_events import HostWatch

__all__ = ["LinesView", "LiveView", "figures", "print_as_json", "sentence"]

_LINE_SECONDS = 60.0  # between two lines about a host of which nothing but figures changed


def figures(seen: Mapping[str, Any]) -> str:
    """The traffic of the last minute, in words."""
    words = [counted(seen["requests"], "request"), counted(seen["errors"], "error")]
    return ", ".join([*words, f"p95 {latency(seen['p95'])}"] if seen["p95"] is not None else words)


def sentence(seen: HostWatch) -> str:
    """How one host's watch stands, in one line."""
    watch = seen.watch
    if seen.problems:
        again = "" if seen.ended else " (tried again)"
        return "; ".join(f"slipway: error: {problem}" for problem in seen.problems) + again
    if watch is None:
        return "nothing is watched here"
    release, left = watch["release"], f"{span(watch['left'])} left" if watch["left"] else "its time is over"
    if seen.lost and seen.ended:
        return f"the watch over {release} is lost: its process is gone, and nobody else judges this release"
    if watch["state"] == "over" or (watch["state"] == "watching" and seen.ended):
        return f"the watch over {release} is over, and all was well"
    return {
        "watching": f"watching {release}, {left}" + (f"; {watch['reason']}" if watch["reason"] else ""),
        "returning": f"{release} is bad, rolling back to the previous release: {watch['reason']}",
        "returned": f"{release} was rolled back: {watch['reason']}",
        "failed": f"{release} is bad: {watch['reason']}",
    }[watch["state"]]


def _kept(watch: Mapping[str, Any]) -> list[str]:
    return [f"old generation of {each['service']} kept, {span(each['left'])} left" for each in watch["kept"]]


def print_as_json(seen: HostWatch) -> None:
    """Print a line of JSON (slipway/cli/schemas/watch.schema.json)."""
    typer.echo(json_text(seen.document))


class LinesView:
    """A line whenever a host's watch changes, and one a minute in between, each with the time since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._printed: dict[str, tuple[object, float]] = {}

    def report(self, seen: HostWatch) -> None:
        """Print a line, unless nothing but figures changed since the last one."""
        watch, now = seen.watch or {}, time.monotonic()
        kept = [each["service"] for each in watch.get("kept", ())]
        state = [*map(watch.get, ("release", "state", "reason", "alive")), kept, seen.ended, seen.problems]
        before, when = self._printed.get(seen.host, (None, 0.0))
        if before == state and now - when < _LINE_SECONDS:
            return
        self._printed[seen.host] = (state, now)
        words = [sentence(seen)]
        if not seen.problems and watch:
            words += [f"{service} {figures(each)}" for service, each in sorted(watch["services"].items())]
            words += _kept(watch)
        typer.echo(f"[{clock(now - self._began)}] {seen.host}: {printable('; '.join(words))}")


class LiveView:
    """A block per host that is redrawn whenever anything changes."""

    def __init__(self, title: str, console: Console) -> None:
        self._title = title
        self._began = time.monotonic()
        self._seen: dict[str, HostWatch] = {}
        self._live = Live(console=console, get_renderable=self.rendered, refresh_per_second=2, transient=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def report(self, seen: HostWatch) -> None:
        """Show this from now on."""
        self._seen[seen.host] = seen

    def rendered(self) -> RenderableType:
        """All hosts, as something rich can print."""
        title = Text.assemble((printable(self._title), "bold"), f", {clock(time.monotonic() - self._began)}")
        blocks = [block for seen in self._seen.values() for block in ("", *_block(seen))]
        return Group(title, *(blocks or [Text("looking at the hosts …", "dim")]))


def _block(seen: HostWatch) -> Iterator[RenderableType]:
    style = "green" if seen.ended and seen.well else "" if seen.well else "bold red"
    yield Text.assemble((printable(seen.host), "bold"), ": ", (printable(sentence(seen)), style))
    if seen.watch is None or seen.problems:
        return
    services = sorted(seen.watch["services"].items())
    if services:
        yield indented(_table(services))
    for service, each in services:
        if each["verdict"]:
            yield indented(Text(printable(f"{service}: {each['verdict']}"), "dim"))
    for kept in _kept(seen.watch):
        yield indented(Text(printable(kept), "cyan"))


def _table(services: list[tuple[str, Mapping[str, Any]]]) -> FittingTable:
    figured = ("requests", "errors", "p50", "p95")
    made = FittingTable("service", *figured, right=figured)
    for service, seen in services:
        rate = f" ({seen['errors'] / seen['requests']:.1%})" if seen["errors"] and seen["requests"] else ""
        errors = Text(f"{seen['errors']:,}{rate}", "red" if seen["errors"] else "")
        made.add_row(printable(service), f"{seen['requests']:,}", errors, latency(seen["p50"]), latency(seen["p95"]))
    return made
