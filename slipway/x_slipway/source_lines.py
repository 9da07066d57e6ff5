"""Where in the user's own Compose files a key or an entry stands.

What stands in another file (`extends`, `include`) or nowhere is shown by its path instead.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, NamedTuple

import yaml

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

__all__ = ["SourceLines", "SourcePlace"]


class SourcePlace(NamedTuple):
    """Where something stands, in words that go into a sentence."""

    shown: str
    """`compose.yaml, line 12`, or the path of keys."""
    text: str
    """That line of the file; empty when it is not known."""


class SourceLines:
    """The lines of the Compose files, of which the later are merged over the earlier; read when first asked for."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    def place(self, *path: str | int, holding: str = "") -> SourcePlace:
        """The place of `path`, in the last file that has it: keys, and numbers of entries, from the top of the file.

        `holding` is text that an entry must hold, for the last number of a list that Compose may have put in order
        or together.
        """
        for file, (node, lines) in reversed(self._parsed):
            line, here = -1, node
            for part in path:
                found = _step(here, part, holding, merged=len(self._files) > 1)
                if found is None:
                    break
                here, line = found
            else:
                return SourcePlace(f"{file.name}, line {line + 1}", lines[line].strip())
        return SourcePlace(".".join(map(str, path)), "")

    @functools.cached_property
    def _parsed(self) -> list[tuple[Path, tuple[yaml.Node | None, list[str]]]]:
        """Every file with its top node and its lines."""
        return [(file, _read(file)) for file in self._files]


def _read(file: Path) -> tuple[yaml.Node | None, list[str]]:
    try:
        text = file.read_text(encoding="utf-8")
        return yaml.compose(text, Loader=yaml.SafeLoader), text.splitlines()
    except (OSError, ValueError, yaml.YAMLError):
        return None, []


def _step(node: yaml.Node | None, part: str | int, holding: str, *, merged: bool) -> tuple[yaml.Node, int] | None:
    """The node one step further, and its line counted from 0; a number says nothing of a list that is `merged`."""
    if isinstance(part, str):
        if not isinstance(node, yaml.MappingNode):
            return None
        for key, value in node.value:
            if key.value == part:
                return value, key.start_mark.line
        for key, value in node.value:
            if key.value == "<<":  # merged in: an anchor's mapping, or several
                for each in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    if found := _step(each, part, holding, merged=merged):
                        return found
        return None
    if not isinstance(node, yaml.SequenceNode):
        return None
    entries = [entry for entry in node.value if holding and _holds(entry, holding)]
    numbered = node.value[part] if part < len(node.value) and not merged else None
    entry = entries[0] if len(entries) == 1 else numbered
    return (entry, entry.start_mark.line) if entry is not None else None


def _holds(node: yaml.Node, text: str) -> bool:
    if isinstance(node, yaml.MappingNode):
        return any(_holds(value, text) for _, value in node.value)
    return isinstance(node, yaml.ScalarNode) and text in str(node.value).split(":")
