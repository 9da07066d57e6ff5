"""The forms of a secret value in the output of programs: what of it tells by itself, and how that is written."""

from __future__ import annotations

import base64
import contextlib
import json
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from slipway.contract.secret_forms.layers import Layer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["LAYERS", "SHORTEST", "Forms"]

# Shorter values ("1", "on") occur everywhere: replacing them would hide the message and betray the value by its gaps.
SHORTEST = 4
# A URL in JSON in a query of a URL: hardly a program writes more layers than these.
LAYERS = 4
_BASE64_CORE = 8  # shorter pieces of base64 occur by chance

# What tells by itself of a secret that is a URL, JSON, a query or a connection string: values whose name says so, ...
_ASSIGNED = re.compile(
    r"""(?i)(?:pass|pwd|secret|token|key|sig|cred)[\w.-]{0,40}(?<!type)(?<!ur[il])["']?\s{0,9}[=:]\s{0,9}"""
    r"""(?:"((?:\\.|[^"\\])*)"|'((?:''|[^'])*)'|([^\s;&,}"'][^\s;&,}]*))"""
)
# ... and keys in the path, the query and in place of the user of a URL.
_TOKEN = re.compile(r"[\w-]{16,}")
_PORT = re.compile(r"\d{1,5}/")


class Forms:
    """The forms of one value."""

    def __init__(self, value: str) -> None:
        parts = [*_parts(value)]
        self._readings = _readings([value, *value.splitlines(), *parts])
        telling = [part for part in parts if sum(map(str.isalnum, part)) >= SHORTEST]
        self.telling = _readings(telling) if telling or "://" in value else self._readings
        """What tells, of which a piece does as well: not the host and the database of a URL"""

    def whole(self) -> Iterator[str]:
        """What to look for as a whole: values, encoded and in every layer of what may be escapes in them."""
        for plain in self._readings:
            yield repr(plain)[1:-1]
            yield plain.encode("utf-8", "surrogatepass").decode("latin-1")  # its bytes, one by one
            for text in _written(plain):
                yield from _encoded(text.encode("utf-8", "surrogatepass"))
            layer = plain
            for _ in range(LAYERS):
                yield layer.strip()
                yield layer.strip().rstrip("\\")  # which would be taken together with what comes behind it
                layer = Layer(layer).text

    def raw(self) -> Iterator[bytes]:
        """What programs encode, each once: the lines of a key are in the key."""
        taken: list[str] = []
        for text in (written for each in self._readings for written in _written(each)):
            if not any(text in each for each in taken):
                taken.append(text)
                yield text.encode("utf-8", "surrogatepass")


def _parts(value: str) -> Iterator[str]:
    yield from (part for match in _ASSIGNED.finditer(value) for part in match.groups("") if part)
    for url in filter(None, value.split("://")[1:]):
        login, _, place = url.split()[0].rpartition("@") if url.strip() else ("", "", "")
        user, _, password = login.partition(":")
        if not _PORT.match(password):  # else it is that, and the @ one of the path
            yield from (password, password.partition("@")[0])  # nobody encoded one in it, or it is that of the path
        for text in (user, re.split("[/?#]", place, maxsplit=1)[-1]):
            yield from (each for each in _TOKEN.findall(text) if re.search(r"\d", each) and re.search("[A-Za-z]", each))


def _readings(parts: Iterable[str]) -> list[str]:
    """Each part as it is and decoded."""
    found: dict[str, None] = {}
    for part in parts:
        found.setdefault(part)
        found.setdefault(unquote(part))
        with contextlib.suppress(ValueError):
            found.setdefault(json.loads(f'"{part}"'))
    return [each for each in found if len(each.strip()) >= SHORTEST]


def _written(plain: str) -> Iterable[str]:
    """What programs encode as a whole."""
    return dict.fromkeys((plain, json.dumps(plain)[1:-1], quote(plain, safe="")))


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
