"""What is secret in a text by its form: tokens, what is assigned to a word that says so, passwords in URLs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from slipway.settings.values import is_placeholder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

__all__ = ["SecretForm", "passwords_in_urls", "replaced", "secret_forms"]

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
    | AGE-SECRET-KEY-1[0-9A-Z]{50,} | \d{8,10}:AA[\w-]{33} | (?P<jwt>eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{16,})
    | gsk_[A-Za-z0-9]{40,} | r8_[A-Za-z0-9]{30,} | (?:ntn|secret)_[A-Za-z0-9]{40,} | pat[A-Za-z0-9]{14}\.[0-9a-f]{64}
    | re_[A-Za-z0-9]{6,}_[A-Za-z0-9]{20,} | sbp_[0-9a-f]{40} | SK[0-9a-f]{32} | AKIA[0-9A-Z]{16}:\S{30,}
    | glsa_[A-Za-z0-9]{32}_[0-9a-f]{8} | glc_[A-Za-z0-9+/=]{30,} | NRAK-[A-Z0-9]{27} | [0-9a-f]{36}NRAL
    | sk\.eyJ[\w-]{8,}\.[\w-]{16,} | v1\.[0-9a-f]{40} | [MNO][A-Za-z0-9_-]{23,25}\.[\w-]{6}\.[\w-]{27,38}
    )(?![A-Za-z0-9])
    | -----BEGIN\ [A-Z ]*PRIVATE\ KEY(?:\ BLOCK)?-----
    | (?<![\w$])\$(?:2[abxy]\$\d\d|apr1|[156y]|argon2\w+|scrypt)\$[\w./$=,+]{20,}"""
)
# Where what stands around it says so: each ends with the secret's first character.
_BESIDE = re.compile(
    r"""(?x)(?<!\w)[\w.@-]{1,64}:(?:\$(?:2[abxy]|apr1|[156y]|argon2\w*|scrypt)\$|\{S?SHA\d*\})\S
    | ^(?![\dA-Fa-f:.]+(?:/\d+)?$)  # a MAC address, IPv6, its network
      [\w.*-]{1,64}:(?:\d{1,5}|\*):[^:\s]{1,64}:[^:\s]{1,64}:[^\s$*]
    | (?i:authorization["']?\s*[=:]\s*["']?[a-z]+(?:\s|%20)+[^\s$<{-])
    | (?i:(?<![\w-])--?(?!(?:no|without|ask|skip|disabled?|enable|allow|require|generate|prompt)-)(?:\w{1,30}[.-]){0,5}
      (?:password|passwd|pass|token|secret|(?:api|access|secret|master|encryption)-?key)[ ]+
      (?!(?:on|off|true|false|yes|no|none|stdin|\d+[smhdw])(?!\S)|(?:env|file):|@/|(?:id|src|source|type|env)=)
      (?:\\*["'])?[^\s"'$<{%`/.\\-])
    | (?<![\w-])--(?:(?:basic-)?auth|keys)[ =](?:\\*["'])?[^\s:"'$<{\\]{1,64}:[ ]?[^\s"'$<{`\\/]
    | (?<![\w-])echo\s(?:-n\s)?(?:\\*["'])?(?=[^\s|;&]{1,128}\s*\|[^|;&\n]{0,200}(?:-stdin|htpasswd\s+-\w*i))
      [^\s"'$<{`\\]
    | (?<![\w-])htpasswd\s+-\w*b\w*\s+(?:[^\s;|&]{1,128}\s+){1,2}(?:\\*["'])?(?=[^\s;|&>]+(?:\s*[;|&>)]|$))
      [^\s"'$<{`\\]
    | (?i:\bproxy_set_header\s+[\w-]*(?:key|token|secret)\s+["']?[^\s"'$;{<])
    | (?i:\bpwd=\{)(?=[^{}]*[^\W_a-z][^{}]*\}|[^{}]*\d)[^{}\s$]
    | "auth\\*"\s*:\s*\\*"(?=[A-Za-z0-9+/]*[A-Z\d])(?=[A-Za-z0-9+/]{8,}={0,2}\\*").
    | (?i:\buser\s+\S{1,64}\s+on\s+>[^\s$<{])
    | (?<![\w/-])(?:redis|valkey)-cli\s(?:[^|;&\n]{0,200}?\s)?-a\s?(?:\\*["'])?[^\s"'$<{`\\-]
    | (?<![\w/-])(?:mysql|mariadb)(?:-?admin|-?dump)?\s(?:[^|;&\n]{0,200}?\s)?-p(?:\\*["'])?[^\s"'$<{`\\]
    | (?<![\w-])(?:(?:curl|etcdctl)\s(?:[^|;&\n]{0,200}?\s)?(?:-u|--user)[ =]?(?:\\*["'])?[^\s:"'$<{\\]{1,64}:
      | (?:mongo(?:sh|dump|restore)?|cypher-shell)\s(?:[^|;&\n]{0,200}?\s)?-p[ ]?
      | sqlcmd\s(?:[^|;&\n]{0,200}?\s)?-P[ ]? | ldap\w{1,9}\s(?:[^|;&\n]{0,200}?\s)?-w[ ]?
      | mc\s+(?:alias\s+set|config\s+host\s+add)\s+\S{1,64}\s+\S{1,256}\s+\S{1,64}\s)(?:\\*["'])?[^\s"'$<{`\\-]
    | (?i:\b(?:identified\s+(?:with\s+\S{1,64}\s+)?by|(?:with|encrypted)\s+password)\s+'[^\s'$<{%])
    | jdbc:oracle:\w+:[^\s/:@]{1,64}/(?=[^\s@$<{]{1,128}@).
    | (?i:(?<![\w-])(?:bearer|basic)\s+(?=[^\s"']*[\d=])(?=[\w.~+/-]{8}).)
    | (?i:(?<![\w-])(?:x-\w+-)?sig(?:nature)?=(?=[^&\s]{0,64}\d)(?=[\w%+/.-]{16}).)
    | (?P<dsn>https?://(?=[^@/\s]*\d)(?=[A-Za-z0-9_-]{16,}:?@).)
    | https://(?: hooks\.slack\.com/(?:services|workflows|triggers)/ | hooks\.zapier\.com/hooks/catch/
      | (?:\w+\.)?discord(?:app)?\.com/api/(?:v\d+/)?webhooks/ | [\w.-]+\.webhook\.office\.com/
      | outlook\.office(?:365)?\.com/webhook/ | api\.telegram\.org/bot | chat\.googleapis\.com/v1/spaces/
      | hc-ping\.com/(?=[0-9a-f]{8}-) | [\w.-]+/hooks/(?=[a-z0-9]{26}) )\w"""
)
# In a query, a connection string, an option, headers, JSON, XML. A reference to a variable or a file is no value,
# nor is what a program reads or calls, or prose ("token: see the wiki").
_ASSIGNED = re.compile(
    r"""(?i)(?P<name>password|passwd|passphrase|pwd|(?<!com)(?<!by)pass|secret|token|credentials?|honeycomb-team"""
    r"""|(?:account|api|(?:secret|shared)[._-]?access|secret|private|encryption|signing|license)[._-]?key"""
    r"""|rediscli_auth|masterauth)"""
    r"""(?:[ \t]*=(?:(?<=[ \t]=)[ \t]+)?|\\*["']\s*:\s*|:[ \t]+(?!(?:[a-z]+|\d\d?)[ \t]+[a-z/(])"""
    r"""|(?:(?<=requirepass)|(?<=masterauth))[ \t]+(?!--[a-z])"""
    r"""|>(?=[^\s<>]{1,256}</))"""
    r"""(?!(?:\\*["'])?(?:(?:[a-z]+\.){0,3}!?env(?:iron)?[ .:/(\[]|!secret\s|file:/|\.[*+])"""
    r"""|(?:["']\+)?(?:[a-z_][\w.]{0,99})?[(\[])"""
    r"""(?:\\*["'])?(?P<value>[^\s;&,"'`${<%=\\][^\s;&,"'`${<%=]*)"""
)
# Up to the last @ before the path; with a slash in it only where that can be no port and path.
_CREDENTIALS_IN_URL = re.compile(
    r"""://[^/\s:]*:(?P<password>[^/\s]{1,512}?|(?!\d{1,5}/)[^\s@"',?#]{1,512})@"""
    r"""(?P<host>[\w.-]++)?+(?![^/\s,?"'#@]*@)"""
)
# Of any maker: what it is for, or whose, and a generated value.
_PREFIXED = re.compile(
    r"(?<![\w/+=.$@-])(?!sha\d|pk_|price_)(?P<prefix>(?:[A-Za-z][A-Za-z0-9]{1,9}[_.-]){1,3})(?P<value>[\w-]{20,})(?![\w/+=.])"
)
_LABEL = re.compile(r"[^\W\da-z_][^\W\dA-Z_]+")  # "password": "Passwort"
_ENDS = r"(?![^\s\"'`@&;,<>)\]}|\\])"  # of a value


