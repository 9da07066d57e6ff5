"""Names of a registry: what stands in an image's name, where its API answers, what clients file credentials under.

Docker Hub has three different ones (Docker's reference library and client configuration); every other has one.
"""

from __future__ import annotations

import ipaddress
import re

__all__ = [
    "address_of", "api_url", "credentials_key", "is_local", "is_reference", "mirrored", "plugin_address", "plugin_name",
    "registry_of", "without_tag",
]  # fmt: skip

# https://github.com/distribution/reference/blob/v0.6.0/reference.go: [domain/]path[:tag][@digest]. Docker takes what
# stands before the first slash for a domain where it has a dot, a port or a capital letter.
_DOMAIN = r"(?:[A-Za-z0-9]|[A-Za-z0-9][A-Za-z0-9-]*[A-Za-z0-9])"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_REFERENCE = re.compile(
    rf"(?:(?:{_DOMAIN}(?:\.{_DOMAIN})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?/)?{_PART}(?:/{_PART})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@[A-Za-z][A-Za-z0-9+._-]*:[0-9a-fA-F]{32,})?"
)
_LONGEST = 255
_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


def address_of(name: str) -> str:
    """HOST[:PORT] of a registry with or without a path, or of an image's name."""
    return name.split("/", 1)[0]


def is_reference(image: str) -> bool:
    """Whether a registry could hold an image of that name."""
    return bool(_REFERENCE.fullmatch(image)) and len(image.partition("@")[0]) <= _LONGEST


def without_tag(image: str) -> str:
    """An image's name without its tag; the digest stays where there is one."""
    name, at, digest = image.partition("@")
    head, slash, tail = name.rpartition("/")
    return f"{head}{slash}{tail.partition(':')[0]}{at}{digest}"


def registry_of(image: str) -> str:
    """HOST[:PORT] of the registry that holds an image; `docker.io` for Docker Hub, by whichever name."""
    return address_of(mirrored(image, "docker.io"))


def is_local(address: str) -> bool:
    """Whether clients speak plain HTTP to it: Docker does so for loopback addresses only."""
    host = address[1:].partition("]")[0] if address.startswith("[") else address.partition(":")[0]
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def api_url(address: str) -> str:
    """The base of its API, ending in /v2/."""
    return f"{'http' if is_local(address) else 'https'}://{_api_host(address)}/v2/"


def plugin_address(address: str) -> str:
    """How the docker plugin has to be told of it: it speaks HTTPS, also to this machine, unless that says http://."""
    return f"http://{address}" if is_local(address) else _api_host(address)


def plugin_name(image: str) -> str:
    """How the docker plugin has to be asked for an image: it would ask docker.io itself, which is no registry."""
    host, _, rest = image.partition("/")
    return rest if host in _HUB else image


def _api_host(address: str) -> str:
    return "registry-1.docker.io" if address in _HUB else address


def credentials_key(address: str) -> str:
    """The key of its credentials in Docker's client configuration."""
    return "https://index.docker.io/v1/" if address in _HUB else address


def mirrored(image: str, mirror: str) -> str:
    """The reference through `mirror`, for images of Docker Hub (by its name, or without a registry's)."""
    first, _, rest = image.partition("/")
    if rest and first in _HUB:
        bare = rest
    elif rest and ("." in first or ":" in first or first == "localhost"):
        return image
    else:
        bare = image
    return f"{mirror}/{bare if '/' in bare else f'library/{bare}'}" if mirror else image
