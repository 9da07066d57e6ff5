"""Debian's own cloud-init on a test host: user data is applied as on a new server, as far as that goes without systemd.

Owns: the packages (in the cache, so that a host needs no network), the four stages in their order. Does not own: the
user data. Not tried so: what systemd does with units, when it starts the stages, and what waits for them.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from dev.toolchain.cache import cached
from dev.toolchain.process import run
from dev.toolchain.stand_ins.debian import apt

if TYPE_CHECKING:
    from pathlib import Path

    from dev.testhosts.server import TestHost

__all__ = ["add_packages", "apply_user_data"]

_CLOUD_INIT = ("cloud-init",)
_SEED = "/var/lib/cloud/seed/nocloud"
_STAGES = (("init", "--local"), ("init",), ("modules", "--mode=config"), ("modules", "--mode=final"))


def _debs(rootfs: Path, names: tuple[str, ...]) -> Path:
    """The packages that a test host lacks of these and of what they depend on, in a folder of the cache."""
    status = rootfs / "var/lib/dpkg/status"

    def fetch(folder: Path) -> None:
        (folder / "partial").mkdir()
        there = ("-o", f"Dir::State::status={status}", "-o", f"Dir::Cache::archives={folder}")
        run(["apt-get", "install", "--download-only", "--yes", "-qq", *apt(), *there, *names], seconds=600)
        (folder / "partial").rmdir()

    key = hashlib.sha256(f"{rootfs.name} {' '.join(names)}".encode()).hexdigest()[:16]
    return cached(f"testhost-packages/{key}", key, fetch)


def add_packages(host: TestHost, *names: str) -> None:
    """Install Debian packages on a host that may reach no network."""
    folder = host.path("/var/cache/debs")
    folder.mkdir(exist_ok=True)
    for deb in _debs(host.rootfs, names).glob("*.deb"):
        (folder / deb.name).write_bytes(deb.read_bytes())
    install = "DEBIAN_FRONTEND=noninteractive apt-get install --yes -qq --no-install-recommends /var/cache/debs/*.deb"
    host.inside(["sh", "-c", install], seconds=300)
    host.inside(["rm", "-r", "/var/cache/debs"])


def apply_user_data(host: TestHost, user_data: str) -> str:
    """What a new server does with its user data; what `cloud-init status --long` then says."""
    add_packages(host, *_CLOUD_INIT)
    host.inside(["mkdir", "-p", _SEED])
    host.path(f"{_SEED}/user-data").write_text(user_data)
    host.path(f"{_SEED}/meta-data").write_text(f"instance-id: {host.name}\n")
    settings = "datasource_list: [NoCloud]\nnetwork: {config: disabled}\n"
    host.path("/etc/cloud/cloud.cfg.d/99-testhost.cfg").write_text(settings)
    for stage in _STAGES:
        host.inside(["cloud-init", *stage], seconds=600, check=False)  # what went wrong is in its status
        if stage == ("init",):
            host.inside(["sh", "-c", "kill -HUP $(cat /run/sshd.pid)"])  # a real sshd begins after this stage
    return host.inside(["cloud-init", "status", "--long"], check=False)
