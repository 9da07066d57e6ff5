"""What counts as a secret, by name or value, and which secrets are too weak. Nothing here repeats a value."""

from __future__ import annotations

import re

from slipway.contract.problems import Problem
from slipway.settings.setting_files import config_set, entry
from slipway.settings.values import is_placeholder

__all__ = [
    "SHORTEST_SECRET", "is_secret", "made_up", "missing_secret", "named_like_a_secret", "new_secret", "password_in_url",
    "probably_secret", "weakness", "why_secret",
]  # fmt: skip

SHORTEST_SECRET = 12
"""Characters. NIST SP 800-63B-4 asks for 15 of a sole password, 8 of one beside a second factor."""

# Whole words between underscores, so that KEYCLOAK_HOST and MONKEY are none.
_SECRET_WORDS = frozenset(
    {"PASSWORD", "PASSWD", "PASSPHRASE", "PASS", "PWD", "PW", "SECRET", "SECRETS", "TOKEN", "KEY", "KEYS", "APIKEY",
     "DSN", "CREDENTIAL", "CREDENTIALS"},
)  # fmt: skip
# A name that ends so says something about a secret, or where it is, and is none itself.
_ABOUT_WORDS = frozenset(
    {"FILE", "PATH", "DIR", "URL", "URI", "HOST", "PORT", "ID", "NAME", "USER", "LENGTH", "SIZE", "MIN", "MAX", "TTL",
     "AGE", "EXPIRY", "EXPIRES", "EXPIRATION", "LIFETIME", "TIMEOUT", "SECONDS", "MINUTES", "HOURS", "DAYS", "TYPE",
     "ALGORITHM", "HEADER", "PREFIX", "ENABLED", "DISABLED", "REQUIRED", "ISSUER", "AUDIENCE", "ROUNDS", "LIMIT",
     "LIMITS", "RATE", "MODULE", "RESET", "COUNT", "ATTEMPTS", "RETRIES", "INTERVAL", "PERIOD", "DURATION", "VALIDITY",
     "EXPIRE", "LEEWAY", "BITS", "POLICY", "MODE", "FORMAT", "ENCODING", "CLASS", "BACKEND", "PROVIDER", "STRATEGY",
     "SCHEME", "METHOD", "ROTATION", "VERSION", "VALIDATORS", "HASHER", "HASHERS", "STRENGTH", "HISTORY", "HINT",
     "FIELD", "LABEL", "SCOPE", "SCOPES", "REALM", "DOMAIN", "EMAIL", "ENDPOINT", "TEMPLATE", "SUBJECT"},
)  # fmt: skip
_ABOUT_VALUE = re.compile(
    r"true|false|yes|no|on|off|-?\d{1,5}(\.\d+)?|/.*|https?://.*"
    r"|\d{1,6}\s*/\s*(\d{1,5}\s*)?(ms|[smhd]|sec(ond)?s?|min(ute)?s?|hours?|days?|weeks?|months?|years?)"  # 60/minute
    r"|(\d{1,6}\s*(ms|[smhdw]|sec(ond)?s?|min(ute)?s?|hours?|days?|weeks?|months?|years?)\s*)+",  # 1h30m
    re.DOTALL | re.IGNORECASE,
)
# What an application may make up for itself: passwords of what it brings along, and what it signs with. All else comes
# from somewhere: a URL, JSON, a third party's key, a key of a certain length.
_MADE_UP = re.compile(
    r"(\w+_)?(POSTGRES(QL)?|PG|DB|DATABASE|MYSQL|MARIADB|MONGO(DB)?|REDIS|VALKEY|RABBITMQ|ROOT|ADMIN|APP)_?"
    r"(PASSWORD|PASSWD|PASS|PWD|PW)"
    r"|(APP_|WEB_|DJANGO_|FLASK_|RAILS_)?(SECRET_KEY(_BASE)?|(APP|JWT|SESSION|COOKIE|CSRF|SIGNING)_SECRET(_KEY)?"
    r"|(JWT|SESSION|COOKIE|CSRF|SIGNING)(_SIGNING)?_KEY|JWT_(ACCESS|REFRESH)_SECRET)"
    r"|(BETTER_|NEXT)?AUTH_SECRET"
)
_OPEN_WORDS = frozenset({"PUBLIC", "PUBLISHABLE", "ALLOW", "RANDOM", "REQUIRE", "ENABLE", "DISABLE", "USE"})
_SHELL = ("PWD", "OLDPWD")  # the shell's folders
_CREDENTIALS_IN_URL = re.compile(r"://[^/\s@:]*:(?P<password>[^/\s@]+)@(?P<host>[\w.-]+)?")
_DATABASE_URL = re.compile(
    r"(\w+_)?(DATABASE|DB|POSTGRES(QL)?|PG|MYSQL|MARIADB|MONGO(DB)?|REDIS|AMQP|RABBITMQ|BROKER|CELERY\w*)_(URL|URI|DSN)"
)

