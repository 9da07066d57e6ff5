"""Which Pulumi stack a stack of this host belongs to, and as which of its hosts, as noted when it was deployed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from slipway.agent.state.atomic_files import remove_files, write_atomically
from slipway.contract.owner import OWNER_FILE, owned_by_another
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from slipway.agent.state.stack_dir import StackFolder

__all__ = ["check_owner", "forget_owner", "host_of", "note_owner", "owner_of"]

_HOST_FILE = "host"


def check_owner(folder: StackFolder, owner: str, application: str = "") -> None:
    """Refuse to change what is another Pulumi stack's."""
    if problem := owned_by_another(folder.stack, owner_of(folder), owner, application):
        raise SlipwayError(problem)


def note_owner(folder: StackFolder, owner: str, host: str) -> None:
    """Note it, also where only its mark or its name has changed; and what it calls this host."""
    if owner and owner != owner_of(folder):
        write_atomically(_path(folder, OWNER_FILE), owner.encode())
    if host != host_of(folder):
        write_atomically(_path(folder, _HOST_FILE), host.encode())


def forget_owner(folder: StackFolder) -> None:
    """Where the first deployment failed, the name is nobody's."""
    remove_files(_path(folder, OWNER_FILE), _path(folder, _HOST_FILE))


def owner_of(folder: StackFolder) -> str:
    """`PROJECT/STACK MARK`, as the driver says it; empty where nobody said."""
    return _noted(folder, OWNER_FILE)


def host_of(folder: StackFolder) -> str:
    """What the stack that was deployed last calls this host; empty where nobody said."""
    return _noted(folder, _HOST_FILE)


def _noted(folder: StackFolder, name: str) -> str:
    try:
        with open(_path(folder, name), encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


def _path(folder: StackFolder, name: str) -> str:
    return os.path.join(folder.path, name)