class SecretForm(NamedTuple):
    """What looks like a secret in a text."""

    text: str
    why: str
    first: int
    """Where it begins; where only what stands before it says so, its first character is all that is known."""
    last: int
    name: str = ""
    """To which it is assigned."""
    value: str = ""
    """What is assigned."""
    open: bool = False
    """Whether it may be meant for browsers."""

    def is_one_of(self, values: Collection[str]) -> bool:
        """Whether it is one of these, and no more."""
        return any(self.places(value) for value in values)

    def places(self, value: str) -> list[int]:
        """Where the value begins, if it is this and no more."""
        found = re.finditer(re.escape(value) + _ENDS, self.text)
        return [each.start() for each in found if each.start() <= self.first and each.end() > self.last]


def secret_forms(text: str) -> Iterator[SecretForm]:
    """All that looks like a secret."""
    for found in _CREDENTIALS_IN_URL.finditer(text):
        first, end = found.span("password")
        yield SecretForm(text, "a password stands in its URL", first, end - 1)
    for found in _ASSIGNED.finditer(text):
        first, value = found.start("value"), found["value"].rstrip("}])")
        said = text[found.end("name") : first]
        label = "=" not in said and bool(_LABEL.fullmatch(value))
        label &= value.lower() == found["name"].lower() or not is_placeholder(value, "secrets")
        itself = rf"[\s(]{found['name']}={found['name']}(\)|,\s)"  # Python's f(password=password)
        label |= bool(re.match(itself, text[max(found.start() - 1, 0) : first + len(value) + 2]))
        if re.search(r"\w", value) and value != "stdin" and not label:
            yield SecretForm(text, "a secret stands in it", first, first + len(value) - 1, found["name"], value)
    for pattern in (_TOKEN, _BESIDE):
        for found in pattern.finditer(text):
            first, last = found.start() if pattern is _TOKEN else found.end() - 1, found.end() - 1
            yield SecretForm(text, "it has the form of a token", first, last, open=found.lastgroup is not None)

    for found in _PREFIXED.finditer(text):
        if _is_generated(found["prefix"], found["value"]):
            yield SecretForm(text, "it has the form of a token", found.start(), found.end() - 1, open=True)


def _is_generated(prefix: str, value: str) -> bool:
    """Whether letters and digits are mixed as in what is generated: in both cases, or behind a word for a secret."""
    said = re.search(r"(?i)(?<![a-z])(?:sk|pat|pt|tkn|secret)[_.-](?:\w{1,6}[_.-])?$", prefix)
    runs = [run for run in re.findall(r"[A-Za-z0-9]+", value) if len(run) >= (8 if said else 16)]
    mixed = sum(len(re.findall(r"[A-Za-z]\d", run)) for run in runs)
    cased = any(re.search("[a-z]", run) and re.search("[A-Z]", run) for run in runs)
    return mixed > 1 and bool(said or (cased and re.match(".{32}", value)))


def replaced(text: str, value: str, other: str) -> str:
    """A text with another value wherever this one looks like a secret."""
    for first in sorted({first for form in secret_forms(text) for first in form.places(value)}, reverse=True):
        text = text[:first] + other + text[first + len(value) :]
    return text


def passwords_in_urls(text: str) -> list[tuple[str, str]]:
    """The passwords in URLs, and the host that each is for."""
    return [(found["password"], found["host"] or "") for found in _CREDENTIALS_IN_URL.finditer(text)]
