"""Finds pieces of secrets, whatever a program put between their characters.

Programs cut values (`'first25...last25'`), wrap them over lines and columns, write them in capitals, character by
character or with NULs between, and part their bytes. What all of that leaves are the letters and digits in their order:
only these are compared, of the text and of the value, in plain and as hexadecimal and base64.

**How much of a value is a piece.** So much that it does not occur by chance: `_ENOUGH` bits. A megabyte of a log has
2^20 places, and fifty secrets have 2^13 pieces in plain, hexadecimal and base64: were all of it random, one megabyte in
2^15 would have a false alarm. A letter in random order has 6 bits (5.2, in fact, as capitals do not count), a digit of
hexadecimal 4. But all letters of a word together have no more than 11, as about 2^11 words are in use: a passphrase may
have `connection` in it and a log, too, and not even four of its words in a row are enough (`acme-shop-prod-db`). A
digit has 3, as logs are full of numbers. So it takes about 9 characters of a token, 8 of base64, 12 of hexadecimal,
16 digits, or five words. At the end of a line, what continues it on the next one counts.

Half of that (`_HALF`) is enough for the whole of a value, and where a program says that it cut: next to an ellipsis
(not of base64, of which that would be four characters).
"""

from __future__ import annotations

import base64
import re
from itertools import accumulate, compress
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from slipway.contract.secret_forms.forms import Forms

__all__ = ["Piece", "Pieces"]

_ENOUGH = 48
_HALF = 24
_LETTER, _HEX, _DIGIT, _WORD, _WORDS_LETTER = 6, 4, 3, 11, 2  # bits
_LONGEST_WORD = 16  # letters; what is longer is several, and nobody knows where they part

# Every how many characters a text is looked at, for so many: each piece of 8 has these at one such place.
_STEP = 4
_GRAM = 5
_ALIKE = 4  # places of a gram are not told apart any further: a value of one character has no others
# How far the rest of a value may be from such a piece: a line's end, a prefix of the log and an offset.
_NEAR = 120

_LOWER = b"0123456789abcdefghijklmnopqrstuvwxyz"
_KEPT = _LOWER + _LOWER[10:].upper()
_FOLDED = bytes.maketrans(_KEPT, _LOWER + _LOWER[10:])
_DROPPED = bytes({*range(256)} - {*_KEPT})
_IS_KEPT = bytes(each in _KEPT for each in range(256))
_RUN = re.compile(rb"[A-Z]?[a-z]+|[A-Z]+|\d")
_CUT_BEHIND = re.compile(r"[^\w\s]{0,8}?(?:\.\.|\u2026)")
_CUT_BEFORE = re.compile(r"(?:\.\.|\u2026)[^\w\s]{0,8}\Z")
_LINE_END = re.compile(r"[^\w\n]{0,80}\n")
# The end of base64, which holds bits of what comes behind the value: next to a piece, or on a line of its own.
_REST = re.compile(r"[\w+/-]{1,3}={0,2}(?![\w+/=-])|={1,2}(?![\w=-])", re.ASCII)
_LAST = re.compile(r"(?<![\w+/=-])[\w+/-]{2,3}={1,2}(?![\w+/=-])", re.ASCII)


class Piece(NamedTuple):
    """A piece of a secret in a text."""

    start: int
    end: int
    name: str
    parted: bool
    """Bytes in hexadecimal with something between them, as in a dump."""


class _Form(NamedTuple):
    name: str
    kind: str
    raw: bytes
    content: bytes
    """its letters and digits"""
    bits: Sequence[float]
    """that the beginning of it tells up to each place"""

    def around(self, raw: bytes, start: int, end: int, first: int, last: int) -> tuple[int, int]:
        """Start and end of the piece from `first` to `last` in `raw` with what else stands next to it in both."""
        places = _places(self.raw)
        start -= _alike(raw, start, self.raw, places[first], -1)
        return start, end + _alike(raw, end, self.raw, places[last - 1] + 1, 1)


