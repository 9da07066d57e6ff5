"""What `slipway diff` prints for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.text import Text

from slipway.cli.style import digest, source
from slipway.releases.format import plain

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["rendered"]

_STYLES = {"+": "green", "-": "red"}


def rendered(found: Mapping[str, Any]) -> RenderableType:
    """A difference as something rich can print."""
    before, after, secrets = found["before"], found["after"], found["secrets"]
    title = Text.assemble(
        (before["release"], "bold"), _source(before), " → ", (after["release"], "bold"), _source(after)
    )  # fmt: skip
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
            blocks += ["", Text(plain(name), "bold")]
            blocks += [Text(f"  {plain(line)}", _STYLES.get(line[:1], "")) for line in lines if line[:2] != "@@"]
    if len(blocks) == 1:
        same = before["release"] == after["release"]
        blocks.append(Text("no difference" if same else "only commit or branch differ"))
    return Group(*blocks)


def _image_lines(change: Mapping[str, str]) -> list[str]:
    images = {sign: change[side] for sign, side in (("-", "before"), ("+", "after")) if change[side]}
    return [f"{sign} {image.partition('@')[0]} {digest(image)}" for sign, image in images.items()]


def _source(release: Mapping[str, Any]) -> str:
    return f" ({found})" if (found := source(release)) else ""
