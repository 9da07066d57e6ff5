"""Whose a stack of a host is: the Pulumi stack that its first deployment noted there."""

from __future__ import annotations

import re

from slipway.contract.host_paths import shell_stack_path
from slipway.contract.problems import Problem

__all__ = ["OWNER_FILE", "named", "owned_by_another"]

OWNER_FILE = "owner"
_DIGEST = re.compile(r"[0-9a-f]{16}\Z")


def named(owner: str) -> tuple[str, str]:
    """`PROJECT/STACK MARK` as its name, and its mark where that is a digest: no two stacks have one, but copies."""
    name, _, mark = owner.strip().partition(" ")
    return name, mark if _DIGEST.match(mark) else ""


def owned_by_another(stack: str, noted: str, owner: str, application: str = "") -> Problem | None:
    """What is wrong where a host has noted another Pulumi stack than `owner` for `stack`.

    The mark alone may differ, as with another passphrase, and so may the name, as of a project that was renamed.
    """
    (there, mark), (here, own) = named(noted), named(owner)
    if not there or not here or there == here or (mark and mark == own):
        return None
    return Problem(
        f"{stack} was deployed here by the Pulumi stack {there}, and this one is {here}",
        "what runs, and its data, are that one's, so nothing was touched; under another name this stack runs beside "
        f"it, and where it is the same one, `rm {shell_stack_path(stack, OWNER_FILE)}` on the host says so",
        f"pulumi config set name {application or stack}-new",
    )
