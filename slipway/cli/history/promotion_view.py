"""What `slipway promote` shows before it asks: both environments side by side."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from slipway.cli.fitting_table import FittingTable
from slipway.cli.style import note, source
from slipway.contract.redaction import printable
from slipway.releases.format import ago

if TYPE_CHECKING:
    from slipway.releases.promotion import Environment, Promotion

__all__ = ["rendered"]

_COMMITS = 20


def rendered(promotion: Promotion) -> RenderableType:
    """`promotion` as something rich can print."""
    labels = {
        "differ": "configuration that differs",
        "only_source": f"only in {promotion.source.stack}",
        "only_target": f"only in {promotion.target.stack}",
    }
    different = [
        Text.assemble((f"{labels[key]}: ", "bold"), printable(", ".join(keys)))
        for key, keys in promotion.configuration.items()
        if keys
    ]
    obstacles = [note("in the way", str(problem), "red") for problem in promotion.obstacles]
    return Group(_side_by_side(promotion), "", *_commits(promotion), *different, *obstacles)


def _side_by_side(promotion: Promotion) -> FittingTable:
    sides, now = (promotion.source, promotion.target), datetime.now(UTC)
    made = FittingTable("", *(printable(side.stack) for side in sides), prose=True)
    rows: dict[str, list[str | Text]] = {
        "release": [side.live.id if side.live else "nothing live" for side in sides],
        "commit": [source(side.live.document) or "-" if side.live else "-" for side in sides],
        "live since": [ago(side.since, now) if side.since else "-" for side in sides],
        "health": [_health(side) for side in sides],
        "validated": [_validated(side, now) for side in sides],
        "checks": [promotion.checks or "not asked", ""],
        "images": [_images(promotion, side) for side in sides],
    }
    for name, cells in rows.items():
        made.add_row(Text(name, "dim"), *cells)
    return made


def _health(side: Environment) -> Text:
    if side.status is None or side.live is None:
        return Text("-")
    return Text("as deployed", "green") if side.healthy else Text("not as deployed", "red")


def _validated(side: Environment, now: datetime) -> Text:
    if side.live is None:
        return Text("-")
    mark = side.history.validated.get(side.live.id)
    if mark is None:
        return Text("no", "yellow")
    by = f" by {mark.actor}" if mark.actor else ""
    when = f" {ago(mark.at.isoformat(), now)}" if mark.at else ""
    return Text(printable(f"yes{when}{by}"), "green")


def _images(promotion: Promotion, side: Environment) -> str:
    promoted = promotion.release.document["images"]
    if side is promotion.source:
        return f"{len(set(promoted.values()))} by digest"
    if side.live is None:
        return "none yet"
    there = {name: image.partition("@")[2] for name, image in side.live.document["images"].items()}
    changed = sorted(name for name, image in promoted.items() if image.partition("@")[2] != there.get(name))
    return printable(f"{', '.join(changed)} will change") if changed else "the same"


def _commits(promotion: Promotion) -> list[Text]:
    if not promotion.commits:
        return [Text(f"commits between: {'none' if promotion.commits is not None else 'git cannot tell'}", "dim")]
    shown = [Text(f"  {printable(line)}") for line in promotion.commits[:_COMMITS]]
    more = [Text("  and more", "dim")] if len(promotion.commits) > _COMMITS else []
    return [Text("commits between", "bold"), *shown, *more]
