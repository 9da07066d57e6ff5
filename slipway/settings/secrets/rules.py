"""What counts as a secret, by name or value, and which secrets are too weak. Nothing here repeats a value."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from slipway.contract.problems import Problem
from slipway.settings.secrets.forms import passwords_in_urls, secret_forms
from slipway.settings.setting_files import config_set, entry
from slipway.settings.values import decoded, is_placeholder, name_words, upper_name

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = [
    "GUESSED", "PLAIN_INSTEAD", "SHORTEST_SECRET", "is_password", "is_secret", "made_up", "missing_secret",
    "named_like_a_secret", "new_secret", "password_in_url", "passwords_assigned", "placeholder_inside",
    "probably_secret", "user_names", "weakness", "why_not_plain", "why_secret",
]  # fmt: skip

PLAIN_INSTEAD = "if it is none, a plain variable of the stack in its place deploys"
GUESSED = "secret-weak"
"""The code of the problem that anyone could guess a secret."""
SHORTEST_SECRET = 12
"""Characters. NIST SP 800-63B-4 asks for 15 of a sole password, 8 of one beside a second factor."""

# Whole words between underscores, so that KEYCLOAK_HOST and MONKEY are none; and words that are written as one, as in
# DBPASS and JWTKEY.
_SECRET_WORDS = frozenset(
    {"PASSWORD", "PASSWD", "PASSPHRASE", "PASS", "PWD", "PW", "SECRET", "SECRETS", "TOKEN", "KEY", "KEYS", "APIKEY",
     "DSN", "PAT", "CRED", "CREDENTIAL", "CREDENTIALS", "CREDS", "PEPPER", "MNEMONIC", "PSK"},
)  # fmt: skip
_GLUED = re.compile(
    r"\w*(PASSWORDS?|PASSWD|PASSPHRASE|SECRETS?|TOKENS?)"
    r"|(?!\w*(COM|BY|TRES|SUR|UNDER|OVER)PASS$)\w{2,}(PASS|PWD)"
    r"|\w*(API|ADMIN|APP|AUTH|COOKIE|CRYPTO?|ENC(RYPT(ION)?)?|FERNET|HMAC|JWT|LICEN[CS]E|MASTER|PRIVATE|SECRET|SESSION|SIGN(ING)?)KEYS?"
)
# Of these, and of one that is not the last, a value of ordinary words says that it is none: S3_KEY, TOKEN_SYMBOL.
_COUNTABLE = ("TOKEN", "TOKENS")
_DOUBTFUL_WORDS = frozenset({"KEY", "KEYS", "CRED", "CREDENTIALS", "CREDS"})
_BY_VALUE = re.compile(r"\w+_(AUTH|MASTER|PRIVATE)|(\w+_)?ACCESSKEY")  # SMTP_AUTH=login, TWILIO_AUTH=0f1e…
_LAST_WORDS = re.compile(r"\w+_SK|(\w+_)?(SALT|SECRET_ID|ERLANG_COOKIE|(ADMIN|USER|ACCESS|LOGIN)_PIN)")
# A name that ends so says something about a secret, or where it is, and is none itself.
_ABOUT_WORDS = frozenset(
    {"FILE", "PATH", "DIR", "URL", "URI", "HOST", "PORT", "ID", "NAME", "USER", "LENGTH", "SIZE", "MIN", "MAX", "TTL",
     "AGE", "EXPIRY", "EXPIRES", "EXPIRATION", "LIFETIME", "TIMEOUT", "SECONDS", "MINUTES", "HOURS", "DAYS", "TYPE",
     "ALGORITHM", "HEADER", "PREFIX", "ENABLED", "DISABLED", "REQUIRED", "ISSUER", "AUDIENCE", "ROUNDS", "LIMIT",
     "LIMITS", "RATE", "MODULE", "RESET", "COUNT", "ATTEMPTS", "RETRIES", "INTERVAL", "PERIOD", "DURATION", "VALIDITY",
     "EXPIRE", "LEEWAY", "BITS", "POLICY", "MODE", "FORMAT", "ENCODING", "CLASS", "BACKEND", "PROVIDER", "STRATEGY",
     "SCHEME", "METHOD", "ROTATION", "VERSION", "VALIDATORS", "HASHER", "HASHERS", "STRENGTH", "HISTORY", "HINT",
     "FIELD", "LABEL", "SCOPE", "SCOPES", "REALM", "DOMAIN", "EMAIL", "ENDPOINT", "TEMPLATE", "SUBJECT", "ENCRYPTION",
     "AUTHENTICATION", "ROUTE", "LINK", "PAGE", "VIEW", "FORM", "TEXT", "TITLE", "MESSAGE", "COLOR", "PLACEHOLDER",
     "STORE", "MANAGER", "SOURCE", "ENGINE", "DRIVER", "HOSTNAME", "LANGUAGE"},
)  # fmt: skip
# Says of a browser that it may have it, and of a switch or a number that it is only about one.
_OPEN_WORDS = frozenset({"PUBLIC", "PUBLISHABLE", "JWKS"})
_SWITCH_WORDS = frozenset({"ALLOW", "RANDOM", "REQUIRE", "ENABLE", "DISABLE", "USE", "MAX", "MIN"})
_COUNTED = re.compile(r"\w*(TOKEN|KEY|SECRET)S|SALT")
# A value that says there is none, or is only about one.
_SWITCH = re.compile(r"true|false|yes|no|on|off", re.IGNORECASE)
_NONE = re.compile(
    r"none|null|nil|invalid|disabled?|required|optional|unset|\[\]|\{\}|n/?a|not[ _-]?(set|used|needed)|-?[01]",
    re.IGNORECASE,
)
_FIGURE = re.compile(r"-?\d{1,9}")
_MEASURE = re.compile(
    r"-?\d{1,5}(\.\d+|e\d{1,3})|\d{1,6}\s*[kmgt]i?b?"
    r"|\d{1,6}\s*/\s*(\d{1,5}\s*)?(ms|[smhd]|sec(ond)?s?|min(ute)?s?|hours?|days?|weeks?|months?|years?)"  # 60/minute
    r"|(\d{1,6}\s*(ms|[smhdw]|sec(ond)?s?|min(ute)?s?|hours?|days?|weeks?|months?|years?)\s*)+",  # 1h30m
    re.IGNORECASE,
)
# A generated value may begin with a slash, too: only what has an ending, or is Docker's own folder, is a path; and what
# is spelled in letters, where the name is that of a key which lies in a file.
_PLACE = re.compile(r"\*\.\w{1,5}|(~|\.{1,2})?/([\w.@-]+/)*[\w@-]+\.[a-z]{1,6}|/run/secrets/[\w.-]+")
_FILE_URL = re.compile(r"file:(//)?/[\w./-]+")
_OPEN_KEY = re.compile(
    r"(ssh|ecdsa|sk)-[\w@.-]+ AAAA.*|-----BEGIN (CERTIFICATE|[A-Z\d ]*PUBLIC KEY)-----.*|pk_(live|test)_\w+", re.DOTALL
)
_ABOUT = (_SWITCH, _NONE, _MEASURE, _PLACE, _OPEN_KEY)
_BY_BOTH = re.compile(
    r"(\w+_)?(TLS|SSL|SSH|DKIM|CERT|HOST|SERVER|CLIENT)_KEYS?=(/[a-z][a-z._-]*){2,}|(\w+_)?PROXY_PASS=https?://[^\s@]+"
    r"|CREDENTIALS?=[~.]?(/[\w.-]+)+|(\w+_)?DSN=[^@]*"
)
_PASSWORD_NAME = re.compile(r"(PASSWORD|PASSWD|PASSPHRASE|PASS|PWD|PW)(_?\d+)?$")
_HOST = re.compile(r"(?i)(?:://|(?:host|server|data source)\s*=\s*(?:tcp:)?)(?:[^/\s@]*@)?([\w.-]+)")
_AUTH_NAME = re.compile(r"(\w+_)?((BASIC|HTTP)?AUTH(_USERS?|_LOGINS?)?|USERS|LOGINS?|ACCOUNTS|VISITORS)")
_USER_AND_PASSWORD = re.compile(r"(?!\d+:\d+$)[^\s:/]+:(?!\$\{)[^\s/]\S*|neo4j/\S+")
# A `.env` may hold these without a word: hosts and digests are public, and who writes words or numbers means no secret,
# but where these are how a secret is spelled.
_SPELLED_WORDS = frozenset({"PIN", "OTP", "TOTP", "SEED", "PHRASE"})
_PUBLISHED = re.compile(r"(?<![\w.-])(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,12}(?![\w-])|sha256:[0-9a-f]{64}")
_NUMBER_OR_WORD = re.compile(r"\d{1,15}|[a-z]{1,16}|[A-Z]{1,16}|[A-Z]?[a-z]+([A-Z][a-z]{2,})*")
_MIXED = re.compile(r"[A-Za-z]{1,4}\d{1,4}|\d{1,4}[A-Za-z]{1,4}")
_UNSPEAKABLE = re.compile(r"[bcdfghjklmnpqrstvwxz]{5}.|.[bcdfghjklmnpqrstvwxz]{5}")
# With few vowels, too: so are 95 of 100 random runs of 12 letters, 999 of 1000 of 32, and few runs of words.
_NO_WORDS = re.compile(r"[bcdfghjklmnpqrstvwxz]{5}|q[^u]|[jvwxz][bcdfgjkmpqtvxz]|[aeiou]{5}")
_MARKS = re.compile(r"[^\w\s./:@=&?,+-]")
_MNEMONIC = re.compile(
    r"([a-z]{3,8}[ ,-]){11,}[a-z]{3,8}|([a-z]{4}[ -]){3}[a-z]{4}"  # Gmail's
    r"|(?=.*\d)(?=.*[A-Z])([A-Z\d]{4,8}-){2,}[A-Z\d]{4,8}"
)  # a licence's
# What an application may make up for itself: passwords of what it brings along, and what it signs with. All else comes
# from somewhere: a URL, JSON, a third party's key, a key of a certain length.
_MADE_UP = re.compile(
    r"(\w+_)?(POSTGRES(QL)?|PG|DB|DATABASE|MYSQL|MARIADB|MONGO(DB)?|REDIS|VALKEY|CACHE|RABBITMQ|CLICKHOUSE|ROOT|ADMIN|APP)_?"
    r"(PASSWORD|PASSWD|PASS|PWD|PW)"
    r"|(APP_|WEB_|DJANGO_|FLASK_|RAILS_)?(SECRET_KEY(_BASE)?|(APP|JWT|SESSION|COOKIE|CSRF|SIGNING)_SECRET(_KEY)?"
    r"|(JWT|SESSION|COOKIE|CSRF|SIGNING)(_SIGNING)?_KEY|JWT_(ACCESS|REFRESH)_SECRET)"
    r"|(BETTER_|NEXT)?AUTH_SECRET"
)
_SHELL = ("PWD", "OLDPWD")  # the shell's folders
_DATABASE_URL = re.compile(
    r"(\w+_)?(DATABASE|DB|POSTGRES(QL)?|PG|MYSQL|MARIADB|MONGO(DB)?|REDIS|AMQP|RABBITMQ|BROKER|CELERY\w*)_(URL|URI|DSN)"
)

_USERS = (["USER"], ["USERNAME"], ["LOGIN"])
_SEQUENCES = ("01234567890123456789", "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm")


def named_like_a_secret(name: str, value: str = "") -> bool:
    """Whether a variable's name says that its value is secret; of `USE_TOKEN`, only its value can say it."""
    upper = name_words(name)
    if not upper or name in _SHELL or not _OPEN_WORDS.isdisjoint(upper):
        return False
    asks = not _SWITCH_WORDS.isdisjoint(upper)
    if asks and (not value or any(form.fullmatch(value) for form in (*_ABOUT, _FIGURE))):
        return False
    if _LAST_WORDS.fullmatch("_".join(upper)):
        return True  # STRIPE_SK, VAULT_SECRET_ID
    if upper[-1] in _ABOUT_WORDS or _BY_VALUE.fullmatch("_".join(upper)):
        return bool(_BY_VALUE.fullmatch("_".join(upper)) and _odd_pieces(value))
    open_key = upper[-2:] in (["ACCESS", "KEY"], ["SITE", "KEY"], ["SENTRY", "KEY"])
    if open_key and {"SECRET", "AZURE", "SHARED"}.isdisjoint(upper):
        return False  # the id beside an AWS_SECRET_ACCESS_KEY; of a CAPTCHA or a DSN, for browsers
    return any(word in _SECRET_WORDS or _GLUED.fullmatch(word) for word in upper)