class Pieces:
    """The pieces of all secrets; as fast with many as with one."""

    def __init__(self) -> None:
        self._grams: dict[bytes, list[tuple[_Form, int]]] = {}

    def add(self, name: str, forms: Forms) -> None:
        """Take those of a value."""
        taken: list[bytes] = []
        for plain in forms.telling:
            content = _bare(_bytes(plain))
            if not any(content in each for each in taken):
                taken.append(content)
                bits = [*accumulate(_word_bits(_bytes(plain)), initial=0)]
                self._take(_Form(name, "plain", _bytes(plain), content, bits))
        for raw in forms.raw():
            self._take(_flat(name, "hex", raw.hex().encode(), _HEX))
            for cut in range(3):
                self._take(_flat(name, "base64", base64.b64encode(raw[cut:]), _LETTER))

    def _take(self, form: _Form) -> None:
        for at in range(len(form.content) - _GRAM + 1):
            alike = self._grams.setdefault(form.content[at : at + _GRAM], [])
            if len(alike) < _ALIKE:
                alike.append((form, at))

    def found(self, text: str) -> Iterator[Piece]:
        """Where in `text` pieces stand, and what continues them on the lines before and after."""
        raw = _bytes(text)
        bare, grams = _bare(raw), self._grams
        hits = [at for at in range(0, len(bare), _STEP) if bare[at : at + _GRAM] in grams]
        places = _places(raw) if hits else []
        done = 0
        for hit in hits:
            for form, at in grams[bare[hit : hit + _GRAM]] if hit >= done else ():
                before, after = _alike(bare, hit, form.content, at, -1), _alike(bare, hit, form.content, at, 1)
                start, end, first, last = hit - before, hit + after, at - before, at + after
                if form.bits[last] - form.bits[first] <= _WORD:
                    continue
                spans = [(start, end), *_continued(bare, start, form.content[:first], end, form.content[last:])]
                if not _is_enough(text, places, form, (first, last), spans):
                    continue
                done = max(done, end)
                for begun, stop in spans:
                    parted = form.kind == "hex" and places[stop - 1] - places[begun] >= stop - begun
                    yield Piece(places[begun], places[stop - 1] + 1, form.name, parted)
                if form.kind == "plain":
                    around = form.around(raw, places[start], places[end - 1] + 1, first, last)
                    yield Piece(*around, form.name, parted=False)
                if form.kind == "base64" and (close := _close(text, places[max(spans)[1] - 1] + 1)):
                    yield Piece(*close, form.name, parted=False)


def _bytes(text: str) -> bytes:
    """A byte for each character."""
    return text.encode("latin-1", "replace")


def _bare(raw: bytes) -> bytes:
    return raw.translate(_FOLDED, _DROPPED)


def _places(raw: bytes) -> list[int]:
    """Where the letters and digits are."""
    return [*compress(range(len(raw)), raw.translate(_IS_KEPT))]


def _flat(name: str, kind: str, encoded: bytes, bits: int) -> _Form:
    content = _bare(encoded)
    return _Form(name, kind, encoded, content, range(0, bits * len(content) + 1, bits))


def _word_bits(raw: bytes) -> Iterator[float]:
    for run in _RUN.findall(raw):
        each = _WORDS_LETTER if len(run) > _LONGEST_WORD else min(_LETTER, _WORD / len(run))
        yield from [_DIGIT if run.isdigit() else each] * len(run)


def _is_enough(
    text: str, places: Sequence[int], form: _Form, piece: tuple[int, int], spans: Sequence[tuple[int, int]]
) -> bool:
    """Whether a piece of `form` can hardly be chance: it is the first of `spans`, the others are what continues it."""
    first, last = piece
    start, end = spans[0]
    told = form.bits[last] - form.bits[first]
    if told >= _ENOUGH:
        return True
    begin, finish = places[start], places[end - 1] + 1
    if (
        told >= _HALF
        and form.kind != "base64"
        and (
            last - first == len(form.content)
            or _CUT_BEHIND.match(text, finish)
            or _CUT_BEFORE.search(text[max(0, begin - 11) : begin])
        )
    ):
        return True
    low = first - sum(stop - begun for begun, stop in spans if stop <= start)
    high = last + sum(stop - begun for begun, stop in spans if begun >= end)
    return form.bits[high] - form.bits[low] >= _ENOUGH and all(
        _LINE_END.match(text, places[stop - 1] + 1) for _, stop in sorted(spans)[:-1]
    )


def _alike(text: bytes, place: int, form: bytes, at: int, way: int) -> int:
    """How many characters of `text` from `place` on, or before it, are those of `form` from `at` on, or before it."""
    most, back = (min(len(text) - place, len(form) - at), 0) if way > 0 else (min(place, at), -1)
    found = (each for each in range(most) if text[place + back + way * each] != form[at + back + way * each])
    return next(found, most)


def _continued(text: bytes, start: int, before: bytes, end: int, after: bytes) -> Iterator[tuple[int, int]]:
    """What continues the piece from `start` to `end`, near or behind a cut, too short to be found alone."""
    while len(before) >= _STEP and (at := text.rfind(before[-_STEP:], max(0, start - _NEAR), start)) >= 0:
        size = _alike(text, at + _STEP, before, len(before), -1)
        start, before = at + _STEP - size, before[:-size]
        yield start, start + size
    while len(after) >= _STEP and (at := text.find(after[:_STEP], end, end + _NEAR)) >= 0:
        size = _alike(text, at, after, 0, 1)
        end, after = at + size, after[size:]
        yield at, end
    size, most = _STEP, min(len(before), start)
    while size <= most and text[start - size : start] in before:
        size += 1
    if size > _STEP:
        yield start - size + 1, start
    size, most = _STEP, min(len(after), len(text) - end)
    while size <= most and text[end : end + size] in after:
        size += 1
    if size > _STEP:
        yield end, end + size - 1


def _close(text: str, end: int) -> tuple[int, int] | None:
    """The very end of base64."""
    found = _REST.match(text, end) or _LAST.search(text, end, end + _NEAR)
    return found and found.span()
