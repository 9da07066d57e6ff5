"""The forms that single values of settings must have: addresses, registries, tags, host keys.

Messages say what is expected and never repeat the value, which may be a secret that was put in the wrong place.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import itertools
import json
import re
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from pydantic import AfterValidator, BeforeValidator, SecretStr

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "PLATFORMS", "Address", "Adopted", "AuthorityUrl", "Domain", "Email", "Listed", "Mapped", "Network", "Pem",
    "Platform", "RegistryPlace", "StackOnHost", "Tag", "TrustedProxy", "User", "VolumeKey", "VolumeKeyOrAll",
    "Webhook", "decoded", "is_placeholder", "matching", "message_of", "name_words", "networks_of", "one_host_key",
    "plain_platform", "texts", "tolerate_json", "unfolded", "upper_name",
]  # fmt: skip

_Entry = TypeVar("_Entry")

# Those of pulumi-docker-build that a Linux server can have; a unit test holds them against its SDK.
PLATFORMS = (
    "linux/amd64", "linux/arm64", "linux/arm", "linux/386", "linux/mips64", "linux/mips64le", "linux/ppc64le",
    "linux/riscv64", "linux/s390x",
)  # fmt: skip
# What those providers publish of the addresses from which their proxies connect; seen in November 2026.
_PROVIDERS = {
    "cloudflare": (  # https://www.cloudflare.com/ips/
        "103.21.244.0/22", "103.22.200.0/22", "103.31.4.0/22", "104.16.0.0/13", "104.24.0.0/14", "108.162.192.0/18",
        "131.0.72.0/22", "141.101.64.0/18", "162.158.0.0/15", "172.64.0.0/13", "173.245.48.0/20", "188.114.96.0/20",
        "190.93.240.0/20", "197.234.240.0/22", "198.41.128.0/17", "2400:cb00::/32", "2405:8100::/32", "2405:b500::/32",
        "2606:4700::/32", "2803:f800::/32", "2a06:98c0::/29", "2c0f:f248::/32",
    ),
    "fastly": (  # https://api.fastly.com/public-ip-list
        "103.244.50.0/24", "103.245.222.0/23", "103.245.224.0/24", "104.156.80.0/20", "140.248.64.0/18",
        "140.248.128.0/17", "146.75.0.0/17", "151.101.0.0/16", "157.52.64.0/18", "167.82.0.0/17", "167.82.128.0/20",
        "167.82.160.0/20", "167.82.224.0/20", "172.111.64.0/18", "185.31.16.0/22", "199.27.72.0/21", "199.232.0.0/16",
        "23.235.32.0/20", "43.249.72.0/22", "2a04:4e40::/32", "2a04:4e42::/32",
    ),
}  # fmt: skip
_NAME = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"  # RFC 1123, section 2.1
_ADDRESS = r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?\.?|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*(%\w+)?"  # a name, or IP v4 or v6
_URL = r"(https?://[^\s/]+\S*)?"
# https://distribution.github.io/distribution/spec/api/#overview: path components are lower case
_COMPONENT = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_KEY_ALGORITHMS = frozenset(
    {"ssh-ed25519", "ssh-rsa", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
     "sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"},
)  # fmt: skip

# What the shipped patterns, the documentation and commands hold where a value belongs.
_UNFILLED = re.compile(
    r"VALUE|PROFILE|SHORTER-NAME|PATH-TO-[A-Z-]+|[A-Z]+(-[A-Z0-9]+)*-ADDRESS|.*\bYOUR-[A-Z]+(-[A-Z]+)*\b.*"
    r"|([^/]+/)+your-team(/.*)?"
)
_UNFILLED_SETTINGS = ("NAME", "USER", "ADDRESS", "PORT", "MB")  # a variable may mean them
# Stand-ins that people write for a secret: a word alone, or several, one of them from the first list.
# None consists of hexadecimal digits, so that no random number consists of them.
_TELLING = (
    "change changed changeme replace replaced replaceme insert enter fill fixme put set tbd todo update updated your "
    "example sample default dummy fake placeholder insecure unsafe"
)
_SAID = (
    "access admin and any api app at auth base before bytes char character characters chars client cookie credential "
    "credentials database demo deploy dev development encryption exactly for generate generated hash here hex in is it "
    "jwt key least length letmein local long mariadb master me min minimum mongo must my mysql new not number of only "
    "openssl or output own pass passphrase passwd password please postgres postgresql private prod production pw pwd "
    "rabbitmq random real redis refresh root salt secret secure server session should signing some something string "
    "strong super test testing text that the this to token use user value very with later"
)
_ALONE = re.compile(
    r"(password|passwd|pass|passphrase|(my|super)?secret|token|todo|fixme|tbd|example|default|test|dummy|placeholder"
    r"|none|null|undefined|insecure|letmein|changeme|replaceme|(admin)+|qwertyuiop)[0-9!.]*"
    r"|<.*>|\W+|\$\{.*|djangoinsecure.*|.*your[a-z]*(key|pass(word)?|secret|token|string|value|here)"
)

_URL_SAFE = str.maketrans("+/", "-_")
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{40,}={0,2}")

_MESSAGES = {  # for pydantic's own
    "missing": "is missing",
    "model_type": "is not a mapping",
    "dict_type": "is not a mapping",
    "list_type": "is not a list",
}


def name_words(name: str) -> list[str]:
    """`dbPassword_2` as DB, PASSWORD."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+", re.sub(r"([a-z])([A-Z])", r"\1_\2", name))
    return [word.upper() for word in words]


