"""The host keys that machines show, pinned once somebody has compared them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from slipway.contract.problems import Problem
from slipway.contract.redaction import printable
from slipway.hosts.connection import load_asyncssh
from slipway.settings.model import LOCAL_ADDRESS
from slipway.settings.setting_files import keyscan

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["HostKey", "SshAddress", "pin_host_keys", "shown_keys"]

_SECONDS = 15
_ANSWERS = {"yes": True, "y": True, "no": False, "n": False}
# The order in which golang.org/x/crypto/ssh asks: the key that a host shows must be the one that is pinned.
_ALGORITHMS = [
    "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256", "ssh-ed25519",
]  # fmt: skip


class SshAddress(NamedTuple):
    """Where an SSH server listens."""

    address: str
    port: int


class HostKey(NamedTuple):
    """A host key, as `ALGORITHM BASE64`, and what a person compares."""

    key: str
    fingerprint: str  # as `ssh-keygen -l` prints it: SHA256:…

    @property
    def file(self) -> str:
        """The file on the host whose fingerprint must be the same."""
        kind = {"ssh-rsa": "rsa", "ssh-ed25519": "ed25519"}.get(self.key.split(" ", 1)[0], "ecdsa")
        return f"/etc/ssh/ssh_host_{kind}_key.pub"


def pin_host_keys(
    hosts: Mapping[str, Sequence[dict[str, Any]]], *, asking: bool, accepted: bool
) -> dict[str, dict[str, str]]:
    """Pin the accepted keys of those hosts (by stack) that have none yet; their fingerprints by stack and host."""
    unpinned = [
        (stack, host, SshAddress(str(host["address"]), int(host.get("port", 22))))
        for stack, entries in hosts.items()
        for host in entries
        if host["address"] != LOCAL_ADDRESS and not host.get("hostKey")
    ]
    accepted_keys = {}
    for server, key in shown_keys(server for _, _, server in unpinned).items():
        names = ", ".join(str(host["name"]) for _, host, each in unpinned if each == server)
        if isinstance(key, Problem):
            typer.echo(f"{names}: {printable(key.what)}; its key stays open", err=True)
        elif _is_accepted(names, server, key, asking=asking, accepted=accepted):
            accepted_keys[server] = key
    notes: dict[str, dict[str, str]] = {}
    for stack, host, server in unpinned:
        if pinned := accepted_keys.get(server):
            host["hostKey"] = pinned.key
            notes.setdefault(stack, {})[host["name"]] = pinned.fingerprint
    return notes


def _is_accepted(name: str, server: SshAddress, key: HostKey, *, asking: bool, accepted: bool) -> bool:
    """Whether a key may be pinned; it is shown in any case."""
    typer.echo(printable(f"host key of {name} ({server.address}): {key.fingerprint}"))
    if accepted:
        return True
    typer.echo(f"  compare with the provider's console: ssh-keygen -lf {key.file}")
    if not asking:
        typer.echo("  not pinned: nobody compared it (--accept-host-key pins it)")
        return False
    while True:
        answer = str(typer.prompt("  Is it the same? yes or no", default="no")).strip().lower()
        if answer in _ANSWERS:
            break
        typer.echo(f"  '{answer}' is neither yes nor no")
    if not _ANSWERS[answer]:
        typer.echo("  not pinned: the preview will refuse this host")
    return _ANSWERS[answer]


def shown_keys(servers: Iterable[SshAddress]) -> dict[SshAddress, HostKey | Problem]:
    """The key that each machine shows, asked side by side; a problem for one that does not answer."""
    asked = list(dict.fromkeys(servers))

    async def ask_all() -> list[HostKey | Problem]:
        return await asyncio.gather(*map(_ask, asked))

    return dict(zip(asked, asyncio.run(ask_all()), strict=True)) if asked else {}


async def _ask(server: SshAddress) -> HostKey | Problem:
    asyncssh = load_asyncssh()
    reason = ""
    asked = asyncssh.get_server_host_key(*server, server_host_key_algs=_ALGORITHMS, config=None)
    try:
        if key := await asyncio.wait_for(asked, _SECONDS):
            algorithm, encoded = key.export_public_key("openssh").decode().split()[:2]
            return HostKey(f"{algorithm} {encoded}", key.get_fingerprint())
    except (asyncssh.Error, OSError, TimeoutError) as error:
        reason = f" ({str(error) or f'no answer within {_SECONDS} s'})"
    what = f"{server.address}:{server.port} shows no host key{reason}"
    return Problem(what, "a host without a pinned key is refused", keyscan(*server))
