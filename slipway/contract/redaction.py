"""Keeps secret values out of all that is printed or stored, in every form, and makes text of others harmless there."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["FREE_TEXT", "Redactor", "printable", "unmarked"]

FREE_TEXT = frozenset(("what", "meaning", "fix", "reason", "warnings", "interrupted", "lock", "verdict", "actor"))
"""Where documents between agent and driver have sentences; everything else in them is names, numbers and digests."""

# Shorter values ("1", "on") occur everywhere: replacing them would hide the message and betray the value by its gaps.
SHORTEST = 4
_BASE64_CORE = 8  # shorter pieces of base64 occur by chance
# A URL in JSON in a query of a URL: hardly a program writes more layers than these.
_LAYERS = 4
# Characters of a sentence in a document, which has to fit on one line of 64 KiB.
_MOST = 2000
# Every how many characters a text is looked at.
_STEP = 4
# Characters of an encoded value that tell of it: programs wrap what is long, and its lines may come one by one.
_PIECE = 8
_GRAM = _PIECE - _STEP + 1  # of which every piece has one at a multiple of `_STEP`
_ALIKE = 4  # grams are not told apart any further: a value of one character has no others
# How far the rest of a value may be from such a piece: a line's end, a prefix of the log and an offset.
_NEAR = 120

# One character as programs write it; where they write bytes, several are one character of UTF-8.
_H = r"[\da-fA-F]"
_ESCAPE = re.compile(
    r"""[%\\&'"$\s](?:"""  # a set to begin with is what makes it fast
    rf"(?<=%)(?:[c-fC-F]{_H}(?:%[89abAB]{_H}){{1,3}}|{_H}{{2}}|u{_H}{{4}})"
    rf"|(?<=\\)(?:x[c-fC-F]{_H}(?:\\x[89abAB]{_H}){{1,3}}|x{_H}{{2}}|3[0-7]{{2}}(?:\\2[0-7]{{2}}){{1,3}}|[0-3][0-7]{{2}}"
    rf"|u[dD][89abAB]{_H}{{2}}\\u[dD][c-fC-F]{_H}{{2}}|u{_H}{{4}}|u\{{{_H}{{1,5}}\}}|U000{_H}{{5}}|(?s:.))"
    rf"|(?<=&)(?:#\d{{1,7}}|#[xX]{_H}{{1,6}}|[A-Za-z]\w{{1,31}});"
    r"""|(?<=')(?:"'"'|\\''|')|(?<=")(?:'"'"|")|(?<=\$)\$"""
    r"|(?<=[^\S ])\s*|(?<= )\s+)"
)
_LETTERS = dict(zip("abefnrtv0", "\a\b\x1b\f\n\r\t\v\0"))

# Bytes in hexadecimal as od, xxd, OpenSSL and Node part them; and the text that stands behind those of a line.
_PARTED = re.compile(rf"(?s)[\s:,+-](?<={_H}{{2}}.)[\s:,+-]{{0,40}}(?:0[xX])?(?={_H}{{2}})")
_FOUR_PARTS = re.compile(rf"(?<!{_H})(?:{_H}{{2,32}}[\s:,+-]{{1,40}}(?:0[xX])?){{3}}{_H}{{2}}")
_COLUMN = re.compile(
    rf"(?m)(?:[ :]{{0,2}}{_H}{{2}}){{0,64}}"
    r"(?: {2,60}|(?<=  \S)|(?<=  \S\S)|(?<=  \S{3})|(?<=  \S{4}))\|?[^\n]{1,34}$"  # it may begin like the next byte
)
# The end of base64, which holds bits of what comes behind the value: next to a piece, or on a line of its own.
_REST = re.compile(r"[\w-]{1,3}={0,2}(?![\w=-])|={1,2}(?![\w=-])", re.ASCII)
_LAST = re.compile(r"(?<![\w=-])[\w-]{2,3}={1,2}(?![\w=-])", re.ASCII)
_ALPHABET = str.maketrans("+/", "-_")  # of base64 in URLs

# What tells by itself of a secret that is a URL, JSON, a query or a connection string: values whose name says so, ...
_ASSIGNED = re.compile(
    r"""(?i)(?:pass|pwd|secret|token|key|sig|cred)[\w.-]{0,40}(?<!type)(?<!ur[il])["']?\s{0,9}[=:]\s{0,9}"""
    r"""(?:"((?:\\.|[^"\\])*)"|'((?:''|[^'])*)'|([^\s;&,}"'][^\s;&,}]*))"""
)
# ... and keys in the path, the query and in place of the user of a URL.
_TOKEN = re.compile(r"[\w-]{16,}")
_PORT = re.compile(r"\d{1,5}/")


