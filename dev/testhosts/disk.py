"""The disk of a test host: one ext4 image, and the seed that makes the shared root file system into this host."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from typing import TYPE_CHECKING

from traces import call, name_servers

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Plan", "in_use", "make_disk"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """What a host is made of; fixed for its life."""

    name: str
    address: str
    number: int
    docker: bool
    python: bool
    internet: bool
    disk_bytes: int


def make_disk(folder: Path, plan: Plan, public_key: Path, registry: str) -> str:
    """Make the disk of a host in a folder that is not there yet; the host's own public key, without a comment.

    `public_key` opens it, and `registry` is the mirror that its engine asks first.
    """
    for part in ("disk", "root", "seed/etc/ssh", "seed/etc/docker"):
        (folder / part).mkdir(parents=True)
    image = folder / "disk.img"
    with image.open("wb") as file:
        file.truncate(plan.disk_bytes)
    # No journal: the page cache outlives a power cut here. Nothing set aside for root: the engine runs as root.
    call("mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", "-E", "lazy_itable_init=1,nodiscard", str(image))
    seed = folder / "seed"
    call("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(seed / "etc/ssh/ssh_host_ed25519_key"))
    for home, owner in (("root", 0), ("home/deploy", 1000)):
        keys = seed / home / ".ssh/authorized_keys"
        keys.parent.mkdir(parents=True)
        shutil.copyfile(public_key, keys)
        for path, mode in ((keys, 0o600), (keys.parent, 0o700), (keys.parent.parent, 0o700)):
            path.chmod(mode)
            os.chown(path, owner, owner)
    (seed / "etc/hostname").write_text(f"{plan.name}\n")
    (seed / "etc/hosts").write_text(f"127.0.0.1 localhost\n{plan.address} {plan.name}\n")
    # Nobody listens there, so that a look-up is refused at once. Not loopback: the engine would not give that to
    # containers but the addresses of public servers, which are not reachable.
    (seed / "etc/resolv.conf").write_text(name_servers() if plan.internet else f"nameserver {plan.address}\n")
    (seed / "etc/docker/daemon.json").write_text(
        json.dumps({"registry-mirrors": [f"http://{registry}"], "seccomp-profile": "unconfined"})
    )
    kind, key = (seed / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2]
    return f"{kind} {key}"


def in_use(folder: Path) -> bool:
    """Whether the kernel still holds the disk in `folder`."""
    image = folder / "disk.img"
    return image.exists() and bool(call("losetup", "--associated", str(image)).strip())
