"""SshKey: a key pair with which a stack's hosts are reached, made here and known to nobody else.

Owns: the pair, and its line in authorized_keys of every host over SSH and of its bastion. Does not own: who is given
the private half; it is in the state, encrypted. Replacing the pair takes the earlier one off the hosts.
"""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
from pulumi_command import local

from slipway.hosts.key_pair import public_half

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .host import Host

__all__ = ["SshKey", "SshKeyArgs"]

_NEW_PAIR = """\
from cryptography.hazmat.primitives import serialization as s
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
key = Ed25519PrivateKey.generate().private_bytes(s.Encoding.PEM, s.PrivateFormat.OpenSSH, s.NoEncryption())
print(key.decode(), end="")"""


@dataclass(frozen=True, kw_only=True)
class SshKeyArgs:
    """Where the key is to log in."""

    hosts: Sequence[Host]


class SshKey(pulumi.ComponentResource):
    """An Ed25519 key pair, and the hosts that let it in."""

    private_half: pulumi.Output[str]
    """In OpenSSH form; known once every host lets it in."""

    def __init__(self, name: str, args: SshKeyArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("slipway:ssh_key:SshKey", name, None, opts)
        pair = local.Command(
            f"{name}-pair",
            create=shlex.join([sys.executable, "-I", "-c", _NEW_PAIR]),
            logging=local.Logging.NONE,
            add_previous_output_in_env=False,
            opts=pulumi.ResourceOptions(
                parent=self,
                additional_secret_outputs=["stdout"],
                ignore_changes=["create"],  # Python is in another place on another machine: the same pair
            ),
        )
        private = pair.stdout.apply(lambda text: f"{text.strip()}\n")
        let_in = [made.stdout for host in args.hosts for made in host.let_in(name, private.apply(public_half))]
        self.private_half = pulumi.Output.all(private, *let_in).apply(lambda known: str(known[0]))
        self.register_outputs({})
