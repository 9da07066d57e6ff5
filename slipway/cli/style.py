"""How everything that `slipway` prints for people looks: tables, indentation, colours, digests."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.padding import Padding
from rich.text import Text

from slipway.cli.fitting_table import FittingTable
from slipway.contract.redaction import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from rich.console import RenderableType

__all__ = ["SHORT", "digest", "image", "indented", "moment", "note", "rows", "source", "state"]

SHORT = 12
"""Hex digits of a digest or commit that people compare."""

_STATES = {
    "running": "green", "completed": "green", "healthy": "green", "live": "green",
    "starting": "yellow", "restarting": "yellow", "paused": "yellow", "other": "yellow",
    "unhealthy": "red", "exited": "red", "dead": "red", "missing": "red",
    "kept": "dim", "one-off": "dim",
}  # fmt: skip


def rows(cells: Iterable[Sequence[str | Text]]) -> RenderableType:
    """An indented table without a header, whose last column is text."""
    made = FittingTable(prose=True)
    for each in cells:
        made.add_row(*each)
    return indented(made)


def indented(what: RenderableType) -> Padding:
    """A part of the block above it."""
    return Padding(what, (0, 0, 0, 2), expand=False)


def note(label: str, text: str, style: str) -> RenderableType:
    """An indented line with a coloured label."""
    return indented(Text.assemble((f"{label}: ", f"bold {style}"), printable(text)))


def state(word: str) -> Text:
    """The state of a container or generation in its colour."""
    return Text(printable(word), _STATES.get(word, ""))


def digest(image: str) -> str:
    """The digits of an image's digest that people compare; empty when it has none."""
    return image.partition("sha256:")[2][:SHORT]


def image(reference: str) -> str:
    """The digits of an image's digest; its name where it has none."""
    return digest(reference) or printable(reference.rpartition("/")[2])


def source(release: Mapping[str, Any]) -> str:
    """`COMMIT on BRANCH`, as far as they are known."""
    commit = release["commit"][:SHORT]
    return printable(f"{commit} on {release['branch']}" if commit and release["branch"] else commit)


def moment(at: str) -> str:
    """An RFC 3339 moment as people write it."""
    return at.replace("T", " ").replace("Z", " UTC")
