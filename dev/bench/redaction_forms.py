"""How often a redactor misses a secret: random secrets as programs write them, in layers, in text, and cut.

The encoders are those of other programs, or written from their manuals; none is the redactor's own.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import os
import quopri
import random
import re
import shlex
import string
from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, quote_plus
from xml.sax.saxutils import quoteattr

if TYPE_CHECKING:
    from collections.abc import Callable

    from slipway.contract.redaction import Redactor

__all__ = ["ENCODERS", "WRAPPERS", "Case", "case", "missed", "redaction_forms_missed"]

_WORDS = ("GET", "500", "error", "connect", "to", "db:5432", "user", "=", "'", '"', "%", "\\", "&", "{", "id", "\u00e9")
_REST = 8
_SHARED = 3  # characters of base64 at either end of a secret that hold bits of its neighbours, or might


def _bytes(form: str) -> Callable[[str], str]:
    """Every byte that is no letter, digit or `_` in a form of printf's."""
    plain = set(string.ascii_letters + string.digits + "_")
    return lambda text: "".join(
        each if each in plain else "".join(form % byte for byte in each.encode()) for each in text
    )


def _points(form: str) -> Callable[[str], str]:
    """Every character as a number."""
    return lambda text: "".join(form % ord(each) for each in text)


def _lines(text: str, width: int) -> list[str]:
    """Of about that many characters, and no rest of a few: it is not found, and tells nothing."""
    ends = [*range(width, len(text) - _REST, width), len(text)]
    return [text[start:end] for start, end in zip([0, *ends[:-1]], ends, strict=True)]


def _dumped(text: str, size: int, form: Callable[[int], str]) -> str:
    """As od and hexdump print words of so many bytes."""
    raw = text.encode()
    lines = []
    for at in range(0, len(raw), 16):
        part = raw[at : at + 16] + bytes(-len(raw[at : at + 16]) % size)
        numbers = (int.from_bytes(part[each : each + size], "little") for each in range(0, len(part), size))
        lines.append(f"{at:07{'o' if size == 1 else 'x'}}{''.join(map(form, numbers))}")
    return "\n".join(lines)


def _csv(text: str) -> str:
    written = io.StringIO()
    csv.writer(written, quoting=csv.QUOTE_ALL).writerow([text])
    return written.getvalue()[1:-3]


def _bash(text: str) -> str:
    """As `printf %q` does with what has no control characters."""
    return re.sub(r"[^\w@%+=:,./-]", lambda match: "\\" + match[0], text, flags=re.ASCII)


ENCODERS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "json": lambda text: json.dumps(text)[1:-1],
    "json unicode": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json upper hex": lambda text: re.sub(r"\\u[\da-f]{4}", lambda m: "\\u" + m[0][2:].upper(), json.dumps(text)[1:-1]),
    "json of PHP": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json of Go": lambda text: re.sub(
        "[<>&]", lambda match: f"\\u{ord(match[0]):04x}", json.dumps(text, ensure_ascii=False)[1:-1]
    ),
    "encodeURIComponent": lambda text: quote(text, safe="!'()*-._~"),
    "encodeURI": lambda text: quote(text, safe="!'()*-._~;,/?:@&=+$#"),
    "quote": quote,
    "quote all": lambda text: quote(text, safe=""),
    "quote lower": lambda text: re.sub(r"%..", lambda match: match[0].lower(), quote(text, safe="")),
    "quote_plus": quote_plus,
    "userinfo of a URL": lambda text: quote(text, safe="!$&'()*+,;="),
    "percent of every byte": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "html": html.escape,
    "html of JavaScript": lambda text: (
        text.replace("&", "&amp;").replace("<", "&lt;").replace('"', "&#34;").replace("'", "&#39;")
    ),
    "html attribute": lambda text: quoteattr(text)[1:-1],
    "html decimal": _points("&#%d;"),
    "html hex": _points("&#x%x;"),
    "shell": shlex.quote,
    "shell of make": lambda text: "'" + text.replace("'", "'\\''") + "'",
    "shell words": _bash,
    "repr": lambda text: repr(text)[1:-1],
    "repr of bytes": lambda text: repr(text.encode())[2:-1],
    "nginx": _bytes("\\x%02X"),
    "octal": _bytes("\\%03o"),
    "points of JavaScript": _points("\\u{%x}"),
    "points of Python": _points("\\U%08x"),
    "SQL": lambda text: text.replace("'", "''"),
    "CSV": _csv,
    "Compose": lambda text: text.replace("$", "$$"),
    "regular expression": re.escape,
    "on one line": lambda text: " ".join(text.split()),
    "indented": lambda text: text.replace("\n", "\n      "),
    "CRLF": lambda text: text.replace("\n", "\r\n"),
}
"""Text → text; layers of them may lie upon one another."""

