"""Which secrets in plain text are one: equal values, short ones only where their names can mean one thing."""

from __future__ import annotations

import os
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.compose.config.compose_model import secret_names, strings, without_escapes
from slipway.compose.config.readable_texts import dropped, readable_literals, service_texts
from slipway.compose.git import repository_of
from slipway.compose.shipped_files import ShippedFiles
from slipway.settings.secrets.forms import secret_forms
from slipway.settings.secrets.rules import (
    SHORTEST_SECRET,
    is_password,
    made_up,
    named_like_a_secret,
    password_in_url,
    user_names,
)
from slipway.x_slipway.findings import Findings

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

__all__ = [
    "Literal",
    "as_config",
    "logins",
    "mounted_files",
    "mounted_itself",
    "names_on_networks",
    "one_secret_each",
    "password_for",
    "places_of",
    "secrets_in",
]


class Literal(NamedTuple):
    """A secret in plain text in the environment of a service."""

    service: str
    name: str
    text: str
    value: str
    """Its text, or the password in it when it is a URL of one of the application's services."""
    variable: str
    """That it is the value of, in the file or in the stack; empty when it is written there itself."""
    default: bool
    """Whether it is that variable's default in the file."""
    whole: bool
    """Whether the variable is the URL, and not the password in it."""
    like: str = ""
    """The name of another secret that is all it holds."""

    @property
    def means(self) -> tuple[str, str]:
        """The name and the text by which literals of the same secret are recognised."""
        return self.like or self.variable or self.name, self.text if self.whole else self.value

    @property
    def place(self) -> str:
        """Where it stands in the file."""
        return f"services.{self.service}.environment.{self.name}"


