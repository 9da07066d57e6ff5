"""What counts as a secret, by name or value, and which secrets are too weak. Nothing here repeats a value."""

from __future__ import annotations

import re

from slipway.contract.problems import Problem
from slipway.settings.setting_files import config_set, entry
from slipway.settings.values import is_placeholder

__all__ = [
    "SHORTEST_SECRET", "is_password", "is_secret", "made_up", "missing_secret", "named_like_a_secret", "new_secret",
    "password_in_url", "passwords_in_urls", "probably_secret", "weakness", "why_secret",
]  # fmt: skip

SHORTEST_SECRET = 12
"""Characters. NIST SP 800-63B-4 asks for 15 of a sole password, 8 of one beside a second factor."""

# Whole words between underscores, so that KEYCLOAK_HOST and MONKEY are none.
_SECRET_WORDS = frozenset(
    {"PASSWORD", "PASSWD", "PASSPHRASE", "PASS", "PWD", "PW", "SECRET", "SECRETS", "TOKEN", "KEY", "KEYS", "APIKEY",
     "DSN", "PAT", "CREDENTIAL", "CREDENTIALS"},
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
# A value that says there is none, or is only about one.
_SWITCH = re.compile(r"true|false|yes|no|on|off", re.IGNORECASE)
_NONE = re.compile(r"none|null|nil|invalid|disabled?|unset|n/?a|not[ _-]?(set|used|needed)", re.IGNORECASE)
_FIGURE = re.compile(
    r"-?\d{1,5}(\.\d+)?"
    r"|\d{1,6}\s*/\s*(\d{1,5}\s*)?(ms|[smhd]|sec(ond)?s?|min(ute)?s?|hours?|days?|weeks?|months?|years?)"  # 60/minute
    r"|(\d{1,6}\s*(ms|[smhdw]|sec(ond)?s?|min(ute)?s?|hours?|days?|weeks?|months?|years?)\s*)+",  # 1h30m
    re.IGNORECASE,
)
# A generated value may begin with a slash, too: only what lies in a usual folder, or has an ending, is a path.
_PLACE = re.compile(
    r"https?://.*|(~|\.{1,2})?/([\w.@-]+/)*[\w@-]+\.[a-z]{1,6}"
    r"|/(app|certs?|code|config|data|dev|etc|home|keys?|media|mnt|opt|private|root|run|secrets?|srv|ssl|tmp|usr|var|vault"
    r"|workspace|www)(/.*)?",
    re.DOTALL,
)
_PASSWORD_NAME = re.compile(r"(PASSWORD|PASSWD|PASSPHRASE|PASS|PWD|PW)(_?\d+)?$")
# Tokens whose form says what they are. Why no library: detect-secrets 1.5.0 takes 3 s to load, brings `requests`, and
# knows neither Discord's nor OpenAI's, Anthropic's, Hugging Face's, DigitalOcean's or npm's (tried 2026-11-29).
_TOKEN = re.compile(
    r"""(?x)(?<![A-Za-z0-9_-])(?:
      gh[pousr]_[A-Za-z0-9]{36,} | github_pat_\w{40,} | gl(?:pat|dt|rt|ptt|agent|soat|cbt|ft)-[\w-]{20,}
    | [sr]k_(?:live|test)_[A-Za-z0-9]{16,} | whsec_[A-Za-z0-9+/=]{24,} | xox[abeoprs]-[\w-]{10,} | xapp-\d-[\w-]{10,}
    | sk-(?:proj|ant|svcacct|or)-[\w-]{20,} | sk-[A-Za-z0-9]{32,} | hf_[A-Za-z0-9]{30,} | AIza[\w-]{35}
    | ya29\.[\w-]{20,} | GOCSPX-[\w-]{20,} | SG\.[\w-]{16,}\.[\w-]{16,} | key-[0-9a-f]{32} | [0-9a-f]{32}-us\d{1,2}
    | npm_[A-Za-z0-9]{36} | pypi-AgE[\w-]{50,} | do[opr]_v1_[0-9a-f]{64} | dckr_[po]at_[\w-]{20,} | hvs\.[\w-]{20,}
    | shp(?:at|ca|pa|ss)_[0-9a-fA-F]{32} | tskey-[\w-]{20,} | lin_api_\w{40} | sntry[su]_[\w=+/-]{20,}
    | AGE-SECRET-KEY-1[0-9A-Z]{50,} | \d{8,10}:AA[\w-]{33}
    )(?![A-Za-z0-9])
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY-----
    | https://(?: hooks\.slack\.com/(?:services|workflows|triggers)/ | hooks\.zapier\.com/hooks/catch/
      | (?:\w+\.)?discord(?:app)?\.com/api/(?:v\d+/)?webhooks/ | [\w.-]+\.webhook\.office\.com/
      | outlook\.office(?:365)?\.com/webhook/ | api\.telegram\.org/bot | chat\.googleapis\.com/v1/spaces/ )\w"""
)
_SECRET_IN_QUERY = re.compile(
    r"://[^\s?]*\?(?:[^\s#]*&)?[\w.-]*(?:password|passwd|passphrase|pwd|secret|token|api[_-]?key|signature)=[^&\s#]+",
    re.IGNORECASE,
)
# What an application may make up for itself: passwords of what it brings along, and what it signs with. All else comes
# from somewhere: a URL, JSON, a third party's key, a key of a certain length.
_MADE_UP = re.compile(
    r"(\w+_)?(POSTGRES(QL)?|PG|DB|DATABASE|MYSQL|MARIADB|MONGO(DB)?|REDIS|VALKEY|RABBITMQ|CLICKHOUSE|ROOT|ADMIN|APP)_?"
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
    if upper[-1] == "SK" and len(upper) > 1:
        return True  # STRIPE_SK
    return any(word in _SECRET_WORDS or word.endswith(("PASSWORD", "SECRET", "TOKEN")) for word in upper)


def is_secret(name: str, value: str) -> bool:
    """Whether a variable holds a secret, as far as its name and value show."""
    return bool(why_secret(name, value))


def why_secret(name: str, value: str) -> str:
    """Why a variable holds a secret, as far as its name and value show; empty when it does not.

    Of a name that says secret, a value that is a switch, a figure or a place says that it is only about one; of the
    name of a password only a switch does, as a figure or a slash may begin one. Quotes may be a part of the value: of
    an `env_file`, or of `NAME="0"` in a list.
    """
    if _CREDENTIALS_IN_URL.search(value):
        return "a password stands in its URL"
    if _SECRET_IN_QUERY.search(value):
        return "a secret stands in the query of its URL"
    if _TOKEN.search(value):
        return "it has the form of a token"
    quoted = re.fullmatch(r"""(["'])(.*)\1""", value.strip(), re.DOTALL)
    plain = quoted[2].strip() if quoted else value.strip()
    if re.search(r"(^|_)AUTH$", name.upper()) and re.fullmatch(r"[^\s:/]+:[^\s/]\S*", plain):
        return "it holds a user and a password"
    if not named_like_a_secret(name) or bool(quoted and not plain) or _says_none(name, plain):
        return ""
    return "by its name"


def _says_none(name: str, plain: str) -> bool:
    """Whether a value says that its name is only about a secret, or that there is none."""
    if _PASSWORD_NAME.search(_upper(name)):
        return bool(_SWITCH.fullmatch(plain))
    forms = (_SWITCH, _PLACE) if made_up(name) else (_SWITCH, _PLACE, _NONE, _FIGURE)
    return any(form.fullmatch(plain) for form in forms)


def password_in_url(text: str) -> tuple[str, str] | None:
    """The password in a URL and the host that it is for; None without one."""
    return next(iter(passwords_in_urls(text)), None)


def passwords_in_urls(text: str) -> list[tuple[str, str]]:
    """The same of every URL."""
    return [(found["password"], found["host"] or "") for found in _CREDENTIALS_IN_URL.finditer(text)]


def weakness(name: str, value: str) -> str | None:
    """What is wrong with a secret's value: it is empty, a placeholder or, named like a secret, short; else None."""
    plain = re.sub(r"[\s_-]+", "", value).lower()
    named = named_like_a_secret(name)
    if not plain:
        return "is empty"
    own = is_password(name) or made_up(name)  # any text may be one
    if named and not own and _says_none(name, value.strip()):
        return None
    repeated = len(set(plain)) == 1 and len(plain) > 2  # noqa: PLR2004  # "xxx" is one, the answer "no" is none
    first = plain == name.replace("_", "").lower() or any(plain in sequence for sequence in _SEQUENCES)
    if (
        is_placeholder(value, "secrets", name if named else "")
        or (repeated and (named or plain.isalpha()))
        or (named and first)
    ):
        return "is a placeholder"
    if named and len(value.strip()) < SHORTEST_SECRET:
        return f"has fewer than {SHORTEST_SECRET} characters"
    return None


def is_password(name: str) -> bool:
    """Whether a secret's name is that of a password."""
    return bool(_PASSWORD_NAME.search(_upper(name)))


def made_up(name: str) -> bool:
    """Whether a secret of this name may be any random text; a URL, JSON or another's key may not."""
    return bool(_MADE_UP.fullmatch(_upper(name)))


def _upper(name: str) -> str:
    """`dbPassword` as `DB_PASSWORD`."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).upper()


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
