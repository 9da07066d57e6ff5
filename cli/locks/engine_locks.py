"""The engine's own locks of a stack in a self-managed backend.

Owns: reading them, and removing those that were judged. Their form is the engine's (github.com/pulumi/pulumi,
pkg/backend/diy/lock.go, 3.256): an object per process, made when an update begins and removed when it ends; an engine
that meets one of another process gives up. Does not own: whether a lock's process lives (see `judging`).
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from cli.backend.layout import locks_prefix, names
from cli.locks.objects import delete, look_up, reporting
from cli.wording import plain

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["EngineLock", "engine_locks", "remove"]

_ATTRIBUTES = ".attrs"  # of the file beside each one in a folder: gocloud.dev/blob/fileblob, which hides it


class EngineLock(NamedTuple):
    """One lock; the object of one that cannot be read has no more than its name."""

    name: str
    """Of the object."""
    pid: int = 0
    user: str = ""
    hostname: str = ""
    since: datetime | None = None

    @property
    def owner(self) -> str:
        """Whose it is, in words."""
        return plain(f"{self.user}@{self.hostname} (pid {self.pid})") if self.since else "somebody"


def engine_locks(store: ObjectStore, project: str, stack: str) -> list[EngineLock]:
    """The locks that the stack has now.

    Raises:
        SlipwayError: when the store does not answer.
    """
    with reporting("read"):
        locks = [name for name in names(store, locks_prefix(project, stack)) if not name.endswith(_ATTRIBUTES)]
        found = [(name, look_up(store, name)) for name in locks]
    return [_parsed(name, each.content) for name, each in found if each]


def remove(store: ObjectStore, lock: EngineLock) -> None:
    """Remove this lock and no other: its name is its process's own. (`pulumi cancel` removes all that there are).

    Raises:
        SlipwayError: when the store does not let it be removed.
    """
    with reporting("written"):
        delete(store, lock.name)
        delete(store, lock.name + _ATTRIBUTES)


def _parsed(name: str, content: bytes) -> EngineLock:
    try:
        found = json.loads(content)
        since = datetime.fromisoformat(found["timestamp"])
        if since.tzinfo is None:
            return EngineLock(name)
        return EngineLock(name, int(found["pid"]), str(found["username"]), str(found["hostname"]), since)
    except (ValueError, TypeError, KeyError):
        return EngineLock(name)
