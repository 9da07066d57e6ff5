"""Keeps secret values out of all that is printed or stored, in every form, and makes text of others harmless there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from slipway.contract.secret_forms.forms import LAYERS, SHORTEST, Forms
from slipway.contract.secret_forms.layers import Hidden, Layer, hidden_in
from slipway.contract.secret_forms.pieces import Pieces

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

__all__ = ["FREE_TEXT", "Redactor", "printable", "unmarked"]

FREE_TEXT = frozenset(("what", "meaning", "fix", "reason", "warnings", "interrupted", "lock", "verdict", "actor"))
"""Where documents between agent and driver have sentences; everything else in them is names, numbers and digests."""

# Characters of a sentence in a document, which has to fit on one line of 64 KiB.
_MOST = 2000
# Every how many characters a text is looked at for whole forms.
_STEP = 4

_H = r"[\da-fA-F]"
# The text that stands behind the bytes of a line of a dump.
_RUNNERS_WORD = re.compile(r"##(?=\[|vso\[|teamcity\[)")  # begins a command of a CI runner, anywhere in a line
_COLUMN = re.compile(
    rf"(?m)(?:[ :]{{0,2}}{_H}{{2}}){{0,64}}"
    r"(?: {2,60}|(?<=  \S)|(?<=  \S\S)|(?<=  \S{3})|(?<=  \S{4}))\|?[^\n]{1,34}$"  # it may begin like the next byte
)


class Redactor:
    """Replaces each secret value, in each form it can take, by its name in brackets; longest first.

    It looks at the text as it is, then with its escapes undone, layer by layer, and at what base64 and numbers in each
    of them say: forms mix, and nobody can list them. What is left of them all is values, whole or in pieces.
    """

    def __init__(self, *secrets: Mapping[str, str], shown: Collection[str] = ()) -> None:
        """`shown` are words that all may read: hiding them would hide what is said, and tell the secret."""
        self._names: dict[str, str] = {}
        self._pieces = Pieces()
        for values in secrets:
            for name, value in values.items():
                forms = Forms(value)
                for form in forms.whole():
                    if len(form.strip()) >= SHORTEST and form not in shown:
                        self._names.setdefault(form.replace("+", " "), name)
                self._pieces.add(name, forms)
        self._short = [form for form in self._names if len(form) < 2 * _STEP - 1]
        self._starts: dict[str, list[tuple[str, int]]] = {}
        """form and offset in it of what is at a multiple of `_STEP` wherever a longer form is"""
        for form in self._names.keys() - self._short:
            for offset in range(_STEP):
                self._starts.setdefault(form[offset : offset + _STEP], []).append((form, offset))

    def document(self, content: Any, key: str = "") -> Any:  # noqa: ANN401 - JSON
        """`content` with its free text redacted and in brief, and all else as it is.

        A secret may be `false`, `postgres` or `release`: in a key, a name, a digest or a number it tells nothing, and
        whoever reads the document would no longer understand it.
        """
        if isinstance(content, dict):
            return {name: self.document(value, name) for name, value in content.items()}
        if isinstance(content, list):
            return [self.document(each, key) for each in content]
        return self.brief(content, _MOST) if key in FREE_TEXT and isinstance(content, str) else content

    def text(self, text: str) -> str:
        """`text` without any secret value."""
        pieces, shown, last = [], 0, ""
        for start, end, name, parted in sorted(self._found(text), key=lambda each: (each[0], -each[1])):
            column = _COLUMN.match(text, end) if parted else None
            if start > shown or (start == shown and name != last):
                pieces += [text[shown:start], f"[{name}]"]
                last = name
            shown = max(shown, column.end() if column else end)
        return "".join([*pieces, text[shown:]])

    def brief(self, text: str, most: int, *, end: bool = False) -> str:
        """The beginning or the end of `text` without secrets: once it is cut, a part of one would not be found."""
        text = self.text(text)
        if len(text) <= most:
            return text
        return f"… {text[2 - most :]}" if end else f"{text[: most - 2]} …"

    def _found(self, text: str, layers: Sequence[Layer | Hidden] = ()) -> Iterator[tuple[int, int, str, bool]]:
        """Start, end and name of every secret in `text`, which is below `layers`, and whether it is parted bytes."""
        said = ""
        while self._names:
            for start, end, name in self._occurrences(text.replace("+", " ")):  # which it is in a query
                yield (*_origin(start, end, layers), name, False)
            for piece in self._pieces.found(text):
                yield (*_origin(piece.start, piece.end, layers), piece.name, piece.parted)
            if len(layers) == LAYERS:
                return
            hidden = hidden_in(text)
            if hidden.text and hidden.text != said:
                said = hidden.text
                yield from self._found(said, [*layers, hidden])
            layer = Layer(text)
            if not layer.ends:
                return
            layers, text = [*layers, layer], layer.text

    def _occurrences(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Where in `text` which forms stand, one upon another as one; as fast with many secrets as with one."""
        runs: dict[str, tuple[int, int]] = {}
        for at, form in self._places(text):
            start, last = runs.get(form, (at, at))
            if at >= last > start:
                yield start, last, self._names[form]
                start = at
            runs[form] = min(start, at), max(last, at + len(form))
        for form, (start, end) in runs.items():
            yield start, end, self._names[form]

    def _places(self, text: str) -> Iterator[tuple[int, str]]:
        for form in self._short:
            at = text.find(form)
            while at >= 0:
                yield at, form
                at = text.find(form, at + 1)
        starts = self._starts
        for place in [at for at in range(0, len(text), _STEP) if text[at : at + _STEP] in starts]:
            for form, offset in starts[text[place : place + _STEP]]:
                if place >= offset and text.startswith(form, place - offset):
                    yield place - offset, form


def _origin(start: int, end: int, layers: Sequence[Layer | Hidden]) -> tuple[int, int]:
    """Where what stands from `start` to `end` below `layers` stood above them."""
    first, last = start, end
    for layer in reversed(layers):
        first, last = layer.origin(first)[0], layer.origin(last - 1)[1]
    return first, last


def printable(text: str) -> str:
    """`text` on one line that does nothing to a terminal, the engine or a CI job: what cannot be printed is escaped."""
    shown = text if text.isprintable() else "".join(map(_visible, text.replace("\r\n", "\n").rstrip("\r")))
    return _RUNNERS_WORD.sub("## ", unmarked(shown))


def unmarked(text: str) -> str:
    """`text` without what the engine takes for a colour: at one that it does not know, it panics."""
    return text.replace("<{%", "< {%")


def _visible(character: str) -> str:
    if character in "\t\n" or (character.isspace() and character > "\x9f"):  # of any width
        return " "
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
