"""Names of a registry: what stands in an image's name, where its API answers, what clients file credentials under.

Docker Hub has three different ones (Docker's reference library and client configuration); every other has one.
"""

from __future__ import annotations

__all__ = ["address_of", "api_url", "credentials_key", "is_local", "mirrored", "without_tag"]

_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")


def address_of(name: str) -> str:
    """HOST[:PORT] of a registry with or without a path, or of an image's name."""
    return name.split("/", 1)[0]


def without_tag(image: str) -> str:
    """An image's name without its tag; the digest stays where there is one."""
    name, at, digest = image.partition("@")
    head, slash, tail = name.rpartition("/")
    return f"{head}{slash}{tail.partition(':')[0]}{at}{digest}"


def is_local(address: str) -> bool:
    """Whether clients speak plain HTTP to it: Docker does so for loopback addresses only."""
    return address.startswith(("127.", "localhost"))


def api_url(address: str) -> str:
    """The base of its API, ending in /v2/."""
    host = "registry-1.docker.io" if address in _HUB else address
    return f"{'http' if is_local(address) else 'https'}://{host}/v2/"


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
