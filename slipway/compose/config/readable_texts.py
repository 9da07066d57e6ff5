"""Texts of Compose's model, those of services as a program gets them, and what is secret outside environments."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from slipway.compose.config.compose_model import strings, with_placeholders, without_escapes
from slipway.settings.secret_rules import SHORTEST_SECRET, is_secret, passwords_in_urls, why_not_plain, why_secret
from slipway.settings.values import is_placeholder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["dropped", "secret_texts", "service_texts"]

_NAMED = frozenset({"labels", "annotations", "args", "options", "driver_opts"})  # whose keys are names of values
_REFERRED_IN_URL = re.compile(r"(:\d+)?:(\$?\{+[^{}@]*\}+|\$\w+|[$%]\([^()]*\)s?|%s|<[^<>\s]*>)@")
_COMMENT = re.compile(r"(?m)^\s*(#|//|--\s|;).*$|<!--(?s:.*?)(?:-->|\Z)")
_TELLING = 4  # letters: a shorter value stands in many texts by chance


def dropped(path: tuple[str, ...]) -> bool:
    """Whether it is only there for the file's own use, such as a YAML anchor."""
    match path:
        case ("services", _, key, *_):
            return key.startswith("x-") and key != "x-slipway"
        case _:
            return path[0].startswith("x-")


def service_texts(services: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], str]]:
    """The texts of services, a command as a whole, without a shell's defaults for variables that the service has."""
    for name, service in services.items():
        own = "|".join(map(re.escape, service.get("environment") or {}))
        lists = {key: service[key] for key in ("command", "entrypoint") if isinstance(service.get(key), list)}
        test = (service.get("healthcheck") or {}).get("test")
        lists |= {"healthcheck": test} if isinstance(test, list) else {}
        whole = {key: " ".join(map(str, words)) for key, words in lists.items()}
        for path, text, is_key in strings({**service, **whole}, ("services", name)):
            if not is_key and not dropped(path):
                yield path, re.sub(rf"\$\{{({own}):?-[^{{}}]*\}}", "", without_escapes(text))


def secret_texts(model: Mapping[str, Any], variables: Mapping[str, str]) -> Iterator[tuple[tuple[str, ...], str, str]]:
    """Path, text and reason of every secret in plain text outside environments; not of what `variables` declare plain.

    A build may need any value for what it never uses.
    """
    rest = {key: part for key, part in model.items() if key != "services"}
    texts = [(path, without_escapes(text)) for path, text, is_key in strings(rest) if not is_key and not dropped(path)]
    given = [value for name, value in variables.items() if len(value) >= _TELLING or is_secret(name, value)]
    declared = re.compile("|".join(map(re.escape, sorted(filter(None, given), key=len, reverse=True))) or "(?!)")
    for path, text in [*service_texts(model.get("services") or {}), *texts]:
        if path[2:3] == ("environment",):
            continue
        name = re.split(r"[./]", path[-1])[-1] if _NAMED.intersection(path[:-1]) else ""
        own = declared.sub("${GIVEN}", str(with_placeholders(text)))
        own = _REFERRED_IN_URL.sub("@", _COMMENT.sub("", own) if path[-1] == "content" else own)
        why = why_secret("" if own.startswith("${") else name, own) if own.strip() else ""
        if why and not (path[2:3] == ("build",) and _for_builds_alone(name, own)):
            yield path, text, why


def _for_builds_alone(name: str, text: str) -> bool:
    """Whether it is what people write for a build that wants any value: words, also in the URL of no database."""
    values = [password for password, _ in passwords_in_urls(text)] or [text]
    return all(
        is_placeholder(each, "secrets", name) or (len(each) < SHORTEST_SECRET and not why_not_plain("", each))
        for each in values
    )
