"""One thing that a prepared host has, and what all of them are made for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Item", "Wanted", "file_check", "file_put"]

_END = "END_OF_FILE"


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What a host is prepared for."""

    user: str = "deploy"
    """Whom deployments log in as; never root."""
    login_keys: tuple[str, ...] = ()
    """Public keys in OpenSSH form that log in as this user."""
    ssh_port: int = 22
    ports: tuple[int, ...] = (80, 443)
    """TCP ports that anybody may reach, whoever listens there: the edge or a published container."""
    ssh_from: tuple[str, ...] = ()
    """Networks (CIDR) from which SSH is reached; empty: as the host has it, and everywhere if it has nothing yet."""
    private: tuple[str, ...] = ()
    """Networks (CIDR) from which everything is reached, such as the private network of the stack's hosts."""
    volumes: Mapping[str, str] = field(default_factory=dict)
    """Device (`/dev/disk/by-id/…`, empty where it is not known) → folder where it is mounted."""
    reboot_at: str = "03:30"
    """When the host reboots if an upgrade asks for it: HH:MM by its own clock."""
    swap_mb: int = 1024


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that a prepared host has.

    `check` and `apply` are bodies of functions of sh, which may use those that script.py puts before them. `check`
    changes nothing and says what is there by `ok`, `differs` and `unknown`; `apply` may be run again, and ends with an
    error when it fails.
    """

    id: str
    title: str
    """How it is listed."""
    why: str
    check: str
    apply: str
    systemd: bool = False
    """Whether it exists only where systemd runs."""
    root: bool = False
    """Whether only root can see it."""
    saved: tuple[str, ...] = ()
    """Files to put back when nobody can log in after it was applied."""
    reload: str = ""
    """What makes `saved` count again: a command of sh."""


def file_check(path: str, content: str) -> str:
    """The check that a file has this content."""
    return f"same {path} <<'{_END}'\n{content}{_END}\n"


def file_put(path: str, content: str, mode: str = "644") -> str:
    """What gives a file this content, in one step."""
    return f"put {path} {mode} <<'{_END}'\n{content}{_END}\n"