WRAPPERS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 url": lambda text: base64.urlsafe_b64encode(text.encode()).decode().rstrip("="),
    "basic": lambda text: base64.b64encode(f"u:{text}".encode()).decode(),
    "auth of a registry": lambda text: base64.urlsafe_b64encode(f'{{"password":"{text}"}}'.encode()).decode(),
    "token": lambda text: base64.b64encode(f"oauth2:{text}\n".encode()).decode(),
    "base64 in lines": lambda text: base64.encodebytes(text.encode()).decode().rstrip("\n"),
    "base64 of OpenSSL": lambda text: "\n".join(wrap(base64.b64encode(text.encode()).decode(), 64)),
    "token in lines": lambda text: base64.encodebytes(f"oauth2:{text}\n".encode()).decode(),
    "hex": lambda text: text.encode().hex(),
    "hex of od": lambda text: "\n".join(f" {line}" for line in wrap(text.encode().hex(" "), 47)),
    "hex of xxd": lambda text: text.encode().hex(" ", -2),
    "hex of OpenSSL": lambda text: "\n    ".join(wrap(text.encode().hex(":"), 45)),
    "hex of .NET": lambda text: text.encode().hex("-").upper(),
    "hex of C": lambda text: ", ".join(f"0x{byte:02x}" for byte in text.encode()),
    "base64 in base64": lambda text: base64.b64encode(base64.b64encode(f"app:{text}".encode())).decode(),
    "base64 of UTF-16": lambda text: base64.b64encode(text.encode("utf-16")).decode(),
    "base32": lambda text: "\n".join(wrap(base64.b32encode(text.encode()).decode(), 76)),
    "bytes of Go": lambda text: f"[{' '.join(map(str, text.encode()))}]",
    "bytes of Python": lambda text: str([*text.encode()]),
    "Buffer of Node": lambda text: json.dumps({"type": "Buffer", "data": [*text.encode()]}, indent=2),
    "od -b": lambda text: _dumped(text, 1, lambda number: f" {number:03o}"),
    "od": lambda text: _dumped(text, 2, lambda number: f" {number:06o}"),
    "hexdump": lambda text: _dumped(text, 2, lambda number: f" {number:04x}"),
    "od -t x4": lambda text: _dumped(text, 4, lambda number: f" {number:08x}"),
    "od -c": lambda text: "\n".join("".join(map("{:>4}".format, line)) for line in _lines(text, 16)),
    "UTF-16": lambda text: text.encode("utf-16-le").decode("latin-1"),
    "spaced": " ".join,
    "list of characters": lambda text: str([*text]),
    "upper": str.upper,
    "lower": str.lower,
    "wrapped": lambda text: "\n".join(_lines(text, 20)),
    "table": lambda text: "\n".join(f"│ {line:20} │ = │" for line in _lines(text, 20)),
    "coloured": lambda text: "\x1b[01;31m\x1b[K".join(_lines(text, 7)) + "\x1b[m\x1b[K",
    "quoted-printable": lambda text: quopri.encodestring(text.encode()).decode(),
    "cut of pydantic": lambda text: text if len(text) <= 50 else f"{text[:25]}...{text[-25:]}",  # noqa: PLR2004 - its own
    "cut of reprlib": lambda text: text if len(text) <= 28 else f"{text[:12]}...{text[-13:]}",  # noqa: PLR2004 - its own
}
"""What may come below them; of the neighbours of a value in base64 some characters hold bits of it."""

_TOKENS_ONLY = {*[*WRAPPERS][[*WRAPPERS].index("od -c") :]}
"""Of what has few letters and digits, nothing but the whole can be told from the text around."""