_SEQUENCES = ("01234567890123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm")


def named_like_a_secret(name: str) -> bool:
    """Whether a variable's name says that its value is secret."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name))
    upper = [word.upper() for word in words]
    if not upper or name in _SHELL or upper[-1] in _ABOUT_WORDS or not _OPEN_WORDS.isdisjoint(upper):
        return False
    if upper[-2:] == ["ACCESS", "KEY"] and {"SECRET", "AZURE"}.isdisjoint(upper):
        return False  # the id beside an AWS_SECRET_ACCESS_KEY
    return any(word in _SECRET_WORDS or word.endswith(("PASSWORD", "SECRET", "TOKEN")) for word in upper)


def is_secret(name: str, value: str) -> bool:
    """Whether a variable holds a secret, as far as its name and value show."""
    return bool(why_secret(name, value))


def why_secret(name: str, value: str) -> str:
    """Why a variable holds a secret, as far as its name and value show; empty when it does not.

    A value that is a switch, a number, a rate, a time or a place says that a secret's name is only about one. Quotes
    may be a part of it: of an `env_file`, or of `NAME="0"` in a list.
    """
    if _CREDENTIALS_IN_URL.search(value):
        return "a password stands in its URL"
    quoted = re.fullmatch(r"""(["'])(.*)\1""", value.strip(), re.DOTALL)
    plain = quoted[2].strip() if quoted else value.strip()
    about = bool(quoted and not plain) or bool(_ABOUT_VALUE.fullmatch(plain))
    return "by its name" if named_like_a_secret(name) and not about else ""


def password_in_url(text: str) -> tuple[str, str] | None:
    """The password in a URL and the host that it is for; None without one."""
    found = _CREDENTIALS_IN_URL.search(text)
    return (found["password"], found["host"] or "") if found else None


def weakness(name: str, value: str) -> str | None:
    """What is wrong with a secret's value: it is empty, a placeholder or, named like a secret, short; else None."""
    plain = re.sub(r"[\s_-]+", "", value).lower()
    named = named_like_a_secret(name)
    if not plain:
        return "is empty"
    if is_placeholder(value, "secrets"):
        return "is a placeholder"
    repeated = len(set(plain)) == 1 and len(plain) > 2  # noqa: PLR2004  # "xxx" is one, the answer "no" is none
    if repeated and (named or plain.isalpha()):
        return "is a placeholder"
    if named and (plain == name.replace("_", "").lower() or any(plain in sequence for sequence in _SEQUENCES)):
        return "is a placeholder"
    if named and len(value.strip()) < SHORTEST_SECRET:
        return f"has fewer than {SHORTEST_SECRET} characters"
    return None


def made_up(name: str) -> bool:
    """Whether a secret of this name may be any random text; a URL, JSON or another's key may not."""
    return bool(_MADE_UP.fullmatch(re.sub(r"([a-z])([A-Z])", r"\1_\2", name).upper()))


def probably_secret(name: str) -> bool:
    """Whether a variable without a value is likely to be secret: also the address of a database, with its password."""
    return named_like_a_secret(name) or bool(_DATABASE_URL.fullmatch(name.upper()))


def new_secret(stack: str, name: str) -> str:
    """The command that sets a stack's secret: to a random value where that can be right, else the engine asks.

    In hexadecimal digits, which stand for themselves in a URL, a shell and YAML.
    """
    source = "openssl rand -hex 24 |" if made_up(name) else ""
    return config_set(stack, entry("secrets", name), source, secret=True)


def missing_secret(stack: str, name: str, needed_by: str, meaning: str, fix: str = "") -> Problem:
    """The problem of a secret that the stack does not have."""
    fix = fix or new_secret(stack, name)
    return Problem(f"secret {name} is missing ({needed_by})", meaning, fix, "secret-missing", name)