def _is_doubtful(name: str) -> bool:
    """Whether it takes the value to tell whether a name that says secret means one."""
    words = name_words(name)
    clear = _LAST_WORDS.fullmatch("_".join(words)) or any(
        _GLUED.fullmatch(word) and word not in _COUNTABLE for word in words
    )
    last = words[-1] in _SECRET_WORDS and words[-1] not in _DOUBTFUL_WORDS
    return not (clear or last or _GLUED.fullmatch("".join(words[-2:])))


def is_secret(name: str, value: str) -> bool:
    """Whether a variable holds a secret, as far as its name and value show."""
    return bool(why_secret(name, value))


def why_secret(name: str, value: str, declared: Collection[str] = ()) -> str:
    """Why a variable holds a secret, as far as its name and value show; empty when it does not.

    Of a name that says secret, a value that is a switch, a measure or a file says that it is only about one; of the
    name of a password only a switch does, as a figure or a slash may begin one. Quotes may be a part of the value: of
    an `env_file`, or of `NAME="0"` in a list. A secret that is one of `declared`, and no more, is none.
    """
    quoted = re.fullmatch(r"""(["'])(.*)\1""", value.strip(), re.DOTALL)
    plain = quoted[2].strip() if quoted else value.strip()
    if value in declared or plain in declared:
        return ""
    written = f"{name}={value}" if name.upper().endswith("AUTHORIZATION") else value
    if form := _form(name, written, declared) or _form(name, decoded(value), ()):
        return form
    if _AUTH_NAME.fullmatch(upper_name(name)) and _USER_AND_PASSWORD.fullmatch(plain):
        return "" if re.split("[:/]", plain, maxsplit=1)[1] in declared else "it holds a user and a password"
    if not named_like_a_secret(name, plain) or bool(quoted and not plain) or _says_none(name, plain):
        return ""
    if _is_doubtful(name) and _is_ordinary(name, plain):
        return ""
    return "by its name"


