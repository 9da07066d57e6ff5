"""`.env` files: what they hold, as Compose reads them, and which of it is secret."""

from __future__ import annotations

import io
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from dotenv.parser import parse_stream

from slipway.contract.problems import Problem
from slipway.settings.model import PREFIX
from slipway.settings.secret_rules import why_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

__all__ = ["Dotenv", "DotenvEntry", "dotenv_entries", "of_the_machine", "parsed_dotenv", "read_dotenv"]

# https://docs.docker.com/compose/how-tos/environment-variables/envvars/; those left out say which application it is.
_OF_THE_MACHINE = re.compile(
    r"COMPOSE_(?!PROFILES$|FILE$|PATH_SEPARATOR$)\w+|DOCKER_\w+|BUILDKIT_\w+|PATH|HOME|PWD", re.ASCII
)

# https://docs.docker.com/reference/compose-file/interpolation/, of which `.env` files know these forms
_REFERENCE = re.compile(r"\\\$|\$\$|\$\{([A-Za-z_]\w*)(?::?-([^}]*))?\}|\$([A-Za-z_]\w*)", re.ASCII)


class Dotenv(NamedTuple):
    """A `.env` file."""

    values: dict[str, str]
    """Name → value as written, without its quotes."""
    problems: list[Problem]
    """Lines that are not NAME=VALUE."""
    verbatim: frozenset[str] = frozenset()
    """Names whose values stand in single quotes, in which nothing is substituted."""
    lines: Mapping[str, int] = MappingProxyType({})
    """Name → number of its line."""
    bare: tuple[int, ...] = ()
    """Numbers of the lines that name a variable and give it no value."""


class DotenvEntry(NamedTuple):
    """A variable of a `.env` file."""

    name: str
    value: str
    """With the values of what it refers to."""
    secret: str
    """Why it is one; empty when it is none."""


def dotenv_entries(dotenv: Dotenv, known: Mapping[str, str], secrets: Mapping[str, str]) -> Iterator[DotenvEntry]:
    """What the file holds, in its order, settings aside; `known` values and `secrets` are what it may refer to."""
    values, hidden = {**known, **secrets}, set(secrets)
    for name in dotenv.values:
        if name.startswith(PREFIX):
            continue
        values[name], used = _expanded(name, dotenv, values)
        names = ", ".join(sorted(used & hidden))
        why = why_secret(name, values[name]) or (f"it holds {names}" if names else "")
        (hidden.add if why else hidden.discard)(name)
        yield DotenvEntry(name, values[name], why)


def of_the_machine(name: str) -> bool:
    """Whether a variable is about the machine that runs Docker, and none of the application."""
    return bool(_OF_THE_MACHINE.fullmatch(name))


def _expanded(name: str, dotenv: Dotenv, known: Mapping[str, str]) -> tuple[str, set[str]]:
    """The value of a name as Compose reads it, `known` values in place of references to them; and which these are.

    What refers to a name that is not known stays as it is: Compose would leave it empty, which nobody means.
    """
    used = set[str]()

    def replaced(found: re.Match[str]) -> str:
        reference, instead = found[1] or found[3], found[2]
        if not reference:
            return "$"
        if reference in known:
            used.add(reference)
        return known.get(reference, found[0] if instead is None else instead)

    value = dotenv.values[name]
    return (value if name in dotenv.verbatim else _REFERENCE.sub(replaced, value)), used


def read_dotenv(path: Path) -> Dotenv:
    """A `.env` file; an empty one when there is none."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return Dotenv({}, [])
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        what = f"{path.name} cannot be read ({reason})"
        return Dotenv({}, [Problem(what, "its values would be missing", f"correct {path.name}")])
    return parsed_dotenv(text, path.name)


def parsed_dotenv(text: str, name: str = ".env") -> Dotenv:
    """The text of a `.env` file; problems call it by `name`."""
    values, problems, verbatim, lines, bare = {}, [], set(), {}, []
    for binding in parse_stream(io.StringIO(text.removeprefix("\ufeff"), newline=None)):
        written = binding.original.string.lstrip()
        blank = binding.original.string[: len(binding.original.string) - len(written)]
        line = binding.original.line + blank.count("\n")  # blank lines before it are a part of it
        if binding.error:
            what = f"{name}: line {line} is not NAME=VALUE"
            problems.append(Problem(what, "its values would be missing", "correct it, or put # before it"))
        elif binding.key is not None:
            values[binding.key], lines[binding.key] = binding.value or "", line
            if binding.value is None:
                bare.append(line)
            if re.match(r"[^=]*=\s*'", written):
                verbatim.add(binding.key)
    return Dotenv(values, problems, frozenset(verbatim), lines, tuple(bare))