def upper_name(name: str) -> str:
    """`dbPassword` as `DB_PASSWORD`."""
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).upper()


def decoded(value: str) -> str:
    """What base64 stands for, if it is a text."""
    compact = re.sub(r"\s+", "", value)
    if not _BASE64.fullmatch(compact):
        return ""
    try:
        return base64.urlsafe_b64decode(compact.translate(_URL_SAFE) + "==").decode()
    except ValueError:
        return ""


def message_of(error: Any) -> str:  # noqa: ANN401  # pydantic's ErrorDetails
    """What one error of a `ValidationError` says, in words that follow the name of the value."""
    message = _MESSAGES.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
    return f"{message[:1].lower()}{message[1:]}"


def is_placeholder(value: str, section: str, name: str = "") -> bool:
    """Whether nobody wrote the value yet that belongs there; `section` is `variables`, `secrets` or another setting.

    `name` is that of a secret which says so: such a value may not consist of its words, either.
    """
    if _UNFILLED.fullmatch(value):
        return True
    if section != "secrets":
        return section != "variables" and value in _UNFILLED_SETTINGS
    return bool(_ALONE.fullmatch(re.sub(r"[\s_-]+", "", value).lower())) or _of_words(value, name)


_AS_LETTERS = {"@": "a", "0": "o", "$": "s"}


def _of_words(value: str, name: str) -> bool:
    """Whether a value consists of words for a secret that is none, and of one other in at most a third of its letters.

    A passphrase has more than one other, and a generated value is none: 8 of 12 random letters are such words in one of
    some 10^8.
    """
    value = re.sub(r"(?<=[A-Za-z])[@0$](?=[A-Za-z])", lambda found: _AS_LETTERS[found[0]], value)
    if not re.fullmatch(r"[\w\s,!?()-]{1,200}\.?", value, re.ASCII):
        return False
    if name and re.fullmatch(r"(?i)[a-z]{3,16}[_-]?pass(word|wd)\d{0,4}!?", value):
        return True  # that of a product
    text = re.sub(r"[^a-z]+", " ", re.sub(r"([a-z])([A-Z])", r"\1 \2", value).lower())
    own = {word for word in re.findall(r"[a-z]{3,}", name.lower()) if not re.fullmatch(r"[a-f]+", word)}
    words = {*_TELLING.split(), *_SAID.split(), *own, *(word.removesuffix("s") for word in own)}
    others = re.sub("|".join(sorted(words, key=len, reverse=True)), " ", text).split()
    told = name or (" " in text.strip() and re.search(rf"\b({_TELLING.replace(' ', '|')})", text))
    letters, other = len(text.replace(" ", "")), len("".join(others))
    digits = sum(each.isdigit() for each in value)
    return bool(told) and len(others) <= 1 and other * 3 <= letters and digits <= letters > 0