def _is_ordinary(name: str, text: str) -> bool:
    return not (_may_be_generated(text) or why_not_plain(name, text) or is_placeholder(text, "secrets"))


def _form(name: str, text: str, declared: Collection[str]) -> str:
    """What is secret in a text, as far as its form shows; a JWT or a DSN may be meant for browsers."""
    for each in secret_forms(text):
        none = each.name and (_says_none(each.name, each.value) or _NONE.fullmatch(each.value))
        word = each.name and not is_password(each.name) and re.search(r"\s[a-z]{5,}$", each.text[: each.last + 1])
        browsers = each.open and not _OPEN_WORDS.isdisjoint(name_words(name))
        header = word and _is_ordinary("", each.value)  # token: header
        if not (none or header or browsers or each.is_one_of(declared)):
            return each.why
    return ""


def _says_none(name: str, plain: str) -> bool:
    """Whether a value says that its name is only about a secret, or that there is none."""
    if _BY_BOTH.fullmatch(f"{upper_name(name)}={plain}") or _FILE_URL.fullmatch(plain):
        return True
    if is_password(name):
        return bool(_SWITCH.fullmatch(plain))
    counts = any(_COUNTED.fullmatch(word) for word in name_words(name)[-1:])
    forms = (_SWITCH, _PLACE) if made_up(name) else (*_ABOUT, _FIGURE) if counts else _ABOUT
    return any(form.fullmatch(plain) for form in forms)


