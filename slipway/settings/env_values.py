"""Which values of a `.env` are secrets of a stack, and which plain variables."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import NamedTuple

from slipway.settings.secret_rules import is_secret, probably_secret
from slipway.settings.setting_files import expanded, read_dotenv

__all__ = ["EnvValues", "env_values"]

# What nobody makes up as a secret: a switch, a number, a word or two, a name or address of a host, a path, an image, an
# e-mail address. All else of a `.env` counts as secret, whatever its name: a mistake in that direction hurts nobody.
_PLAIN = re.compile(
    r"(true|false|yes|no|on|off)?|[-+]?\d{1,9}([.]\d+)?(s|m|h|d|ms|[kmg]b?)?|[a-z]{1,20}([ _-][a-z]{1,20}){0,3}"
    r"|https?://[\w.-]+(:\d+)?(/[\w./~-]*)?|/?([\w.-]{1,40}/)+[\w.-]{0,40}(:[\w.-]{1,40})?|[\w.+-]+@[\w-]+(\.[\w-]+)+"
    r"|[\w-]{1,40}(\.[\w-]{1,40})+(:\d+)?|\d{1,3}(\.\d{1,3}){3}(/\d+)?|[\w-]{1,20}(,[\w-]{1,20})*",
    re.IGNORECASE | re.ASCII,
)
# Looks made up: letters of both sizes with digits among them or in no word's order, or hexadecimal digits.
_MIXED = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)\S{10,}|(?=.*[a-z][A-Z])\S{16,}|(?=.*\d)[0-9a-f-]{16,}", re.DOTALL)


class EnvValues(NamedTuple):
    """Name → value, apart."""

    secrets: dict[str, str]
    variables: dict[str, str]


def env_values(text: str) -> EnvValues:
    """The values of a `.env`, as Compose reads them."""
    with tempfile.TemporaryDirectory(prefix="slipway-") as folder:  # 0700
        path = Path(folder, ".env")
        path.write_text(text, encoding="utf-8")
        dotenv = read_dotenv(path)
    found: dict[str, str] = {}
    for name in dotenv.values:
        found[name], _ = expanded(name, dotenv, found)
    secrets = {name: value for name, value in found.items() if value and _secret(name, value)}
    return EnvValues(secrets, {name: value for name, value in found.items() if name not in secrets})


def _secret(name: str, value: str) -> bool:
    if probably_secret(name) or is_secret(name, value):
        return True
    return not _PLAIN.fullmatch(value) or bool(_MIXED.fullmatch(value))
