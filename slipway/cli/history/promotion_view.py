"""What `slipway promote` shows before it asks: both environments side by side.

Owns: the printed form. Does not own: what is compared (see `promotion`).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from slipway.releases.format import ago, plain

if TYPE_CHECKING:
    from rich.console import RenderableType

    from slipway.releases.promotion import Environment, Promotion

__all__ = ["rendered"]

_SHORT = 12
_COMMITS = 20


def rendered(promotion: Promotion) -> RenderableType:
    """`promotion` as something rich can print."""
    blocks: list[RenderableType] = [_side_by_side(promotion)]
    blocks += ["", *_commits(promotion), *_configuration(promotion)]
    blocks += [
        Padding(Text.assemble(("against it: ", "bold red"), plain(str(problem))), (0, 0, 0, 2))
        for problem in promotion.obstacles
    ]
    return Group(*blocks)


def _side_by_side(promotion: Promotion) -> RenderableType:
    sides = (promotion.source, promotion.target)
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 3, 0, 0))
    table.add_column("")
    for side in sides:
        table.add_column(plain(side.stack))
    rows: dict[str, list[str | Text]] = {
        "release": [side.live.id if side.live else "nothing live" for side in sides],
        "commit": [_commit(side) for side in sides],
        "live since": [_since(side) for side in sides],
        "health": [_health(side) for side in sides],
        "validated": [_validated(side) for side in sides],
        "checks": [promotion.checks or "not asked", ""],
        "images": [_images(promotion, side) for side in sides],
    }
    for name, cells in rows.items():
        table.add_row(Text(name, "dim"), *cells)
    return table


def _commit(side: Environment) -> str:
    if side.live is None or not side.live.document["commit"]:
        return "-"
    branch = side.live.document["branch"]
    return plain(f"{side.live.document['commit'][:_SHORT]}{f' on {branch}' if branch else ''}")


def _since(side: Environment) -> str:
    return ago(side.since, datetime.now(UTC)) if side.since else "-"


def _health(side: Environment) -> Text:
    if side.status is None or side.live is None:
        return Text("-")
    return Text("as deployed", "green") if side.healthy else Text("not as deployed", "red")


def _validated(side: Environment) -> Text:
    if side.live is None:
        return Text("-")
    mark = side.history.validated.get(side.live.id)
    if mark is None:
        return Text("no", "yellow")
    by = f" by {mark.actor}" if mark.actor else ""
    when = f" {ago(mark.at.isoformat(), datetime.now(UTC))}" if mark.at else ""
    return Text(plain(f"yes{when}{by}"), "green")


def _images(promotion: Promotion, side: Environment) -> str:
    if side is promotion.source:
        return f"{len(set(promotion.release.document['images'].values()))} by digest"
    if side.live is None:
        return "none yet"
    mine, theirs = (_digests(each) for each in (promotion.release.document["images"], side.live.document["images"]))
    changed = sorted(name for name in mine if mine[name] != theirs.get(name))
    return plain(f"{', '.join(changed)} will change") if changed else "the same"


def _digests(images: dict[str, str]) -> dict[str, str]:
    return {name: image.partition("@")[2] for name, image in images.items()}


def _commits(promotion: Promotion) -> list[RenderableType]:
    if promotion.commits is None:
        return [Text("commits between: git cannot tell", "dim")]
    if not promotion.commits:
        return [Text("commits between: none", "dim")]
    shown = [Text(f"  {plain(line)}") for line in promotion.commits[:_COMMITS]]
    more = [Text("  and more", "dim")] if len(promotion.commits) > _COMMITS else []
    return [Text("commits between", "bold"), *shown, *more]


def _configuration(promotion: Promotion) -> list[RenderableType]:
    found = promotion.configuration
    words = {
        "differ": "configuration that differs",
        "only_source": f"only in {promotion.source.stack}",
        "only_target": f"only in {promotion.target.stack}",
    }
    return [Text.assemble((f"{words[key]}: ", "bold"), plain(", ".join(keys))) for key, keys in found.items() if keys]
