"""User data for a new machine: cloud-init gives it its name and host key, and runs the list once.

Owns: what stands in user data, and its limit. Does not own: what is on the list (items.py), waiting for it.
Produces: text that holds the host's private key, so it is a secret wherever it is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from slipway.contract.problems import SlipwayError
from slipway.hosts.preparation.item import Wanted
from slipway.hosts.preparation.items import items
from slipway.hosts.preparation.script import whole_script

if TYPE_CHECKING:
    from slipway.hosts.key_pair import KeyPair

__all__ = ["MOST_BYTES", "STATUS_COMMAND", "Wanted", "user_data"]

MOST_BYTES = 32 * 1024
"""Hetzner's limit: `user_data` of `POST /servers` in the description of its API."""
_SCRIPT, _LOG = "/var/lib/slipway/prepare", "/var/log/slipway-prepare.log"
STATUS_COMMAND = f"cloud-init status --long; grep -h '^slipway: error: ' {_LOG} 2> /dev/null; true"
"""What anybody on the machine may ask: how far cloud-init is (`status: running`, `done`, `error`), and which items of
the list failed, which cloud-init does not name."""


class _Readable(yaml.SafeDumper):
    """Text of several lines stands as it is: this is what somebody reads on the machine when it went wrong."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style="|" if "\n" in value else None)


_Readable.add_representer(str, _text)


def user_data(name: str, wanted: Wanted, host_key: KeyPair) -> str:
    """User data of a machine called `name` that shows `host_key` from its first connection on.

    Raises:
        SlipwayError: it is larger than Hetzner takes.
    """
    document: dict[str, Any] = {
        "hostname": name,
        "preserve_hostname": False,
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": host_key.private, "ed25519_public": host_key.public},
        "users": [],  # the distribution's own may use sudo without a password
        "ssh_pwauth": False,
        "disable_root": False,  # root logs in by key alone, which is the way back when all else fails
        "write_files": [
            {
                "path": _SCRIPT,
                "permissions": "0700",
                "content": whole_script(items(wanted, first_boot=True)),
            }
        ],
        "runcmd": [["/bin/sh", "-c", f"/bin/sh {_SCRIPT} > {_LOG} 2>&1"]],
    }
    text = "#cloud-config\n" + yaml.dump(document, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=1000)
    if len(text.encode()) > MOST_BYTES:
        raise SlipwayError(
            f"user data of {name} has {len(text.encode()):,} bytes, and Hetzner takes {MOST_BYTES:,}",
            "the machine cannot be made",
            "name fewer keys, networks or volumes",
        )
    return text
