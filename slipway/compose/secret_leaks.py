"""Where secrets stand in a Compose file, and where they would be readable; names only, never a value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from slipway.compose.compose_config import secret_names, with_placeholders, without_escapes
from slipway.contract.problems import Problem
from slipway.settings.secret_rules import SHORTEST_SECRET, is_secret, made_up, new_secret, password_in_url, weakness

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from slipway.settings.model import Settings
    from slipway.x_slipway.findings import Findings

__all__ = ["check_readable_values", "known_values", "secret_uses"]

Path = tuple[str, ...]


def secret_uses(model: Mapping[str, Any], found: Findings) -> set[str]:
    """Names of the secrets that the hosts need for Compose's model of a file; refuses places that others could read.

    What does not reach a host or a build is left out.
    """
    names = set()
    for path, text, is_key in _strings(model):
        for name in secret_names(text) if not _dropped(path) else ():
            match path:  # kept from others: a container's environment, or the content of a config
                case ("services", _, "environment", _) | ("configs", _, "content") if not is_key:
                    names.add(name)
                case _:
                    found.refuse(
                        f"secret {name} stands in {'.'.join(with_placeholders(list(path)))}",
                        "everyone who can list processes, inspect containers or pull the image could read it",
                        "hand it over in the service's environment or `build.secrets`; the program reads it there",
                    )
    return names


def _dropped(path: Path) -> bool:
    """Whether it is only there for the file's own use, such as a YAML anchor."""
    match path:
        case ("services", _, key, *_):
            return key.startswith("x-") and key != "x-slipway"
        case _:
            return path[0].startswith("x-")


def _strings(node: object, path: Path = ()) -> Iterator[tuple[Path, str, bool]]:
    """Every string of the tree with its path, and whether it is a key."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield (*path, str(key)), str(key), True
            yield from _strings(value, (*path, str(key)))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _strings(value, (*path, str(index)))
    elif isinstance(node, str):
        yield path, node, False


def check_readable_values(services: Mapping[str, Mapping[str, Any]], settings: Settings, found: Findings) -> None:
    """Look for secrets that the Compose file itself holds in an environment.

    One that anyone could guess (often the default of `${PASSWORD:-changeme}`) is refused in production; any other is
    warned of.
    """
    literals = [
        (service, name, text)
        for service, description in services.items()
        for name, value in (description.get("environment") or {}).items()
        if isinstance(text := without_escapes(value), str) and text
        if not secret_names(text) and is_secret(name, text)
    ]
    secret_of = _one_secret_each([(name, text) for _, name, text in literals], services)
    for service, name, text in literals:
        weak, secret = weakness(name, text), secret_of[text]
        report = found.refuse if weak and settings.production else found.warn
        value = f"${{{secret}}}"
        write = (
            f"`{name}: {value}`" if secret_of.get(_password(text, services)) != secret else f"`{value}` as its password"
        )
        report(
            f"services.{service}.environment.{name} {f'{weak} and ' if weak else ''}is in plain text",
            f"everyone who can read the Compose file or the release knows it; write {write} there",
            new_secret(settings.stack, secret),
        )


def _password(text: str, services: Collection[str]) -> str:
    """The password in a URL that leads to a service of the application, which can have another one; else empty."""
    password, host = password_in_url(text) or ("", "")
    return password if host in services else ""


def _one_secret_each(literals: Sequence[tuple[str, str]], services: Collection[str]) -> dict[str, str]:
    """Text, and password in it → the secret for it: one for all that are equal, as they must stay equal."""
    found: dict[str, str] = {}
    plain = [(name, text) for name, text in literals if not password_in_url(text)]
    for name, text in sorted(plain, key=lambda each: not made_up(each[0])):
        found.setdefault(text, name)
    for name, text in literals:
        if password := _password(text, services):
            own = re.sub(r"_?(URL|URI|DSN)$", "", name) or name
            found[text] = found.setdefault(password, f"{own}_PASSWORD")
        else:
            found.setdefault(text, name)
    return found


def known_values(model: Mapping[str, Any], files: Mapping[str, bytes], settings: Settings) -> list[Problem]:
    """A problem for every secret of the stack whose value stands in Compose's model or in a shipped file.

    Short values are left out: they stand everywhere by chance.
    """
    values = {name: secret.get_secret_value() for name, secret in settings.secrets.items()}
    values = {name: value for name, value in values.items() if len(value) >= SHORTEST_SECRET}
    found = set()
    for path, text, _ in _strings(model):
        for name in _held(without_escapes(text), values) if not _dropped(path) else ():
            found.add((name, ".".join("…" if _held(part, values) else part for part in path)))
    for place, content in files.items():
        found |= {(name, place) for name, value in values.items() if value.encode() in content}
    return [
        Problem(
            f"the value of secret {name} is in plain text in {place}",
            "it would be stored so with every release",
            f"write ${{{name}}} in a service's environment instead, and change the secret",
        )
        for name, place in sorted(found)
    ]


def _held(text: str, values: Mapping[str, str]) -> list[str]:
    """The names of the values that stand in `text`."""
    return [name for name, value in values.items() if value in text]