class Redactor:
    """Replaces each secret value, in each form it can take, by its name in brackets; longest first.

    It looks at the text as it is, then with its escapes undone, layer by layer: forms mix, and nobody can list them.
    """

    def __init__(self, *secrets: Mapping[str, str]) -> None:
        self._names: dict[str, str] = {}
        self._pieces: dict[str, list[tuple[str, int, str]]] = {}
        """gram → encoded value, place in it, name"""
        for values in secrets:
            for name, value in values.items():
                readings = _readings(value)
                for form in filter(_long, _forms(readings)):
                    self._names.setdefault(form.replace("+", " "), name)
                self._take_pieces(name, readings)
        self._short = [form for form in self._names if len(form) < 2 * _STEP - 1]
        self._starts: dict[str, list[tuple[str, int]]] = {}
        """form and offset in it of what is at a multiple of `_STEP` wherever a longer form is"""
        for form in self._names.keys() - self._short:
            for offset in range(_STEP):
                self._starts.setdefault(form[offset : offset + _STEP], []).append((form, offset))

    def _take_pieces(self, name: str, readings: Sequence[str]) -> None:
        taken: list[str] = []
        for text in (written for each in readings for written in _written(each)):
            if not any(text in each for each in taken):  # as each line of a key is in the key
                taken.append(text)
                for form in _whole(text.encode("utf-8", "surrogatepass")):
                    for at in range(len(form) - _GRAM + 1):
                        alike = self._pieces.setdefault(form[at : at + _GRAM], [])
                        if len(alike) < _ALIKE:
                            alike.append((form, at, name))

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
        for start, end, name in sorted(self._found(text), key=lambda each: (each[0], -each[1])):
            if start > shown or (start == shown and name != last):
                pieces += [text[shown:start], f"[{name}]"]
                last = name
            shown = max(shown, end)
        return "".join([*pieces, text[shown:]])

    def brief(self, text: str, most: int, *, end: bool = False) -> str:
        """The beginning or the end of `text` without secrets: once it is cut, a part of one would not be found."""
        text = self.text(text)
        if len(text) <= most:
            return text
        return f"… {text[2 - most :]}" if end else f"{text[: most - 2]} …"

    def _found(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Start, end and name of every secret in `text`."""
        whole, layers = text, list[_Layer]()
        while self._names:
            yield from self._found_in(text, layers)
            if _FOUR_PARTS.search(text):
                parted = _Layer(text, _PARTED)
                for start, end, name in self._found_in(parted.text, [*layers, parted]):
                    column = _COLUMN.match(whole, end)
                    yield start, column.end() if column else end, name
            layer = _Layer(text)
            if not layer.ends or len(layers) == _LAYERS:
                return
            layers.append(layer)
            text = layer.text

    def _found_in(self, text: str, layers: Sequence[_Layer]) -> Iterator[tuple[int, int, str]]:
        """The same of what the last layer left."""
        found = [*self._found_pieces(text.translate(_ALPHABET))]
        found += self._occurrences(text.replace("+", " "))  # which it is in a query
        for start, end, name in found:
            first, last = start, end
            for layer in reversed(layers):
                first, last = layer.origin(first)[0], layer.origin(last - 1)[1]
            yield first, last, name

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

    def _found_pieces(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Where in `text` pieces of encoded values stand, and what continues them on the lines before and after."""
        done = 0
        for place in [at for at in range(0, len(text), _STEP) if text[at : at + _GRAM] in self._pieces]:
            for form, at, name in self._pieces[text[place : place + _GRAM]] if place >= done else ():
                before, after = _alike(text, place, form, at, -1), _alike(text, place, form, at, 1)
                if before + after >= _PIECE:
                    done = max(done, place + after)
                    yield place - before, place + after, name
                    for start, end in _continued(
                        text, place - before, form[: at - before], place + after, form[at + after :]
                    ):
                        yield start, end, name


def _continued(text: str, start: int, before: str, end: int, after: str) -> Iterator[tuple[int, int]]:
    """What continues the piece from `start` to `end`, too short to be found alone, and the very end of base64."""
    while len(before) >= _STEP and (at := text.rfind(before[-_STEP:], max(0, start - _NEAR), start)) >= 0:
        size = _alike(text, at + _STEP, before, len(before), -1)
        start, before = at + _STEP - size, before[:-size]
        yield start, start + size
        if size >= _PIECE:
            break
    while len(after) >= _STEP and (at := text.find(after[:_STEP], end, end + _NEAR)) >= 0:
        size = _alike(text, at, after, 0, 1)
        end, after = at + size, after[size:]
        yield at, end
        if size >= _PIECE:
            return
    if rest := _REST.match(text, end) or _LAST.search(text, end, end + _NEAR):
        yield rest.span()


def _alike(text: str, place: int, form: str, at: int, way: int) -> int:
    """How many characters of `text` from `place` on, or before it, are those of `form` at `at`."""
    most, back = (min(len(text) - place, len(form) - at), 0) if way > 0 else (min(place, at), -1)
    found = (each for each in range(most) if text[place + back + way * each] != form[at + back + way * each])
    return next(found, most)


class _Layer:
    """A text with one layer of escapes undone, or without what parts its bytes, and where its characters stood."""

    def __init__(self, text: str, undo: re.Pattern[str] = _ESCAPE) -> None:
        self.ends: list[int] = []  # of what the escapes became
        self._spans = [(0, 0)]  # of the escapes
        pieces: list[str] = []
        last = length = 0
        for match in undo.finditer(text):
            start, end = match.span()
            character = _undone(match[0]) if undo is _ESCAPE else ""
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


def _undone(escape: str) -> str:
    """The character that an escape stands for."""
    first, second = escape[0], escape[1:2]
    if first == "&":
        from html import unescape  # noqa: PLC0415 - rare, and a large table

        return unescape(escape)
    if first not in "%\\":
        return " " if first.isspace() else first
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


def _readings(value: str) -> list[str]:
    """A value, its lines and its parts, as they are and decoded."""
    parts = [value, *value.splitlines()]
    parts += (part for match in _ASSIGNED.finditer(value) for part in match.groups("") if part)
    for url in filter(None, value.split("://")[1:]):
        login, _, place = url.split()[0].rpartition("@") if url.strip() else ("", "", "")
        user, _, password = login.partition(":")
        if not _PORT.match(password):  # else it is that, and the @ one of the path
            parts += password, password.partition("@")[0]  # nobody encoded one in it, or it is that of the path
        for text in (user, re.split("[/?#]", place, maxsplit=1)[-1]):
            parts += (each for each in _TOKEN.findall(text) if re.search(r"\d", each) and re.search("[A-Za-z]", each))
    found: dict[str, None] = {}
    for part in parts:
        found.setdefault(part)
        found.setdefault(unquote(part))
        with contextlib.suppress(ValueError):
            found.setdefault(json.loads(f'"{part}"'))
    return [*filter(_long, found)]


def _written(plain: str) -> Iterable[str]:
    """What programs encode as a whole."""
    return dict.fromkeys((plain, json.dumps(plain)[1:-1], quote(plain, safe="")))


def _forms(readings: Iterable[str]) -> Iterator[str]:
    """What to look for: values, encoded and in every layer of what may be escapes in them."""
    for plain in readings:
        yield repr(plain)[1:-1]
        for text in _written(plain):
            yield from _encoded(text.encode("utf-8", "surrogatepass"))
        layer = plain
        for _ in range(_LAYERS):
            yield layer.strip()
            yield layer.strip().rstrip("\\")  # which would be taken together with what comes behind it
            layer = _Layer(layer).text


def _long(form: str) -> bool:
    return len(form.strip()) >= SHORTEST


def _encoded(raw: bytes) -> Iterator[str]:
    """Hexadecimal and base64 of a value alone and, if it is long enough, inside more at each of three alignments."""
    yield from (raw.hex(), raw.hex().upper())
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        yield encode(raw).decode()
        yield encode(raw).decode().rstrip("=")
        for shift in range(3):
            # The first and last quanta mix with the neighbours: only the whole quanta between them are certain.
            body = raw[(3 - shift) % 3 :]
            core = encode(body[: len(body) - len(body) % 3]).decode()
            if len(core) >= _BASE64_CORE:
                yield core


def _whole(raw: bytes) -> Iterator[str]:
    """The forms of which every other encoded one is a piece, where base64 has the alphabet of URLs."""
    yield from (raw.hex(), raw.hex().upper())
    for cut in range(3):
        yield base64.urlsafe_b64encode(raw[cut:]).decode().rstrip("=")


def printable(text: str) -> str:
    """`text` on one line that does nothing to a terminal, the engine or a CI job: what cannot be printed is escaped."""
    shown = text if text.isprintable() else "".join(map(_visible, text.replace("\r\n", "\n").rstrip("\r")))
    return unmarked(shown).replace("##[", "## [")  # with which GitHub's runner begins a command, anywhere in a line


def unmarked(text: str) -> str:
    """`text` without what the engine takes for a colour: at one that it does not know, it panics."""
    return text.replace("<{%", "< {%")


def _visible(character: str) -> str:
    if character in "\t\n" or (character.isspace() and character > "\x9f"):  # of any width
        return " "
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
