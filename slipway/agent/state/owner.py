"""Which Pulumi stack a stack of this host belongs to, as its first deployment noted."""

from __future__ import annotations

import contextlib
import os
import shlex

from slipway.agent.state.atomic_files import write_atomically
from slipway.agent.state.stack_dir import StackFolder
from slipway.contract.host_paths import stacks_folder
from slipway.contract.owner import OWNER_FILE, named, owned_by_another
from slipway.contract.problems import SlipwayError

__all__ = ["check_owner", "note_owner", "owner_of"]


def check_owner(folder: StackFolder, owner: str, application: str) -> None:
    """Refuse to deploy what is another Pulumi stack's, or what runs here under another name so far."""
    if problem := owned_by_another(folder.stack, owner_of(folder), owner, application):
        raise SlipwayError(problem)
    asks = named(owner)[1] and not os.path.exists(_path(folder)) and os.path.isdir(stacks_folder())
    here = sorted(os.listdir(stacks_folder())) if asks else ()
    for other in (StackFolder(name) for name in here):
        if owner_of(other) == owner:
            releases = other.kept_releases().values()
            called = next((str(each.get("application")) for each in releases), other.stack)
            raise SlipwayError(
                f"this stack runs here as {other.stack} so far, and would be {folder.stack} now",
                "it would begin anew on empty volumes, and what runs would be removed, so nothing was touched: the "
                "application is called otherwise now (setting `name`, or else its folder); where that is meant, "
                f"`: > {shlex.quote(_path(other))}` on the host says so",
                f"pulumi config set name {shlex.quote(called)}",
            )


def note_owner(folder: StackFolder, owner: str) -> None:
    """Note it, also where only its mark has changed, as with another passphrase."""
    if owner and owner != owner_of(folder):
        with contextlib.suppress(OSError):  # of a full disk: it is deployed all the same
            write_atomically(_path(folder), owner.encode())


def owner_of(folder: StackFolder) -> str:
    """`PROJECT/STACK MARK`, the mark being the same for no two stacks called so; empty where nobody said."""
    try:
        with open(_path(folder), encoding="utf-8") as file:
            return file.read()
    except OSError:
        return ""


def _path(folder: StackFolder) -> str:
    return os.path.join(folder.path, OWNER_FILE)
