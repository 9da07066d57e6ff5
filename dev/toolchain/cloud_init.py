"""Debian's cloud-init, unpacked: its schema says what user data may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dev.toolchain.cache import cached
from dev.toolchain.process import run
from dev.toolchain.stand_ins.debian import SUITE, download_packages

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["cloud_config_schema"]

_SCHEMA = "usr/lib/python3/dist-packages/cloudinit/config/schemas/schema-cloud-config-v1.json"


def cloud_config_schema() -> Path:
    """The schema of `#cloud-config` documents.

    Raises:
        ToolchainError: when the package cannot be fetched.
    """

    def unpack(folder: Path) -> None:
        package = download_packages("cloud-init", into=folder)[0]
        run(["dpkg-deb", "--extract", str(package), str(folder)])
        package.unlink()

    return cached("cloud-init", SUITE, unpack) / _SCHEMA
