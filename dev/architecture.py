"""Draws the rooms of the program from the import contract: `.venv/bin/python -m dev.architecture` writes both files.

What may import what is read from `[tool.importlinter]`, what a room holds from its docstring: nothing is said twice.
"""

from __future__ import annotations

import ast
import re
import textwrap
import tomllib
from html import escape
from pathlib import Path
from typing import Any

__all__ = ["PAGE", "PICTURE", "contracts", "page", "picture"]

_ROOT = Path(__file__).resolve().parents[1]
PAGE = _ROOT / "docs/architecture.md"
PICTURE = _ROOT / "docs/architecture.svg"
_MARKED = re.compile(r"(<!-- rooms: .* -->\n).*(<!-- end -->)", re.DOTALL)
_LEFT, _WIDTH, _SIDE, _ROW, _GAP = 44, 560, 300, 64, 12  # of the picture, in its own units
_HEAD = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {0} {1}" width="{0}" height="{1}" role="img"
  aria-label="The rooms of Slipway and the one direction of their imports" font-family="system-ui, sans-serif">
  <style>
    .room {{ fill: #ffffff; stroke: #c9d1d9; }} .side {{ fill: #eef6f3; stroke: #9cc9b8; }}
    .name {{ fill: #1b2733; font-size: 14px; font-weight: 650; font-family: ui-monospace, Menlo, Consolas, monospace; }}
    .text {{ fill: #45535f; font-size: 12.5px; }} .note {{ fill: #7d8b99; font-size: 12.5px; }}
    .line {{ fill: none; stroke: #7d8b99; stroke-width: 1.75; }} .head {{ fill: #7d8b99; }}
    @media (prefers-color-scheme: dark) {{
      .room {{ fill: #161b22; stroke: #3b4552; }} .side {{ fill: #14231f; stroke: #2f5f50; }}
      .name {{ fill: #e6edf3; }} .text {{ fill: #a9b6c3; }}
    }}
  </style>
  <defs><marker id="arrow" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" orient="auto">
    <path class="head" d="M0 0 10 5 0 10z"/></marker></defs>"""


def contracts() -> list[dict[str, Any]]:
    """The import contracts that `make check` holds."""
    found: dict[str, Any] = tomllib.loads((_ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    return list(found["contracts"])


def _layers(rules: list[dict[str, Any]]) -> list[str]:
    return next(list(rule["layers"]) for rule in rules if rule["type"] == "layers")


def _rooms(rules: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Every room and the rooms that it may import: those of the layers from top to bottom, then the others."""
    layers = _layers(rules)
    packages = {f"slipway.{file.parent.name}" for file in (_ROOT / "slipway").glob("*/__init__.py")}
    rooms = [*layers, *sorted((packages | {"components", "dev"}) - set(layers))]
    forbidden = {(low, high) for place, low in enumerate(layers) for high in layers[:place]}
    for rule in (rule for rule in rules if rule["type"] == "forbidden"):
        forbidden |= {(source, target) for source in rule["source_modules"] for target in rule["forbidden_modules"]}

    def may(source: str, target: str) -> bool:
        package = source.partition(".")[0]  # a rule for a package holds for the rooms in it
        return source != target and not {(source, target), (package, target)} & forbidden

    return {room: [target for target in rooms if may(room, target)] for room in rooms}


def _holds(room: str) -> str:
    """What a room holds: the first line of its docstring."""
    text = ast.get_docstring(ast.parse((_ROOT / room.replace(".", "/") / "__init__.py").read_text())) or ""
    return text.partition("\n")[0]


def page(text: str, rules: list[dict[str, Any]]) -> str:
    """The page `text` with the rooms and the rules between its markers."""
    lines = ["| room | what it holds | may import |", "| --- | --- | --- |"]
    for room, targets in _rooms(rules).items():
        names = ", ".join(target.rpartition(".")[2] for target in targets) or "none"
        lines.append(f"| `{room.replace('.', '/')}/` | {_holds(room)} | {names} |")
    lines += ["", *(f"- {rule['name']}." for rule in rules), ""]
    return _MARKED.sub(lambda found: found[1] + "\n".join(lines) + found[2], text)


def _box(room: str, x: int, y: int, width: int) -> tuple[list[str], int]:
    """The shapes of a room, and where its box ends."""
    lines = textwrap.wrap(_holds(room).replace("`", ""), (width - 28) // 7)
    height, kind = max(_ROW, 32 + 16 * len(lines)), "room" if x == _LEFT else "side"
    shapes = [f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}" rx="8"/>']
    shapes.append(f'<text class="name" x="{x + 14}" y="{y + 21}">{room.replace(".", "/")}</text>')
    for below, line in enumerate(lines):
        shapes.append(f'<text class="text" x="{x + 14}" y="{y + 39 + 16 * below}">{escape(line)}</text>')
    return shapes, y + height


def picture(rules: list[dict[str, Any]]) -> str:
    """The rooms as SVG: the layers as a column; beside it the others, with an arrow to the highest they may import."""
    rooms, layers = _rooms(rules), _layers(rules)
    top, right, shapes, free = dict[str, int](), _LEFT + _WIDTH, list[str](), 8
    for room in layers:
        top[room] = free
        drawn, bottom = _box(room, _LEFT, free, _WIDTH)
        shapes, free = shapes + drawn, bottom + _GAP
    line = '<path class="line" marker-end="url(#arrow)" d="{}"/>'
    shapes.append(line.format(f"M{_LEFT - 16} 8V{bottom}"))
    shapes.append(
        f'<text class="note" transform="translate({_LEFT - 24} {bottom // 2 + 24}) rotate(-90)">imports</text>'
    )
    free = 8
    for room in sorted(set(rooms) - set(layers), key=lambda room: (-len(rooms[room]), room)):
        reached = [each for each in layers if each in rooms[room]]
        if not reached or reached != layers[layers.index(reached[0]) :]:
            raise ValueError(f"{room} may import {reached}: no single arrow shows that")
        drawn, end = _box(room, right + 56, max(free, top[reached[0]]), _SIDE)
        middle = max(free, top[reached[0]]) + _ROW // 2
        drawn.append(line.format(f"M{right + 56} {middle}H{right + 28}V{top[reached[0]] + _ROW // 2}H{right + 1}"))
        shapes, free, bottom = shapes + drawn, end + _GAP, max(bottom, end)
    return "\n".join([_HEAD.format(right + 56 + _SIDE + 8, bottom + 8), *shapes, "</svg>\n"])


if __name__ == "__main__":
    PICTURE.write_text(picture(contracts()))
    PAGE.write_text(page(PAGE.read_text(), contracts()))