def why_not_plain(name: str, value: str) -> str:
    """Why a line of a `.env` is not evidently plain, whatever else; empty when it is.

    Plain is what consists of words, numbers, versions, measures and hosts, as log levels, addresses, paths, time zones
    and titles do: nobody generates such a secret, nor types one where the name does not say so.
    """
    words, text = name_words(name), value.strip().strip("\"'")
    if words and words[-1] in _SPELLED_WORDS and text and not any(form.fullmatch(text) for form in (_SWITCH, _NONE)):
        return "by its name"
    if not _OPEN_WORDS.isdisjoint(words) or _MEASURE.fullmatch(text) or _OPEN_KEY.fullmatch(text):
        return ""
    pieces, odd = _pieces(text), _odd_pieces(text)
    mixed = [piece for piece in pieces if _MIXED.fullmatch(piece)]
    few = len(mixed) * 2 <= len(pieces) or len(text) <= 5  # noqa: PLR2004  # HS256
    marked = not re.search(r"^[\[{]|\s", text) and len(set(_MARKS.findall(text))) > 2  # noqa: PLR2004  # no JSON or prose
    if odd or not few or marked or _MNEMONIC.fullmatch(text):
        return "nothing shows that it is plain"
    return ""


def _pieces(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", _PUBLISHED.sub(" ", text))


def _odd_pieces(text: str) -> list[str]:
    """What is neither a word nor a number, nor a few letters and digits."""
    return [piece for piece in _pieces(text) if not _MIXED.fullmatch(piece) and not _is_word(piece)]


def _may_be_generated(text: str) -> bool:
    """Whether what looks plain may be a key where a name says so: digits, letters that are no words, an odd host."""
    long = rf"(?<![^\W_])(\d{{{SHORTEST_SECRET},}}|[a-z]{{{SHORTEST_SECRET},}}|[A-Z]{{{SHORTEST_SECRET},}})(?![^\W_])"
    runs = [run[0].lower() for run in re.finditer(long, text)]
    odd = any(_NO_WORDS.search(run) or len(re.findall("[aeiou]", run)) * 10 < len(run) * 3 for run in runs)
    return odd or any(re.search(r"\d[a-z]", host[0]) for host in _PUBLISHED.finditer(text))


def _is_word(piece: str) -> bool:
    if not piece.isascii():
        return piece.isalpha()
    return bool(_NUMBER_OR_WORD.fullmatch(piece)) and not _UNSPEAKABLE.search(piece.lower())


def password_in_url(text: str) -> tuple[str, str] | None:
    """The password in a URL and the host that it is for; None without one."""
    return next(iter(passwords_in_urls(text)), None)


def passwords_assigned(text: str) -> list[tuple[str, str]]:
    """The passwords of a connection string or a URL's query, with the host that it names first; empty without one."""
    host = _HOST.search(text)
    return [(each.value, host[1]) for each in secret_forms(text) if host and is_password(each.name)]


def placeholder_inside(text: str) -> bool:
    """Whether a text that names no host, which might be another's, assigns a placeholder to a word for a secret."""
    named = (each for each in secret_forms(text) if each.name and not _HOST.search(text))
    return any(is_placeholder(each.value, "secrets", each.name) for each in named)


def user_names(values: Mapping[str, str | None]) -> set[str]:
    """The values of those variables that are named like a user."""
    return {value for name, value in values.items() if value and name_words(name)[-1:] in _USERS}


def weakness(name: str, value: str, users: Collection[str] = ()) -> str | None:
    """What is wrong with a secret's value: it is empty, a placeholder or, named like a secret, short; else None.

    So is a password that is the name of one of its `users`.
    """
    plain = re.sub(r"[\s_-]+", "", value).lower()
    named = named_like_a_secret(name, value.strip())
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
    return "is its user's name" if is_password(name) and value in users else None


def is_password(name: str) -> bool:
    """Whether a secret's name is that of a password."""
    return bool(_PASSWORD_NAME.search(upper_name(name)))


def made_up(name: str) -> bool:
    """Whether a secret of this name may be any random text; a URL, JSON or another's key may not."""
    return bool(_MADE_UP.fullmatch(upper_name(name)))


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
