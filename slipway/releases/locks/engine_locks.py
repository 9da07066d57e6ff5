"""The engine's own locks of a stack in a self-managed backend.

Their form is the engine's (github.com/pulumi/pulumi, pkg/backend/diy/lock.go, 3.256): an object per process, made when
an update begins and removed when it ends.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple

from slipway.contract.commands import of_stack
from slipway.contract.problems import SlipwayError
from slipway.contract.redaction import printable
from slipway.releases.backend.store import backend_url, is_cloud, names, open_store, read

if TYPE_CHECKING:
    from obstore.store import ObjectStore

    from slipway.releases.engine import Engine

__all__ = ["EngineLock", "StackLocks", "stack_locks"]

_ATTRIBUTES = ".attrs"  # of the file beside each one in a folder: gocloud.dev/blob/fileblob, which hides it


class EngineLock(NamedTuple):
    """One lock; one that cannot be read has no more than the name of its object."""

    name: str
    pid: int = 0
    user: str = ""
    hostname: str = ""
    since: datetime | None = None

    @property
    def owner(self) -> str:
        """Who holds it, in words."""
        return printable(f"{self.user}@{self.hostname} (pid {self.pid})") if self.since else "somebody"

    @property
    def when(self) -> str:
        """Since when, in words."""
        return f"{self.since.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if self.since else "an unknown time"


@dataclass(frozen=True, kw_only=True)
class StackLocks:
    """Where the locks of one stack are."""

    store: ObjectStore
    project: str
    stack: str
    on_this_disk: bool
    """Whether the store is a folder."""

    def read(self) -> list[EngineLock]:
        """The locks that the stack has now. Raises `SlipwayError` when the store does not answer."""
        try:
            locks = names(self.store, f".pulumi/locks/organization/{self.project}/{self.stack}/")
            found = [(name, read(self.store, name)) for name in locks if not name.endswith(_ATTRIBUTES)]
        except SlipwayError as error:
            meaning = "it is not known whether somebody else works on the stack, so nothing was begun"
            raise SlipwayError([problem._replace(meaning=meaning) for problem in error.problems]) from None
        return [_parsed(name, content) for name, content in found if content is not None]

    def remove(self, lock: EngineLock) -> None:
        """Remove this lock and no other, as `pulumi cancel` would: its name is its process's own."""
        try:
            for name in (lock.name, lock.name + _ATTRIBUTES):
                with contextlib.suppress(FileNotFoundError):
                    self.store.delete(name)
        except Exception as error:  # noqa: BLE001  # the library has a family per store
            said = " ".join(str(error).split("Debug source:")[0].split())[:300]
            raise SlipwayError(
                f"the lock of {lock.owner} cannot be removed ({said})",
                "its process is gone, but the engine refuses to work while it is there; these credentials may not "
                "delete objects of the backend",
                of_stack("pulumi cancel --yes", self.stack),
            ) from None


def stack_locks(engine: Engine) -> StackLocks | None:
    """Where the stack's locks are; None at Pulumi Cloud, which keeps them to itself. Raises as `backend_url`."""
    url = backend_url(engine)
    if is_cloud(url):
        return None
    *qualified, stack = engine.stack.split("/")  # STACK, or organization/PROJECT/STACK
    return StackLocks(
        store=open_store(url, engine.environment),
        project=qualified[-1] if len(qualified) > 1 else engine.project,
        stack=stack,
        on_this_disk=url.startswith("file:"),
    )


def _parsed(name: str, content: bytes) -> EngineLock:
    try:
        found = json.loads(content)
        since = datetime.fromisoformat(found["timestamp"])
        if since.tzinfo is None:
            return EngineLock(name)
        return EngineLock(name, int(found["pid"]), str(found["username"]), str(found["hostname"]), since)
    except (ValueError, TypeError, KeyError):
        return EngineLock(name)
