"""Keeps secret values out of all that is printed or stored, in every form, and makes text of others harmless there."""

from __future__ import annotations

import base64
import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["FREE_TEXT", "Redactor", "printable", "unmarked"]

FREE_TEXT = frozenset(("what", "meaning", "fix", "reason", "warnings", "interrupted", "lock", "verdict", "actor"))
"""Where documents between agent and driver have sentences; everything else in them is names, numbers and digests."""

# Shorter values ("1", "on") occur everywhere: replacing them would hide the message and betray the value by its gaps.
SHORTEST = 4
# Shorter pieces of base64 occur by chance.
_BASE64_CORE = 12


class Redactor:
    """Replaces each secret value, in each form it can take, by its name in brackets; longest first."""

    def __init__(self, *secrets: Mapping[str, str]) -> None:
        names: dict[str, str] = {}
        for values in secrets:
            for name, value in values.items():
                for form in _forms(value):
                    names.setdefault(form, name)
        self._names = names
        ordered = sorted(names, key=len, reverse=True)
        self._pattern = re.compile("|".join(re.escape(form) for form in ordered)) if ordered else None

    def document(self, content: Any, key: str = "") -> Any:  # noqa: ANN401 - JSON
        """`content` with its free text redacted, and all else as it is.

        A secret may be `false`, `postgres` or `release`: in a key, a name, a digest or a number it tells nothing, and
        whoever reads the document would no longer understand it.
        """
        if isinstance(content, dict):
            return {name: self.document(value, name) for name, value in content.items()}
        if isinstance(content, list):
            return [self.document(each, key) for each in content]
        return self.text(content) if key in FREE_TEXT and isinstance(content, str) else content

    def text(self, text: str) -> str:
        """`text` without any secret value."""
        if self._pattern is None:
            return text
        return self._pattern.sub(lambda match: f"[{self._names[match.group()]}]", text)


def _forms(value: str) -> Iterator[str]:
    for plain in {value, value.strip(), *(line.strip() for line in value.splitlines())}:
        if len(plain) < SHORTEST:
            continue
        yield plain
        yield json.dumps(plain)[1:-1]
        yield json.dumps(plain, ensure_ascii=False)[1:-1]
        yield repr(plain)[1:-1]
        yield quote(plain, safe="")
        yield quote(plain)
        yield quote_plus(plain)
        yield plain.replace("$", "$$")
        yield from _base64_forms(plain.encode("utf-8", "surrogatepass"))


def _base64_forms(raw: bytes) -> Iterator[str]:
    """Base64 of the value alone and, for values long enough, of the value at each of the three alignments."""
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(raw).decode()
        yield encode(raw).decode().rstrip("=")
        for shift in range(3):
            # The first and last quanta mix with the neighbours: only the whole quanta between them are certain.
            body = raw[(3 - shift) % 3 :]
            core = encode(body[: len(body) - len(body) % 3]).decode()
            if len(core) >= _BASE64_CORE:
                yield core


def printable(text: str) -> str:
    """`text` on one line that does nothing to a terminal or the engine: what cannot be printed shows as its escape."""
    return unmarked("".join(map(_visible, text)))


def unmarked(text: str) -> str:
    """`text` without what the engine takes for a colour: at one that it does not know, it panics."""
    return text.replace("<{%", "< {%")


def _visible(character: str) -> str:
    if character in "\t\n":
        return " "
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
