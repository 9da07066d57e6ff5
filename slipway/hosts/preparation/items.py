"""The list: what a prepared host is. All else that this room does goes by it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.hosts.preparation import access, docker, firewall, system

if TYPE_CHECKING:
    from slipway.hosts.preparation.item import Item, Wanted

__all__ = ["items"]


def items(wanted: Wanted, *, first_boot: bool = False) -> tuple[Item, ...]:
    """Everything, in the order in which it is brought about.

    On its `first_boot` a machine is given its SSH port; later it keeps the one by which it is reached.
    """
    return (
        system.system(),
        system.packages(),
        *system.volumes(wanted),
        docker.docker(),
        docker.docker_settings(),
        access.login_user(wanted),
        access.sshd(wanted, port=first_boot and wanted.ssh_port != 22),  # noqa: PLR2004  # sshd's own
        system.upgrades(wanted),
        system.drain(),
        firewall.firewall(wanted),
        system.swap(wanted),
        system.journal(),
        system.clock(),
    )
