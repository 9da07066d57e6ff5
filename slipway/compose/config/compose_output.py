"""What Compose prints of a file, read as it means it."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import yaml

__all__ = ["read_yaml"]


def read_yaml(text: str) -> dict[str, Any]:
    """Compose's model."""
    read: dict[str, Any] = yaml.load(text, Loader=_ComposeLoader)  # noqa: S506  # a safe loader
    return read


class _ComposeLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # a choice at run time
    """Reads plain scalars as Compose's writer means them: YAML 1.2, without 1.1's dates, `=` and base 60.

    Why not JSON: `config --format json` drops what begins with x- (seen with 2.26).
    """

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


for _tag, _pattern, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _ComposeLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)
