"""What `slipway diff` prints for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.text import Text

from slipway.releases.format import plain

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from rich.console import RenderableType

__all__ = ["rendered"]

_SHORT = 12
_STYLES = {"+": "green", "-": "red", "@": "dim"}


def rendered(found: Mapping[str, Any]) -> RenderableType:
    """A difference as something rich can print."""
    before, after = found["before"], found["after"]
    blocks: list[RenderableType] = [
        Text.assemble((before["release"], "bold"), plain(_source(before)), " → ", (after["release"], "bold"))
        + Text(plain(_source(after)))
    ]
    for each in found["images"]:
        blocks += ["", Text(f"image of {plain(each['name'])}", "bold")]
        blocks += [
            Text(f"  {sign} {_image(each[side])}", _STYLES[sign])
            for sign, side in (("-", "before"), ("+", "after"))
            if each[side]
        ]
    for kind, entries in (("service", found["services"]), ("file", found["files"])):
        for each in entries:
            blocks += ["", Text(f"{kind} {plain(each['name'])}", "bold"), *_lines(each["lines"])]
    if found["other"]:
        blocks += ["", Text("networks, volumes", "bold"), *_lines(found["other"])]
    secrets = found["secrets"]
    if secrets["added"] or secrets["removed"]:
        blocks += ["", Text("secrets, by name", "bold")]
        blocks += [Text(f"  - {name}", "red") for name in secrets["removed"]]
        blocks += [Text(f"  + {name}", "green") for name in secrets["added"]]
    if len(blocks) == 1:
        blocks.append(
            Text("no difference" if before["release"] == after["release"] else "only commit or branch differ")
        )
    return Group(*blocks)


def _lines(lines: Sequence[str]) -> list[RenderableType]:
    return [Text(f"  {plain(line)}", _STYLES.get(line[:1], "")) for line in lines if not line.startswith("@@")]


def _image(image: str) -> str:
    name, _, digest = image.partition("@")
    return plain(f"{name} {digest.removeprefix('sha256:')[:_SHORT]}")


def _source(release: Mapping[str, Any]) -> str:
    commit = release["commit"][:_SHORT]
    return f" ({commit}{' on ' + release['branch'] if release['branch'] else ''})" if commit else ""
