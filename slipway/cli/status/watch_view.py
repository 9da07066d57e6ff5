"""What `slipway watch` prints: a live block per host on a terminal, a line a change elsewhere.

Owns: the printed form. Does not own: what is seen (see `watching`).
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from slipway.releases.format import clock, counted, latency, plain, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

    from rich.console import RenderableType

    from slipway.cli.status.watch_events import Sight

__all__ = ["JsonView", "LinesView", "LiveView", "figures", "sentence"]

_LINE_SECONDS = 60.0  # between two lines about a host of which nothing but figures changed
_COLUMNS = ("service", "requests", "errors", "p50", "p95")


def figures(seen: Mapping[str, Any]) -> str:
    """What the traffic of the last minute says, in words."""
    said = [counted(seen["requests"], "request"), counted(seen["errors"], "error")]
    return ", ".join([*said, f"p95 {latency(seen['p95'])}"] if seen["p95"] is not None else said)


def sentence(sight: Sight) -> str:
    """How one host's watch stands, in one line."""
    watch = sight.watch
    if sight.problems:
        again = "" if sight.ended else " (tried again)"
        return "; ".join(f"slipway: error: {problem}" for problem in sight.problems) + again
    if watch is None:
        return "nothing is watched here"
    release = watch["release"]
    if sight.lost and sight.ended:
        return f"the watch over {release} is lost: its process is gone, and nobody else judges this release"
    if watch["state"] == "over" or (watch["state"] == "watching" and sight.ended):
        return f"the watch over {release} is over, and all was well"
    if watch["state"] == "watching":
        return f"watching {release}, {_left(watch)}" + (f"; {watch['reason']}" if watch["reason"] else "")
    return {
        "returning": f"{release} is bad, the release before is brought back: {watch['reason']}",
        "returned": f"{release} was rolled back: {watch['reason']}",
        "failed": f"{release} is bad: {watch['reason']}",
    }[watch["state"]]


def _left(watch: Mapping[str, Any]) -> str:
    return f"{span(watch['left'])} left" if watch["left"] else "its time is over"


def _kept(watch: Mapping[str, Any]) -> list[str]:
    return [f"old generation of {each['service']} kept, {span(each['left'])} left" for each in watch["kept"]]


class JsonView:
    """A line of JSON per change (slipway/cli/schemas/watch.schema.json)."""

    def __enter__(self) -> Callable[[Sight], None]:
        """What is to be told of every sight."""
        return self._tell

    def __exit__(self, *_: object) -> None:
        """Nothing is left open."""

    @staticmethod
    def _tell(sight: Sight) -> None:
        typer.echo(json.dumps(sight.document, ensure_ascii=False))


class LinesView:
    """A line whenever a host's watch changes, and one a minute in between, each with the time since the start."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._said: dict[str, tuple[object, float]] = {}

    def __enter__(self) -> Callable[[Sight], None]:
        """What is to be told of every sight."""
        return self._tell

    def __exit__(self, *_: object) -> None:
        """Nothing is left open."""

    def _tell(self, sight: Sight) -> None:
        watch, now = sight.watch or {}, time.monotonic()
        kept = [each["service"] for each in watch.get("kept", ())]
        state = (watch.get("release"), watch.get("state"), watch.get("reason"), watch.get("alive"), kept, sight.ended)
        before, when = self._said.get(sight.host, (None, 0.0))
        if before == (state, sight.problems) and now - when < _LINE_SECONDS:
            return
        self._said[sight.host] = ((state, sight.problems), now)
        said = [sentence(sight)]
        if not sight.problems and watch:
            said += [f"{service} {figures(each)}" for service, each in sorted(watch["services"].items())]
            said += _kept(watch)
        typer.echo(f"[{clock(now - self._began)}] {sight.host}: {plain('; '.join(said))}")


class LiveView:
    """A block per host that is drawn anew whenever anything changes."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._title = title
        self._began = time.monotonic()
        self._seen: dict[str, Sight] = {}
        console = console or Console(highlight=False)
        self._live = Live(console=console, get_renderable=self.rendered, refresh_per_second=2, transient=False)

    def __enter__(self) -> Callable[[Sight], None]:
        """What is to be told of every sight."""
        self._live.__enter__()
        return self.tell

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave what was seen last on the screen."""
        self._live.__exit__(kind, error, trace)

    def tell(self, sight: Sight) -> None:
        """Show this from now on."""
        self._seen[sight.host] = sight

    def rendered(self) -> RenderableType:
        """All hosts, as something rich can print."""
        blocks: list[RenderableType] = [
            Text.assemble((plain(self._title), "bold"), f", {clock(time.monotonic() - self._began)}")
        ]
        for sight in self._seen.values():
            blocks += ["", *_block(sight)]
        if not self._seen:
            blocks.append(Text("looking at the hosts …", "dim"))
        return Group(*blocks)


def _block(sight: Sight) -> Iterator[RenderableType]:
    style = "green" if sight.ended and sight.well else "" if sight.well else "bold red"
    yield Text.assemble((plain(sight.host), "bold"), ": ", (plain(sentence(sight)), style))
    watch = sight.watch
    if watch is None or sight.problems:
        return
    if watch["services"]:
        yield Padding(_table(watch["services"]), (0, 0, 0, 2), expand=False)
    for service, seen in sorted(watch["services"].items()):
        if seen["verdict"]:
            yield Padding(Text(plain(f"{service}: {seen['verdict']}"), "dim"), (0, 0, 0, 2), expand=False)
    for kept in _kept(watch):
        yield Padding(Text(plain(kept), "cyan"), (0, 0, 0, 2), expand=False)


def _table(services: Mapping[str, Mapping[str, Any]]) -> Table:
    table = Table(*_COLUMNS, box=None, header_style="dim", pad_edge=False, padding=(0, 2, 0, 0))
    for column in table.columns[1:]:
        column.justify = "right"
    for service, seen in sorted(services.items()):
        rate = f" ({seen['errors'] / seen['requests']:.1%})" if seen["errors"] and seen["requests"] else ""
        table.add_row(
            plain(service),
            f"{seen['requests']:,}",
            Text(f"{seen['errors']:,}{rate}", "red" if seen["errors"] else ""),
            latency(seen["p50"]),
            latency(seen["p95"]),
        )
    return table
