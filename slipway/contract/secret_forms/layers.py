"""Undoes what programs do to a text, one layer at a time, and knows where its characters stood before.

Escapes and colours change a few characters of a text, which stays one: `Layer`. Base64, base32 and lists of numbers
hide a text of their own in it: `hidden_in`.
"""

from __future__ import annotations

import base64
import re
from bisect import bisect_right
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["Hidden", "Layer", "hidden_in"]

# One character as programs write it; where they write bytes, several are one character of UTF-8.
_H = r"[\da-fA-F]"
_ESCAPE = re.compile(
    r"""[%\\&'"$=0\x1b\0\xad\u200b-\u200d\u2060\ufeff\s](?:"""  # a set to begin with is what makes it fast
    rf"(?<=%)(?:[c-fC-F]{_H}(?:%[89abAB]{_H}){{1,3}}|{_H}{{2}}|u{_H}{{4}})"
    rf"|(?<=\\)(?:x[c-fC-F]{_H}(?:\\x[89abAB]{_H}){{1,3}}|x{_H}{{2}}|3[0-7]{{2}}(?:\\2[0-7]{{2}}){{1,3}}|[0-3][0-7]{{2}}"
    rf"|u[dD][89abAB]{_H}{{2}}\\u[dD][c-fC-F]{_H}{{2}}|u{_H}{{4}}|u\{{{_H}{{1,5}}\}}|U000{_H}{{5}}|(?s:.))"
    rf"|(?<=&)(?:#\d{{1,7}}|#[xX]{_H}{{1,6}}|[A-Za-z]\w{{1,31}});"
    r"""|(?<=')(?:"'"'|\\''|')|(?<=")(?:'"'"|")|(?<=\$)\$"""
    rf"|(?<==)(?:3D|[C-F]{_H}(?:=[89AB]{_H}){{1,3}})"  # quoted-printable
    rf"|(?<=0)(?<!\w0)[xX](?={_H}{{2}})"
    r"|(?<=\x1b)(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,300}(?:\x07|\x1b\\)|[@-Z^_])"  # colours, titles and links
    r"|(?<=[\0\xad\u200b-\u200d\u2060\ufeff])"  # UTF-16, and what has no width
    r"|(?<=[^\S ])\s*|(?<= )\s+)"
)
_LETTERS = dict(zip("abefnrtv0", "\a\b\x1b\f\n\r\t\v\0"))

# Base64, base32 over lines, bytes as decimals or octals, and words of od and hexdump: some, or those behind an offset.
_BEHIND_OFFSET = r"(?<=[\da-f]{6}0[ +])"
_BYTES = rf"(?:{_BEHIND_OFFSET}|(?=(?:\d{{1,3}}[\s,+]{{1,20}}){{3}}\d))\d{{1,3}}(?:[\s,+]{{1,20}}\d{{1,3}})*"
_WORD = "|".join(
    rf"(?:{_BEHIND_OFFSET}{word}|{word}(?=[ +]{{1,3}}{word}))(?:[ +]{{1,3}}{word})*"
    for word in (r"[\da-f]{8}", "[0-7]{6}", r"[\da-f]{4}")
)
_HIDDEN = re.compile(
    r"(?<![\w/%\\-])(?:(?P<base32>[A-Z2-7]{12,}(?:\s{1,20}[A-Z2-7]+)*)(?![\w+/%\\-])"
    r"|(?P<base64>(?=[\da-fA-F+]*[g-zG-Z/_-])[\w+/-]{16,})(?![\w+/%\\-])"
    rf"|(?:(?P<bytes>{_BYTES})|(?P<words>{_WORD}))(?![\w.]))",
    re.ASCII,
)
_NUMBER = re.compile(r"\w+")
_OCTAL = 8
_WORDS = {4: (16, 2), 6: (_OCTAL, 2), 8: (16, 4)}  # base and size of those of so many digits
_ALPHABET = str.maketrans("+/", "-_")  # of base64 in URLs
_MANY = 4
# How, in how many characters at a time, and how many of them one more than bytes make.
_DECODERS = ((base64.urlsafe_b64decode, 4, (1,)), (base64.b32decode, 8, (1, 3, 6)))