_READABLE = 5
_LETTERS = string.ascii_letters + string.digits
_CHARACTERS = _LETTERS + "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~ \u00f6\u20ac\U0001f511"


class Case(NamedTuple):
    """A text with a secret, and the piece of it that tells the secret."""

    secret: str
    form: str
    text: str
    how: str
    width: int
    """characters of the form for one of the secret's"""
    idle: str
    """the same form of something else: what is in it, too, as an offset is, tells nothing"""


def case(choose: random.Random) -> Case:
    """A random one."""
    wrapper = choose.choice([*WRAPPERS])
    secret, shown = _secret(choose)
    while wrapper in _TOKENS_ONLY and not re.fullmatch(r"\w{12,}", shown, re.ASCII):
        secret, shown = _secret(choose)
    names = choose.choices([*ENCODERS], k=choose.choice((1, 1, 2)))
    whole = WRAPPERS[wrapper](shown)
    other = WRAPPERS[wrapper]("\1" * len(shown.encode()))
    begin, end = (len(os.path.commonprefix(each)) for each in ((whole, other), (whole[::-1], other[::-1])))  # noqa: RUF071 - of text
    idle = other
    inside = wrapper in ("base64 in base64", "basic", "auth of a registry", "token", "token in lines")
    form = whole[begin + _SHARED : len(whole) - end - _SHARED] if inside else whole
    plain, parted = form, "\n"  # tells nothing
    for name in names:
        whole, form, parted, idle = (ENCODERS[name](each) for each in (whole, form, parted, idle))
    around = [" ".join(choose.choices(_WORDS, k=choose.randrange(6))) for _ in range(2)]
    return Case(
        secret,
        form,
        f"{around[0]} {whole} {around[1]} {parted}",
        " / ".join((wrapper, *names)),
        -(-len(form) // max(1, len(plain))),
        idle,
    )


def _secret(choose: random.Random) -> tuple[str, str]:
    """A secret, and what is written of it."""
    password = "".join(choose.choices(_CHARACTERS, k=choose.randrange(8, 40))).strip().ljust(8, "x")
    token = "9k" + "".join(choose.choices(_LETTERS, k=choose.randrange(14, 40)))
    lines = [base64.b64encode(choose.randbytes(48)).decode() for _ in range(3)]
    key = "\n".join(["-----BEGIN KEY-----", *lines, "-----END KEY-----", ""])
    return choose.choice(
        (
            (password, password),
            (token, token),
            (f"{password}\n{token}", f"{password}\n{token}"),
            (key, choose.choice(lines)),
            (f"postgres://app:{quote(password, safe='')}@db:5432/app?sslmode=require", password),
            (f"https://hooks.chat.example/services/T0/B0/{token}", token),
            (f"https://{token}@errors.example/7", token),
            (f"Server=db,1433;User Id=app;Password={token};Encrypt=yes", token),
            (json.dumps({"type": "account", "private_key": password, "id": 1}), password),
        )
    )


def missed(case: Case, redactor: Redactor, choose: random.Random) -> bool:
    """Whether something of the secret can be read, whole or in a piece that was cut."""
    found = redactor.text(case.text)
    most = choose.randrange(3, len(case.text) + 3)
    begin, end = redactor.brief(case.text, most), redactor.brief(case.text, most, end=True)
    cuts = begin.removesuffix(" …") in found and end.removeprefix("… ") in found
    return not cuts or any(_readable(case, each) for each in (found, begin, end))


def _readable(case: Case, text: str) -> bool:
    """Whether some characters in a row can be read, the quotes around it left aside."""
    outside = case.text.replace(case.form, case.idle)
    form = case.form.strip("'\"\\")
    size = min(_READABLE * case.width, len(form))
    pieces = {form[at : at + size] for at in range(len(form) - size + 1)}
    return any(piece in text and piece not in outside for piece in pieces)


def redaction_forms_missed(cases: int, seed: int = 11) -> list[Case]:
    """The cases of so many that were missed."""
    from slipway.contract.redaction import Redactor  # noqa: PLC0415

    choose = random.Random(seed)  # noqa: S311 - repeatable
    found = (case(choose) for _ in range(cases))
    return [each for each in found if missed(each, Redactor({"SECRET": each.secret}), choose)]
