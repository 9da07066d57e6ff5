"""Where secrets stand in a Compose file, and where they would be readable; names only, never a value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from slipway.compose.config.compose_model import secret_names, strings, with_placeholders, without_escapes
from slipway.contract.problems import Problem
from slipway.settings.secret_rules import (
    SHORTEST_SECRET,
    is_secret,
    made_up,
    new_secret,
    password_in_url,
    probably_secret,
    weakness,
)
from slipway.settings.setting_files import config_rm, entry, secrets_adopt

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from slipway.settings.model import Settings
    from slipway.x_slipway.findings import Findings

__all__ = [
    "check_places", "check_readable_values", "known_values", "one_secret_each", "password_for", "readable_literals",
    "secret_uses", "strings_with",
]  # fmt: skip

Path = tuple[str, ...]


def secret_uses(model: Mapping[str, Any], found: Findings) -> set[str]:
    """Names of the secrets that the hosts need for Compose's model of a file; refuses places that others could read.

    What does not reach a host or a build is left out.
    """
    names = set()
    for path, text, is_key in strings(model):
        for name in secret_names(text) if not _dropped(path) else ():
            if _kept(path) and not is_key:
                names.add(name)
            else:
                place = ".".join(with_placeholders(list(path)))
                fix = with_placeholders(_way_out(path, name) + _published(path, model))
                found.refuse(f"secret {name} stands in {place}", _READABLE, fix)
    return names


def _published(path: Path, model: Mapping[str, Any]) -> str:
    """The other way out for a service that is built, and names an image which may be had without that."""
    image = model["services"][path[1]].get("image") if path[0] == "services" and path[2:3] == ("build",) else ""
    return f"; or remove `build:` from {path[1]}, if {image} is published and does" if image else ""


def _dropped(path: Path) -> bool:
    """Whether it is only there for the file's own use, such as a YAML anchor."""
    match path:
        case ("services", _, key, *_):
            return key.startswith("x-") and key != "x-slipway"
        case _:
            return path[0].startswith("x-")


def check_places(places: Mapping[str, Sequence[Path]], settings: Settings, found: Findings) -> None:
    """Report variables that stand where others can read them, with what to write instead.

    One without a value must not be set as a secret, which would be refused there; one that looks like a secret gets a
    warning.
    """
    for name, paths in places.items():
        readable = [path for path in paths if not _dropped(path) and not _kept(path)]
        if not readable:
            continue
        place = " and ".join(".".join(path) for path in readable)
        way_out = "; ".join(dict.fromkeys(_way_out(path, name) for path in readable))
        for number, problem in enumerate(found.problems):
            if problem.code != "variable-missing" or problem.subject != name:
                continue
            meaning, fix = problem.meaning.partition(";")[0], problem.fix
            if probably_secret(name):
                meaning = f"it stands in {place}, where a secret is refused: {_READABLE}"
                fix = f"{way_out}, then {new_secret(settings.stack, name)}"
            found.problems[number] = problem._replace(meaning=meaning, fix=fix)
        if is_secret(name, settings.variables.get(name, "")):
            secret = f"{config_rm(settings.stack, entry('variables', name))} && {new_secret(settings.stack, name)}"
            what = f"variable {name} stands in {place}, and looks like a secret"
            found.warn(what, _READABLE, f"{way_out}, then {secret}")


_READABLE = "everyone who can list processes, inspect containers or pull the image can read it"


def _kept(path: Path) -> bool:
    """Whether it is kept from others: a container's environment, or the content of a config."""
    match path:
        case ("services", _, "environment", _) | ("configs", _, "content"):
            return True
        case _:
            return False


def _way_out(path: Path, name: str) -> str:
    """What to write instead, so that a program still gets the secret."""
    value = f"`{name}: ${{{name}}}`"
    match path:
        case ("services", service, "healthcheck", *_):
            return f"write $${name} there, as `CMD-SHELL`, and {value} in the environment of {service}"
        case ("services", _, "build", *_):
            return f"hand it to the build in `build.secrets`, with `environment: {name}`; not in the environment"
        case ("services", service, *_):
            file = f"in a file (`configs:` with `content:` that holds ${{{name}}}), which {service} mounts"
            return (
                f"hand it over {file}, or as {value} in its environment, where the program or its image reads it there"
            )
        case _:
            return f"write {value} in the environment of the service that needs it"


