"""Where Slipway's files are on a host: `~/.local/share/slipway`, or what `SLIPWAY_HOME` says (tests do)."""

from __future__ import annotations

import os
import re

__all__ = [
    "HOME_VARIABLE", "LONGEST_STACK", "edge_folder", "is_stack", "moves_lock", "project_on_hosts", "shell_stack_path",
    "stack_folder", "stacks_folder",
]  # fmt: skip

LONGEST_STACK = 63
"""Characters of a stack's name on the host: what the name of a container or network leaves room for."""

HOME_VARIABLE = "SLIPWAY_HOME"
_BELOW_HOME = ".local/share/slipway"
_STACK = re.compile(rf"[a-z0-9][a-z0-9_-]{{0,{LONGEST_STACK - 1}}}\Z")


def is_stack(name: object) -> bool:
    """Whether it is a stack's name on a host (its Compose project), which is safe as the name of a folder, too."""
    return isinstance(name, str) and _STACK.match(name) is not None


def project_on_hosts(application: str, stack: str) -> str:
    """The Compose project of an application's stack on the hosts."""
    return re.sub(r"[^a-z0-9_-]+", "-", f"{application}-{stack}".lower())


def stacks_folder() -> str:
    """The folder that holds one folder per stack on this host."""
    return os.path.join(_home(), "stacks")


def stack_folder(stack: str) -> str:
    """The folder of one stack on this host."""
    return os.path.join(stacks_folder(), stack)


def edge_folder() -> str:
    """The folder of this host's edge."""
    return os.path.join(_home(), "edge")


def moves_lock() -> str:
    """What a stack of this host locks while it notes whom it takes over from."""
    return os.path.join(_home(), "moves.lock")


def shell_stack_path(*parts: str) -> str:
    """What is below the folder of stacks as a word, quoted, for the shell of a host: a stack, a file of it."""
    below = "/".join(parts)
    return f'"${{{HOME_VARIABLE}:-$HOME/{_BELOW_HOME}}}/stacks/{below}"'


def _home() -> str:
    return os.environ.get(HOME_VARIABLE) or os.path.join(os.path.expanduser("~"), _BELOW_HOME)
