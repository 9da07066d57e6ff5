"""Where secrets stand in a Compose file, and where they would be readable; names only, never a value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.compose.compose_config import secret_names, with_placeholders, without_escapes
from slipway.contract.problems import Problem
from slipway.settings.secret_rules import SHORTEST_SECRET, is_secret, new_secret, weakness

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.settings.model import Settings

__all__ = ["SecretUses", "known_values", "readable_values", "secret_uses"]

Path = tuple[str, ...]


class SecretUses(NamedTuple):
    """The secrets that a Compose file substitutes."""

    names: set[str]
    """Those that the hosts need."""
    problems: list[Problem]
    """One for every place that others could read."""


def secret_uses(model: Mapping[str, Any]) -> SecretUses:
    """Where Compose's model of a file holds secrets; what does not reach a host or a build is left out."""
    uses = SecretUses(set(), [])
    seen: set[tuple[str, str]] = set()
    for path, text, is_key in _strings(model):
        for name in secret_names(text) if not _dropped(path) else ():
            if not is_key and _kept_secret(path):
                uses.names.add(name)
                continue
            place = ".".join(with_placeholders(list(path)))
            if (name, place) not in seen:
                seen.add((name, place))
                uses.problems.append(
                    Problem(
                        f"secret {name} stands in {place}",
                        "everyone who can list processes, inspect containers or pull the image could read it",
                        "hand it over in the service's environment or `build.secrets`; the program reads it there",
                    )
                )
    return uses


def _kept_secret(path: Path) -> bool:
    """Whether a value there is kept from others: a container's environment, or the content of a config."""
    match path:
        case ("services", _, "environment", _) | ("configs", _, "content"):
            return True
        case _:
            return False


def _dropped(path: Path) -> bool:
    """Whether it is only there for the file's own use, such as a YAML anchor."""
    match path:
        case (top, *_) if top.startswith("x-"):
            return True
        case ("services", _, key, *_) if key.startswith("x-") and key != "x-slipway":
            return True
        case _:
            return False


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


def readable_values(
    services: Mapping[str, Mapping[str, Any]], settings: Settings
) -> tuple[list[Problem], list[Problem]]:
    """Problems and warnings of secrets that the Compose file itself holds in an environment.

    One that anyone could guess (often the default of `${PASSWORD:-changeme}`) is refused in production; any other is
    warned of.
    """
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for service, description in services.items():
        for name, value in (description.get("environment") or {}).items():
            text = without_escapes(value)
            if not isinstance(text, str) or not text or secret_names(text) or not is_secret(name, text):
                continue
            weak = weakness(name, text)
            problem = Problem(
                f"services.{service}.environment.{name} {weak or 'is in plain text'}"
                + (" and is in plain text" if weak else ""),
                "everyone who can read the Compose file or the release knows it",
                f"write `{name}: ${{{name}}}` there and: {new_secret(settings.stack, name)}",
            )
            (problems if weak and settings.production else warnings).append(problem)
    return problems, warnings


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
