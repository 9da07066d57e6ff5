"""What Compose prints of a file, read as it means it."""

from __future__ import annotations

import re
import secrets
from typing import TYPE_CHECKING, Any, ClassVar

import yaml

from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["loses_text", "read_yaml", "rewritten", "with_texts"]

_TAB = f"-tab-{secrets.token_hex(8)}-"  # libyaml takes one at the beginning of a text for an indentation
_LOSSY = re.compile(r"[:-] \|[-+]?\d|[\x85\u2028\u2029]")


def read_yaml(text: str) -> dict[str, Any]:
    """Compose's model; raises SlipwayError where what it prints is no YAML (2.26: a text that begins with U+2028)."""
    try:
        read = yaml.load(text.replace("\t", _TAB), Loader=_ComposeLoader)  # noqa: S506  # a safe loader
    except yaml.YAMLError as error:
        reason = getattr(error, "problem", None) or type(error).__name__
        what = f"what `docker compose config` makes of the Compose file is no YAML ({reason})"
        meaning = "a text in it has characters that Compose cannot write down, such as U+2028 or U+0085"
        raise SlipwayError(what, meaning, "take them out of it, or COPY that text into the image as a file") from None
    return dict(rewritten(read, lambda each: each.replace(_TAB, "\t"))) if "\t" in text else dict(read or {})


def loses_text(text: str) -> bool:
    """Whether what Compose prints may lack newlines with which a text begins: there it says the indentation."""
    return bool(_LOSSY.search(text))


def with_texts(model: Any, exact: Any) -> Any:  # noqa: ANN401  # JSON trees
    """The model with the texts of the same one as JSON, which loses none."""
    if isinstance(model, dict) and isinstance(exact, dict):
        return {key: with_texts(value, exact.get(key)) for key, value in model.items()}
    if isinstance(model, list) and isinstance(exact, list) and len(model) == len(exact):
        return [with_texts(*pair) for pair in zip(model, exact, strict=True)]
    return exact if isinstance(model, str) and isinstance(exact, str) else model


def rewritten(node: Any, change: Callable[[str], str]) -> Any:  # noqa: ANN401  # a JSON tree
    """The tree with every text in it changed, keys as well."""
    if isinstance(node, dict):
        return {rewritten(key, change): rewritten(value, change) for key, value in node.items()}
    if isinstance(node, list):
        return [rewritten(value, change) for value in node]
    return change(node) if isinstance(node, str) else node


class _ComposeLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]  # a choice at run time
    """Reads plain scalars as Compose's writer means them: YAML 1.2, without 1.1's dates, `=` and base 60.

    Why not JSON: `config --format json` drops what begins with x- (seen with 2.26). Only the texts are taken from it
    where its YAML loses something of them: of one that begins with an empty line, that line (2.26, too).
    """

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, re.Pattern[str]]]]] = {}


for _tag, _pattern, _first in (
    ("null", r"~|null|", ["~", "n", ""]),
    ("bool", r"true|false", ["t", "f"]),
    ("int", r"[-+]?[0-9]+", list("-+0123456789")),
    ("float", r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?", list("-+.0123456789")),
):
    _ComposeLoader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"^(?:{_pattern})$"), _first)