def matching(pattern: str, otherwise: str) -> AfterValidator:
    """A validator for text that must match `pattern` as a whole; `otherwise` says what is wrong when it does not."""
    compiled = re.compile(pattern, re.ASCII)

    def check(value: str) -> str:
        if not compiled.fullmatch(value):
            raise ValueError(otherwise)
        return value

    return AfterValidator(check)


def tolerate_json(value: object) -> object:
    """Read a list or mapping that arrives as JSON text. Raises `ValueError` when it begins like one and is none."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return json.loads(value)
        except ValueError:  # its message would be harmless, but its `doc` is the whole value
            raise ValueError("begins like a list or mapping, but is not valid JSON") from None
    return value


def texts(value: object) -> object:
    """A mapping's plain values as Compose would write them: `true`, `5`, and nothing for null."""
    value = tolerate_json(value)
    if isinstance(value, dict):
        plain = {key: "" if entry is None else entry for key, entry in value.items()}
        return {key: entry if isinstance(entry, str) else json.dumps(entry) for key, entry in plain.items()}
    return value


def _listed(value: object) -> object:
    """A list, also as JSON or as words between commas."""
    value = tolerate_json(value)
    return [word.strip() for word in value.split(",") if word.strip()] if isinstance(value, str) else value


def unfolded(value: object) -> object:
    r"""Text of several lines; CI systems that keep a variable on one line write its line ends as \n."""
    return value.replace("\\n", "\n") if isinstance(value, str) and "\n" not in value.strip() else value


def _webhook(value: SecretStr) -> SecretStr:
    if not re.fullmatch(_URL, value.get_secret_value(), re.ASCII):
        raise ValueError("is not an http:// or https:// address")
    return value


def _registry(value: str) -> str:
    value = value.rstrip("/")
    if not value:
        return ""
    if "://" in value:
        raise ValueError("is written without https:// (HOST[:PORT]/PATH)")
    if "@" in value:
        raise ValueError("holds an @ (the user goes into registryUsername)")
    host, _, path = value.partition("/")
    if not re.fullmatch(rf"({_NAME}\.)*{_NAME}(:\d{{1,5}})?", host, re.ASCII):
        raise ValueError("does not begin with HOST[:PORT]")
    if "." not in host and ":" not in host and host != "localhost":
        raise ValueError("does not begin with a registry's host (Docker Hub is docker.io/YOUR-TEAM)")
    for component in path.split("/") if path else ():
        if not re.fullmatch(_COMPONENT, component.lower(), re.ASCII):
            raise ValueError("has a path that is not one of an image (letters, digits, single dots and dashes)")
        if is_placeholder(value, "registry"):
            raise ValueError("is a placeholder")
        if component != component.lower():
            raise ValueError(f"has capital letters, which no image name may have (write {value.lower()})")
    return value


def _address(value: str) -> str:
    if "://" in value or "@" in value or "/" in value:
        raise ValueError("is more than a name or an IP address (user and port have keys of their own)")
    if value.count(":") == 1:
        raise ValueError("is more than a name or an IP address (the port has a key of its own)")
    if not re.fullmatch(_ADDRESS, value, re.ASCII):
        raise ValueError("is neither a name nor an IP address")
    return value