def names_on_networks(services: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The names by which the application's services reach one another."""
    names = set(services)
    for service in services.values():
        names |= {str(service["container_name"])} if service.get("container_name") else set()
        networks = service.get("networks")
        for network in networks.values() if isinstance(networks, dict) else ():
            names |= set((network or {}).get("aliases") or ())
    return names


def logins(services: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The names of the services' users."""
    return set[str]().union(*(user_names(each.get("environment") or {}) for each in services.values()))


def password_for(text: str, hosts: Collection[str]) -> str:
    """The password in a URL of one of the application's own services; empty where there is none."""
    password, host = password_in_url(text) or ("", "")
    return password if host in hosts else ""


def one_secret_each(
    literals: Sequence[tuple[str, str]], hosts: Collection[str], stated: Mapping[str, str] = MappingProxyType({})
) -> dict[tuple[str, str], str]:
    """Name and text → the secret for it, or for the password in it: one for all that must stay equal, or `stated`.

    Those are equal; short ones (`plane`, `sentry`) only where their names are alike, too: others are so by chance.
    """
    found: dict[tuple[str, str], str] = {}
    taken: dict[str, list[tuple[str, tuple[str, str]]]] = {}  # value → what the names that have it mean, and for whom
    plain = [each for each in literals if not password_in_url(each[1])]
    for name, text in [*stated.items(), *sorted(plain, key=lambda each: not made_up(each[0])), *literals]:
        if (name, text) in found:
            continue
        own, meant, value = name, name, text
        if password := password_for(text, hosts):
            own = f"{re.sub(r'_?(URL|URI|DSN)$', '', name) or name}_PASSWORD"
            meant, value = f"{text.partition('://')[0]}_{own}", password
        others = taken.setdefault(value, [])
        same = [found[each] for other, each in others if len(value) >= SHORTEST_SECRET or _alike(meant, other)]
        found[name, text] = secret = [*same, own][0]
        others.append((meant, (name, text)))
        found |= {each: secret for _, each in others if found[each] in same}  # what this one has in common
    return found


def places_of(value: str, model: Mapping[str, Any], files: Mapping[str, bytes], *, weak: bool) -> list[tuple[str, ...]]:
    """Where a secret's value stands in Compose's model and in shipped files.

    A file's path is one part. A weak value is a word that stands in many places by chance: only where it is meant as a
    secret.
    """
    if weak and value.strip():
        texts = [*service_texts(model.get("services") or {})]
        texts += [((place,), content.decode(errors="replace")) for place, content in files.items()]
        configs = (model.get("configs") or {}).items()
        texts += [(("configs", name, "content"), str(config.get("content") or "")) for name, config in configs]
        meant = _meant(value)
        by_form = (
            path for path, text in texts if value in text for form in secret_forms(text) if form.is_one_of([value])
        )
        return [*(path for path, text in texts if meant.search(text)), *by_form]
    if len(value) < SHORTEST_SECRET:
        return []
    held = [path for path, text, _ in strings(model) if value in without_escapes(text) and not dropped(path)]
    return held + [(place,) for place, content in files.items() if value.encode() in content]


def mounted_files(model: Mapping[str, Any], folder: Path, stack: str) -> dict[str, bytes]:
    """The files that the services mount, by path; what is wrong with any is said when the application is read."""
    files, configs = ShippedFiles(folder, repository_of(folder), Findings(), stack), model.get("configs") or {}
    for name, service in (model.get("services") or {}).items():
        for mount in service.get("volumes") or []:
            files.mount(name, dict(mount))
        for used in service.get("configs") or []:
            if file := configs.get(used["source"], {}).get("file"):
                files.config(name, used, str(file))
    return files.plain


def _meant(value: str) -> re.Pattern[str]:
    """Finds a value where it is a password: in a URL, behind an option, or assigned to what is named like one."""
    own = rf"(?-i:{re.escape(value)})(?![\w-])"
    said = r"(?:pass(?:word|wd|phrase)?|pwd|pw|secret|token|key|auth|requirepass|identified\s+by)"
    return re.compile(
        rf"""(?i)://[^\s/@:]*:(?-i:{re.escape(value)})@|{said}["'\]]{{0,2}}(?:\s*(?:=>|:-|[:=,>]+)\s*|\s+)["']?{own}|(?<!\S)-[ap]\s?["']?{own}"""
    )


def secrets_in(
    path: tuple[str, ...],
    text: str,
    services: Mapping[str, Any],
    written: Callable[[tuple[str, ...]], Mapping[str, str]],
) -> list[tuple[str, str]]:
    """The secrets that a text outside environments holds: name, and value where it is known; `written` of the files.

    The name is that of the variable whose value or default it is; of the variable which has it in the same service, or
    in any for a config; or of the service's only password that is a secret of the stack already, and not of another
    thing; else a new one.
    """
    known = [*written(path).items()]
    own = services if path[0] == "configs" else {path[1]: services[path[1]]} if path[0] == "services" else {}
    for service, variable, value in readable_literals(own):
        of = written(("services", service, "environment", variable)).items()
        known.append((next((name for name, its in of if its == value), _as_variable(variable)), value))
    each_of = [[pair for pair in known if pair[1] and form.is_one_of(pair[1:])] for form in secret_forms(text)]
    found = [pairs[0] for pairs in [*each_of, [pair for pair in known if pair[1] == text.strip()]] if pairs]
    if not found and {"command", "entrypoint", "healthcheck", "post_start", "pre_stop"}.intersection(path[2:3]):
        held = (services[path[1]].get("environment") or {}).items()
        stated = {name for variable, value in held if is_password(variable) for name in secret_names(value or "")}
        kinds = _kinds(f"{path[1]}_{services[path[1]].get('image')}_{text}")
        found = [(name, "") for name in stated if len(stated) == 1 and not _differ(kinds, _kinds(name))]
    new = path[1] if named_like_a_secret(path[1]) else f"{path[1]}_SECRET"
    new = path[-1] if path[-2] in ("args", "environment") else new.upper()
    return [*dict.fromkeys(found)] or [(_as_variable(new), "")]


def _as_variable(name: str) -> str:
    return re.sub(r"^(?=\d)", "_", re.sub(r"\W", "_", name, flags=re.ASCII))


# What stands for one thing in the names of those who use it and of what provides it.
_KINDS = {
    "database": r"\w*SQL2?|PG|\w*DB|DATABASE|POSTGRES|MONGO|CLICKHOUSE|COCKROACH|TIMESCALE|NEO4J|[JO]DBC|R2DBC"
    r"|DATASOURCES?|TYPEORM|SQLALCHEMY|HIBERNATE|PRISMA",
    "cache": r"REDISS?|VALKEY|KEYDB|DRAGONFLY|CACHE",
    "queue": r"RABBIT(MQ)?|AMQPS?|BROKER|CELERY|MQTTS?|NATS|KAFKA",
    "store": r"MINIO|AWS|S3",
    "search": r"ELASTIC(SEARCH)?|OPENSEARCH|MEILI(SEARCH)?|TYPESENSE",
    "mail": r"SMTPS?|IMAPS?|E?MAIL(ER)?",
    "directory": r"LDAPS?",
}
_PASSWORD = re.compile(r"PASSWORD|PASSWD|PASS|PWD|PW")
_GENERAL = frozenset({"SECRET", "KEY", "TOKEN", "ROOT", "ADMIN", "USER", "DEFAULT", "INITDB", "APP", ""})
_LOGIN = re.compile(r"\w*ADMIN(ISTRATOR)?|SUPERUSER|OWNER|LOGIN|INITIAL")  # of people, to the application itself


def _alike(name: str, other: str) -> bool:
    """Whether two variables seem to be about one secret: that of one thing, or of the same name but for a prefix.

    The password of something unsaid may be that of anything: `SONAR_PASSWORD` and `POSTGRES_PASSWORD`.
    """
    one, two, kinds = _words(name), _words(other), (_kinds(name), _kinds(other))
    if all(kinds):
        return not _differ(*kinds)
    passwords = [bool(_PASSWORD.search(each.upper())) for each in (name, other)]
    if all(passwords) and any(kinds):
        return not any(_LOGIN.fullmatch(word) for word in (two if kinds[0] else one))
    one, two = one - _GENERAL, two - _GENERAL
    return passwords[0] == passwords[1] and (not one or not two or not one.isdisjoint(two))


def _kinds(text: str) -> set[str]:
    """The kinds of things that a text names."""
    return {kind for kind, words in _KINDS.items() if any(re.fullmatch(words, word) for word in _words(text))}


def _differ(one: set[str], two: set[str]) -> bool:
    return bool(one and two and one.isdisjoint(two))


def _words(name: str) -> set[str]:
    return set(re.split(r"[^A-Z0-9]+", _PASSWORD.sub("_", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).upper())))


def mounted_itself(file: str, services: Mapping[str, Any]) -> bool:
    """Whether a file is the source of a mount, and not only in a folder that is."""
    mounts = (mount for service in services.values() for mount in service.get("volumes") or ())
    return any(os.path.normpath(str(mount.get("source"))) == file for mount in mounts if isinstance(mount, dict))


def as_config(file: str, reference: str) -> str:
    """How a file ships with a secret in it."""
    return (
        f"let the service mount, in place of {file}, a `configs:` entry whose `content:` is its text with {reference} "
        "for the value, and $$ for every other $"
    )
