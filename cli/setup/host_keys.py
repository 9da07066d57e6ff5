"""The host keys that machines show, to be compared and pinned.

Owns: asking a machine for the key by which the engine's SSH client would know it. Does not own: whether it is the
right one, which only a person with another way to the machine can tell.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple

from slipway.contract.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Place", "ShownKey", "shown_keys"]

_SECONDS = 15
# The order in which golang.org/x/crypto/ssh asks: the key that a host shows must be the one that is pinned.
_ALGORITHMS = [
    "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519",
]  # fmt: skip


class Place(NamedTuple):
    """Where an SSH server listens."""

    address: str
    port: int


class ShownKey(NamedTuple):
    """A host key, as `ALGORITHM BASE64`, and what a person compares."""

    key: str
    fingerprint: str
    """As `ssh-keygen -l` prints it: SHA256:…"""

    @property
    def file(self) -> str:
        """The file on the host whose fingerprint must be the same."""
        kind = {"ssh-rsa": "rsa", "ssh-ed25519": "ed25519"}.get(self.key.split(" ", 1)[0], "ecdsa")
        return f"/etc/ssh/ssh_host_{kind}_key.pub"


def shown_keys(places: Iterable[Place]) -> dict[Place, ShownKey | Problem]:
    """The key that each machine shows, asked side by side; a problem for one that does not answer."""
    wanted = list(dict.fromkeys(places))
    if not wanted:
        return {}

    async def ask_all() -> list[ShownKey | Problem]:
        return await asyncio.gather(*map(_ask, wanted))

    return dict(zip(wanted, asyncio.run(ask_all()), strict=True))


async def _ask(place: Place) -> ShownKey | Problem:
    import asyncssh  # noqa: PLC0415  # 0.2 s that a local stack need not pay

    try:
        key = await asyncio.wait_for(
            asyncssh.get_server_host_key(place.address, place.port, server_host_key_algs=_ALGORITHMS, config=None),
            _SECONDS,
        )
    except (asyncssh.Error, OSError, TimeoutError) as error:
        reason = str(error) or f"no answer within {_SECONDS} s"
        return Problem(
            f"{place.address}:{place.port} shows no host key ({reason})",
            "a host without a pinned key is refused",
            f"ssh-keyscan -p {place.port} {place.address}",
        )
    if key is None:
        return Problem(
            f"{place.address}:{place.port} shows no host key",
            "a host without a pinned key is refused",
            f"ssh-keyscan -p {place.port} {place.address}",
        )
    algorithm, encoded = key.export_public_key("openssh").decode().split()[:2]
    return ShownKey(f"{algorithm} {encoded}", key.get_fingerprint())