def one_host_key(key: str) -> str:
    """`ALGORITHM BASE64` of a public key given in that form or as output of ssh-keyscan; empty when there is none.

    Of several, the one that the engine's SSH client asks a host for first: golang.org/x/crypto/ssh prefers ECDSA to
    RSA to Ed25519, and a host shows the kind that it is asked for. The base64 must say the same algorithm again: RFC
    4253, section 6.6. What a line of known_hosts marks (@revoked, @cert-authority) is none, nor is what stands in a
    comment.
    """
    found: list[str] = []
    marked: set[str] = set()
    for line in key.splitlines():
        words = line.split()
        if line.lstrip().startswith("#"):
            continue
        mark = False
        for algorithm, encoded in itertools.pairwise(words):
            mark = mark or algorithm.startswith("@")
            if algorithm in _KEY_ALGORITHMS:
                try:
                    blob = base64.b64decode(encoded, validate=True)
                except binascii.Error:
                    continue
                name = len(algorithm).to_bytes(4, "big") + algorithm.encode()
                if blob.startswith(name) and len(blob) > len(name):
                    (marked.add if mark else found.append)(f"{algorithm} {encoded}")
                    mark = False
    return min(
        (each for each in found if each not in marked),
        key=lambda each: (not each.startswith("ecdsa-"), not each.startswith("ssh-rsa")),
        default="",
    )


def plain_platform(platform: str) -> str:
    """A platform without the variant that its plain name means anyway: containerd's platforms.Normalize."""
    return {"linux/arm64/v8": "linux/arm64", "linux/arm/v7": "linux/arm"}.get(platform, platform)


def _platform(value: str) -> str:
    plain = plain_platform(value)
    if plain not in PLATFORMS:
        raise ValueError(f"is not one of {', '.join(PLATFORMS)}")
    return plain


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value, strict=False) if "/" in value else ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("is neither an address nor a network such as 192.0.2.0/24") from None


def _proxy(value: str) -> str:
    if value.lower() in _PROVIDERS:
        return value.lower()
    try:
        network = _network(value)
    except ValueError as error:
        raise ValueError(f"{error}, nor a provider: {', '.join(_PROVIDERS)}") from None
    if network.endswith("/0"):
        raise ValueError("is every address: any visitor could claim another one")
    return network


def networks_of(proxies: Iterable[str]) -> list[str]:
    """Addresses and networks of trusted proxies, those of providers among them; sorted."""
    return sorted({network for proxy in proxies for network in _PROVIDERS.get(proxy, (proxy,))})


Listed = Annotated[list[_Entry], BeforeValidator(_listed)]
Mapped = Annotated[dict[str, str], BeforeValidator(texts)]
Address = Annotated[str, AfterValidator(_address)]
RegistryPlace = Annotated[str, AfterValidator(_registry)]
User = Annotated[str, matching(r"[A-Za-z_][A-Za-z0-9_.-]*", "is not a user's name")]
Domain = Annotated[str, matching(rf"(({_NAME}\.)*{_NAME})?", "is not a domain name (no https://, port or path)")]
StackOnHost = Annotated[
    str, matching(r"[a-z0-9][a-z0-9_-]{0,62}", "is not a stack as hosts know it, such as shop-production")
]
SecretName = Annotated[str, matching(r"\w*", "is not the name of a secret setting")]
Tag = Annotated[str, matching(r"([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?", "is not an image's tag")]
Network = Annotated[str, AfterValidator(_network)]
TrustedProxy = Annotated[str, AfterValidator(_proxy)]
Platform = Annotated[str, AfterValidator(_platform)]
VolumeKey = Annotated[str, matching(r"[A-Za-z0-9._-]+", "is not the name of a volume in a Compose file")]
VolumeKeyOrAll = Annotated[str, matching(r"[A-Za-z0-9._-]+|\*", "is not the name of a volume in a Compose file, nor *")]
_OBJECT = Annotated[str, matching(r"[A-Za-z0-9][A-Za-z0-9_.-]*", "is not the name of a volume or network of Docker")]
Adopted = Annotated[dict[VolumeKey, _OBJECT], BeforeValidator(texts)]
AuthorityUrl = Annotated[str, matching(_URL, "is not an http:// or https:// address")]
Email = Annotated[str, matching(r"([^@\s]+@[^@\s]+)?", "is not an e-mail address")]
Pem = Annotated[str, BeforeValidator(unfolded)]
Webhook = Annotated[SecretStr, AfterValidator(_webhook)]
