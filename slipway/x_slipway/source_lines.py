"""Where in the user's own Compose file a key or an entry stands.

What stands in another file (`extends`, `include`) or nowhere is shown by its path instead.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import yaml

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["SourceLines", "SourcePlace"]


class SourcePlace(NamedTuple):
    """Where something stands, in words that go into a sentence."""

    shown: str
    """`compose.yaml, line 12`, or the path of keys."""
    text: str
    """That line of the file; empty when it is not known."""


class SourceLines:
    """The lines of one Compose file; read when first asked for."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def place(self, *path: str | int, holding: str = "") -> SourcePlace:
        """The place of `path`: keys, and numbers of entries, from the top of the file.

        `holding` is text that an entry must hold, for the last number of a list that Compose may have put in order.
        """
        (node, lines), line = self._parsed, -1
        for part in path:
            found = _step(node, part, holding)
            if found is None:
                return SourcePlace(".".join(map(str, path)), "")
            node, line = found
        return SourcePlace(f"{self._file.name}, line {line + 1}", lines[line].strip())

    @functools.cached_property
    def _parsed(self) -> tuple[yaml.Node | None, list[str]]:
        """The file's top node, and its lines."""
        try:
            text = self._file.read_text(encoding="utf-8")
            return yaml.compose(text, Loader=yaml.SafeLoader), text.splitlines()
        except (OSError, ValueError, yaml.YAMLError):
            return None, []


def _step(node: yaml.Node | None, part: str | int, holding: str) -> tuple[yaml.Node, int] | None:
    """The node one step further, and its line counted from 0."""
    if isinstance(part, str):
        if not isinstance(node, yaml.MappingNode):
            return None
        for key, value in node.value:
            if key.value == part:
                return value, key.start_mark.line
        for key, value in node.value:
            if key.value == "<<":  # merged in: an anchor's mapping, or several
                for merged in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if found := _step(merged, part, holding):
                        return found
        return None
    if not isinstance(node, yaml.SequenceNode):
        return None
    entries = [entry for entry in node.value if holding and _holds(entry, holding)]
    entry = entries[0] if len(entries) == 1 else node.value[part] if part < len(node.value) else None
    return (entry, entry.start_mark.line) if entry is not None else None


def _holds(node: yaml.Node, text: str) -> bool:
    if isinstance(node, yaml.MappingNode):
        return any(_holds(value, text) for _, value in node.value)
    return isinstance(node, yaml.ScalarNode) and text in str(node.value).split(":")