class Layer:
    """A text with one layer of escapes undone."""

    def __init__(self, text: str) -> None:
        self.ends: list[int] = []  # of what the escapes became
        self._spans = [(0, 0)]  # of the escapes
        pieces: list[str] = []
        last = length = 0
        for match in _ESCAPE.finditer(text):
            start, end = match.span()
            character = _undone(match[0])
            pieces += text[last:start], character
            length += start - last + len(character)
            last = end
            self.ends.append(length)
            self._spans.append((start, end))
        self.text = "".join([*pieces, text[last:]])

    def origin(self, at: int) -> tuple[int, int]:
        """Start and end of what the character at `at` was."""
        past = bisect_right(self.ends, at)  # escapes that end before it
        here = self._spans[past][1] + at - (self.ends[past - 1] if past else 0)
        following = self._spans[past + 1 : past + 2]
        return following[0] if following and here >= following[0][0] else (here, here + 1)


class Hidden:
    """What base64, base32 and numbers in a text say, in one piece: lines of a dump continue one another."""

    def __init__(self, found: Iterable[tuple[int, int, str]]) -> None:
        self._ends: list[int] = []
        self._spans: list[tuple[int, int]] = []
        pieces: list[str] = []
        length = 0
        for start, end, said in found:
            pieces.append(said)
            length += len(said)
            self._ends.append(length)
            self._spans.append((start, end))
        self.text = "".join(pieces)

    def origin(self, at: int) -> tuple[int, int]:
        """Start and end of what said the character at `at`."""
        return self._spans[bisect_right(self._ends, at)]


def hidden_in(text: str) -> Hidden:
    """All that `text` hides; its own text is empty if that is nothing."""
    return Hidden(_said(text))


def _said(text: str) -> Iterator[tuple[int, int, str]]:
    octal: list[tuple[int, int, str]] = []  # or decimal
    for match in _HIDDEN.finditer(text):
        kind, run = str(match.lastgroup), match[0]
        if kind in ("bytes", "words"):
            numbers = [(each[0], match.start() + each.start()) for each in _NUMBER.finditer(run)]
            if kind == "words":
                yield from _characters(numbers, *_WORDS[len(numbers[0][0])])
                continue
            yield from _characters(numbers, 10, 1)
            if not {*run} & {*"89"}:
                octal += _characters(numbers, _OCTAL, 1)
        else:
            yield from ((*match.span(), said) for said in _decoded(run, kind))
    yield from octal


def _characters(numbers: Iterable[tuple[str, int]], base: int, size: int) -> Iterator[tuple[int, int, str]]:
    for number, start in numbers:
        raw = (int(number, base) % 256**size).to_bytes(size, "little")
        yield start, start + len(number), raw.decode("latin-1")


def _decoded(run: str, kind: str) -> Iterator[str]:
    """What `run` says in UTF-8 or UTF-16, if it is that."""
    run = "".join(run.split()).translate(_ALPHABET)
    for decode, quantum, spare in _DECODERS[: 1 + (kind == "base32")]:
        body = run[: len(run) - (len(run) % quantum in spare)]
        raw = decode(body + "=" * (-len(body) % quantum))
        said = raw.decode("utf-16-le" if raw[1::2].count(0) * _MANY > len(raw) else "utf-8", "replace")
        if said.count("\ufffd") * _MANY < len(said):
            yield said


def _undone(escape: str) -> str:
    """The character that an escape stands for."""
    first, second = escape[0], escape[1:2]
    if first == "&":
        from html import unescape  # noqa: PLC0415 - rare, and a large table

        return unescape(escape) or "\x1b"  # nothing is what it makes of those that HTML forbids
    if first not in "%\\=":
        return " " if first.isspace() else first if first in "'\"$" else ""
    if escape[2:] and second in "uU":
        units = "".join(chr(int(each, 16)) for each in re.findall(_H + "+", escape))
        return units.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
    if first == "\\" and not escape[2:]:
        return _LETTERS.get(second, second)
    octal = second.isdigit() and first == "\\"
    raw = bytes(int(each, 8 if octal else 16) for each in re.findall(_H + "+", escape))
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