def check_readable_values(services: Mapping[str, Mapping[str, Any]], settings: Settings, found: Findings) -> None:
    """Report secrets that an `environment:` of the Compose file holds in plain text.

    One that anyone could guess (often the default of `${PASSWORD:-changeme}`) is refused in production; any other is
    warned of.
    """
    literals = readable_literals(services)
    secret_of = one_secret_each([(name, text) for _, name, text in literals], services)
    for service, name, text in literals:
        weak, secret = weakness(name, text), secret_of[name, text]
        report = found.refuse if weak and settings.production else found.warn
        value = f"${{{secret}}}"
        write = f"`{value}` as its password" if password_for(text, services) else f"`{name}: {value}`"
        report(
            f"services.{service}.environment.{name} {f'{weak} and ' if weak else ''}is in plain text",
            f"everyone who can read the Compose file or the release knows it; write {write} there",
            secrets_adopt(settings.stack) if weak and settings.production else new_secret(settings.stack, secret),
        )


def readable_literals(services: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Service, variable and text of every secret that stands in an environment itself."""
    return [
        (service, name, text)
        for service, description in services.items()
        for name, value in (description.get("environment") or {}).items()
        if isinstance(text := without_escapes(value), str) and text
        if not secret_names(text) and is_secret(name, text)
    ]


def strings_with(value: str, model: Mapping[str, Any]) -> list[str]:
    """The paths of all texts in Compose's model that hold `value`."""
    return [".".join(path) for path, text, _ in strings(model) if value in without_escapes(text) and not _dropped(path)]


def password_for(text: str, services: Collection[str]) -> str:
    """The password in a URL of one of the application's own services; empty where there is none."""
    password, host = password_in_url(text) or ("", "")
    return password if host in services else ""


def one_secret_each(literals: Sequence[tuple[str, str]], services: Collection[str]) -> dict[tuple[str, str], str]:
    """Name and text → the secret for it, or for the password in it: one for all that must stay equal.

    Those are equal; short ones (`plane`, `sentry`) only where their names are alike, too: others are so by chance.
    """
    found: dict[tuple[str, str], str] = {}
    taken: dict[str, list[tuple[str, str]]] = {}  # text → names that have it, each with its secret
    plain = [each for each in literals if not password_in_url(each[1])]
    for name, text in [*sorted(plain, key=lambda each: not made_up(each[0])), *literals]:
        if (name, text) in found:
            continue
        own, meant, value = name, name, text
        if password := password_for(text, services):
            own = f"{re.sub(r'_?(URL|URI|DSN)$', '', name) or name}_PASSWORD"
            meant, value = f"{text.partition(':')[0]}_{own}", password
        others = taken.setdefault(value, [])
        same = (secret for other, secret in others if len(value) >= SHORTEST_SECRET or _alike(meant, other))
        found[name, text] = next(same, own)
        others.append((meant, found[name, text]))
    return found


# What stands for one thing in the names of those who use it and of what provides it.
_KINDS = {
    "database": r"POSTGRES(QL)?|PG|DB|DATABASE|MYSQL|MARIADB|MONGO(DB)?|SQL",
    "cache": r"REDISS?|VALKEY|CACHE",
    "queue": r"RABBITMQ|AMQPS?|BROKER|CELERY",
    "store": r"MINIO|AWS|S3",
}
_PASSWORD = re.compile(r"PASSWORD|PASSWD|PASS|PWD|PW")
_GENERAL = frozenset({"SECRET", "KEY", "TOKEN", "ROOT", "ADMIN", "USER", "DEFAULT", "INITDB", "APP", ""})


def _alike(name: str, other: str) -> bool:
    """Whether two variables seem to be about one secret: that of one thing, or of the same name but for a prefix."""
    one, two = _words(name), _words(other)
    kinds = [{kind for kind, words in _KINDS.items() if any(re.fullmatch(words, word) for word in each)}
             for each in (one, two)]  # fmt: skip
    if all(kinds):
        return not kinds[0].isdisjoint(kinds[1])
    one, two = one - _GENERAL, two - _GENERAL
    both_passwords = bool(_PASSWORD.search(name.upper())) == bool(_PASSWORD.search(other.upper()))
    return both_passwords and (not one or not two or not one.isdisjoint(two))


def _words(name: str) -> set[str]:
    return set(re.split(r"[^A-Z0-9]+", _PASSWORD.sub("_", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).upper())))


def known_values(model: Mapping[str, Any], files: Mapping[str, bytes], settings: Settings) -> list[Problem]:
    """A problem for every secret of the stack whose value stands in Compose's model or in a shipped file.

    Short values are left out: they stand everywhere by chance.
    """
    values = {name: secret.get_secret_value() for name, secret in settings.secrets.items()}
    values = {name: value for name, value in values.items() if len(value) >= SHORTEST_SECRET}
    found = set()
    for path, text, _ in strings(model):
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
