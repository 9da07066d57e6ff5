"""Texts of Compose's model, those of services as a program gets them, and what is secret outside environments."""

from __future__ import annotations

import functools
import itertools
import re
from posixpath import join
from typing import TYPE_CHECKING, Any

from slipway.compose.config.compose_model import (
    secret_names,
    strings,
    with_placeholders,
    without_escapes,
    written_texts,
)
from slipway.compose.config.environment_nodes import REFERENCE, value_of
from slipway.settings.secrets.forms import passwords_in_urls
from slipway.settings.secrets.rules import SHORTEST_SECRET, weakness, why_not_plain, why_secret
from slipway.settings.values import is_placeholder

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path as FilePath

    from slipway.settings.model import Settings

__all__ = [
    "declared_plain",
    "dropped",
    "mounted_secrets",
    "readable_literals",
    "secret_texts",
    "service_texts",
    "values_written",
    "why_readable",
]  # fmt: skip

_REFERRED_IN_URL = re.compile(r"(:\d+)?:(\$?\{+[^{}@]*\}+|\$\w+|[$%]\([^()]*\)s?|%s|<[^<>\s]*>)+@")
_COMMENT = re.compile(r"(?m)^\s*(#|//|--\s|;).*$|<!--(?s:.*?)(?:-->|\Z)")


def dropped(path: tuple[str, ...]) -> bool:
    """Whether it is only there for the file's own use, such as a YAML anchor."""
    match path:
        case ("services", _, key, *_):
            return key.startswith("x-") and key != "x-slipway"
        case _:
            return path[0].startswith("x-")


def service_texts(services: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The texts of services, a command as a whole.

    Of a shell's defaults for variables that the service has, only what may be a secret is left.
    """
    for name, service in services.items():
        own = "|".join(map(re.escape, service.get("environment") or {}))
        lists = {key: service[key] for key in ("command", "entrypoint") if isinstance(service.get(key), list)}
        test = (service.get("healthcheck") or {}).get("test")
        lists |= {"healthcheck": test} if isinstance(test, list) else {}
        whole = {key: " ".join(str(word) or "''" for word in words) for key, words in lists.items()}
        for path, text, is_key in strings({**service, **whole}, ("services", name)):
            if not is_key and not dropped(path):
                yield path, re.sub(rf"\$\{{(?:{own}):?-([^{{}}]*)\}}", _strong, without_escapes(text))


def _strong(default: re.Match[str]) -> str:
    return "" if weakness("PASSWORD", default[1]) else default[1]


def readable_literals(services: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Service, variable and text of every secret that stands in an environment itself, where none is mounted."""
    return [
        (service, name, text)
        for service, description in services.items()
        for name, value in (description.get("environment") or {}).items()
        if isinstance(text := without_escapes(value), str) and text
        if why_readable(name, text) and text not in mounted_secrets(description)
    ]


def mounted_secrets(service: Mapping[str, Any]) -> Iterator[str]:
    """Where a service has its secrets."""
    for each in service.get("secrets") or ():
        yield join("/run/secrets", each.get("target") or each["source"])


def secret_texts(
    model: Mapping[str, Any], declared: Callable[[tuple[str, ...]], Collection[str]]
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Path, text and reason of every secret in plain text outside the environments of services.

    Every text is judged by the key that it stands under. `declared` has the values that are declared plain at a path;
    it is asked where a secret was found. A build may need any value for what it never uses.
    """
    services = model.get("services") or {}
    rest = {key: part for key, part in model.items() if key != "services"}
    texts = [(path, without_escapes(text)) for path, text, is_key in strings(rest) if not is_key and not dropped(path)]
    for path, text in [*service_texts(services), *texts]:
        if path[2:3] == ("environment",):
            continue
        own, names = text, [next(part for part in reversed(path) if not part.isdigit())]
        if path[0] == "configs" and path[2:] == ("content",):
            own = _COMMENT.sub("", text)
            whole = not re.search(r"\s", own.strip())
            names = [re.sub(r"\W", "_", name) for name in (path[1], *_targets(path[1], services)) if whole]
        if not own.strip() or own.startswith("${"):
            names = []
        names = [re.split(r"[./]", name)[-1] for name in names] or [""]
        own = _REFERRED_IN_URL.sub("@", own)
        why = next(filter(None, (why_readable(name, own) for name in names)), "")
        if (
            why
            and any(why_readable(name, own, declared(path)) for name in names)
            and not (path[2:3] == ("build",) and _for_builds_alone(names[0], text))
        ):
            yield path, text, why


def why_readable(name: str, text: str, declared: Collection[str] = ()) -> str:
    """Why a text of the model holds a secret in plain text, beside those that it refers to; empty when it does not."""
    referred = bool(secret_names(text))
    shown = str(with_placeholders(text))
    return why_secret("" if referred else name, _REFERRED_IN_URL.sub("@", shown) if referred else shown, declared)


def values_written(settings: Settings, sources: Sequence[FilePath]) -> Callable[[tuple[str, ...]], dict[str, str]]:
    """The variables that the Compose files refer to at a path of the model, with their values there, or defaults.

    Where Compose cannot read the files without values (a `ulimits` of a variable), all that the stack has.
    """
    given = {**settings.variables, "COMPOSE_PROFILES": ",".join(settings.profiles)}
    texts = functools.cache(lambda: [*written_texts(sources, given)])

    def values(path: tuple[str, ...]) -> dict[str, str]:
        here = [text for place, text in texts() if place[: len(path)] == path]
        referred = [each for text in here for each in REFERENCE.finditer(text) if each[1]]
        passed = {path[-1]} & settings.variables.keys() if texts() else settings.variables
        found = {each[1]: value_of(each, settings.variables)[0] or "" for each in referred}
        return {**found, **{name: settings.variables[name] for name in passed}}

    return values


def declared_plain(settings: Settings, names: Iterable[str]) -> list[str]:
    """The values that the stack's variables of these names declare plain."""
    return [value for name in names if (value := settings.variables.get(name, "").strip())]


def _targets(config: str, services: Mapping[str, Any]) -> Iterator[str]:
    """What the files are called as which services have a config; a secret where they are meant for one."""
    for used in itertools.chain.from_iterable(service.get("configs") or () for service in services.values()):
        if used["source"] == config and (target := used.get("target")):
            yield "SECRET" if target.startswith("/run/secrets/") else target.rpartition("/")[2]


def _for_builds_alone(name: str, text: str) -> bool:
    """Whether it is what people write for a build that wants any value: words, also in the URL of no database."""
    values = [password for password, _ in passwords_in_urls(text)] or [text]
    return all(
        is_placeholder(each, "secrets", name) or (len(each) < SHORTEST_SECRET and not why_not_plain("", each))
        for each in values
    )
