"""Which secrets in plain text are one: equal values, short ones only where their names can mean one thing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from slipway.settings.secrets.rules import SHORTEST_SECRET, made_up, password_in_url

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

__all__ = ["names_on_networks", "one_secret_each", "password_for"]


def names_on_networks(services: Mapping[str, Mapping[str, Any]]) -> set[str]:
    """The names by which the application's services reach one another."""
    names = set(services)
    for service in services.values():
        names |= {str(service["container_name"])} if service.get("container_name") else set()
        networks = service.get("networks")
        for network in networks.values() if isinstance(networks, dict) else ():
            names |= set((network or {}).get("aliases") or ())
    return names


def password_for(text: str, hosts: Collection[str]) -> str:
    """The password in a URL of one of the application's own services; empty where there is none."""
    password, host = password_in_url(text) or ("", "")
    return password if host in hosts else ""


def one_secret_each(literals: Sequence[tuple[str, str]], hosts: Collection[str]) -> dict[tuple[str, str], str]:
    """Name and text → the secret for it, or for the password in it: one for all that must stay equal.

    Those are equal; short ones (`plane`, `sentry`) only where their names are alike, too: others are so by chance.
    """
    found: dict[tuple[str, str], str] = {}
    taken: dict[str, list[tuple[str, tuple[str, str]]]] = {}  # value → what the names that have it mean, and for whom
    plain = [each for each in literals if not password_in_url(each[1])]
    for name, text in [*sorted(plain, key=lambda each: not made_up(each[0])), *literals]:
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
    one, two = _words(name), _words(other)
    kinds = [{kind for kind, words in _KINDS.items() if any(re.fullmatch(words, word) for word in each)}
             for each in (one, two)]  # fmt: skip
    if all(kinds):
        return not kinds[0].isdisjoint(kinds[1])
    passwords = [bool(_PASSWORD.search(each.upper())) for each in (name, other)]
    if all(passwords) and any(kinds):
        return not any(_LOGIN.fullmatch(word) for word in (two if kinds[0] else one))
    one, two = one - _GENERAL, two - _GENERAL
    return passwords[0] == passwords[1] and (not one or not two or not one.isdisjoint(two))


def _words(name: str) -> set[str]:
    return set(re.split(r"[^A-Z0-9]+", _PASSWORD.sub("_", re.sub(r"([a-z])([A-Z])", r"\1_\2", name).upper())))
