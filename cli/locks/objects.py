"""Objects of a store as locks need them: made only where none is, and errors in the family's form.

Owns: making an object at most once, reading it with its age, and what a store's refusal means here. Does not own: what
is in the objects.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from obstore.store import ObjectStore

__all__ = ["Found", "create", "delete", "look_up", "modified", "reporting"]

_UNCONDITIONAL = ("NotImplemented", "not implemented", "not supported")


@contextlib.contextmanager
def reporting(done: str) -> Iterator[None]:
    """Put a store's error into the family's form; `done` is what was tried: `read` or `written`.

    Raises:
        SlipwayError: for any error of the store.
    """
    try:
        yield
    except SlipwayError as error:
        raise _problem(error.problems[0].what, done) from None
    except Exception as error:  # noqa: BLE001  # the library has a family per store
        # Its own text goes on over many lines of debugging.
        said = " ".join(str(error).split("Debug source:")[0].split())[:300]
        raise _problem(f"the backend's objects cannot be {done} ({said})", done) from None


class Found(NamedTuple):
    """An object."""

    content: bytes
    modified: datetime
    """When it was written last, by the store's clock."""


def look_up(store: ObjectStore, name: str) -> Found | None:
    """An object; None when there is none of that name."""
    try:
        found = store.get(name)
        return Found(bytes(found.bytes()), found.meta["last_modified"])
    except FileNotFoundError:
        return None


def modified(store: ObjectStore, name: str) -> datetime | None:
    """When an object was written last, by the store's clock; None when there is none of that name."""
    try:
        found: datetime = store.head(name)["last_modified"]
    except FileNotFoundError:
        return None
    return found


def create(store: ObjectStore, name: str, content: bytes) -> bool:
    """Make an object; False, and nothing done, when there is one of that name.

    A store that cannot make that distinction is asked before and after: of two at the same time at most one goes on.
    """
    from obstore.exceptions import AlreadyExistsError, BaseError, NotSupportedError  # noqa: PLC0415  # help needs none

    try:
        store.put(name, content, mode="create")
    except AlreadyExistsError:
        return False
    except (NotSupportedError, BaseError) as error:
        if not isinstance(error, NotSupportedError) and not any(word in str(error) for word in _UNCONDITIONAL):
            raise
        if look_up(store, name):
            return False
        store.put(name, content)
    # S3's own and most that speak like it refuse a second one; there are some that ignore the condition.
    found = look_up(store, name)
    return found is not None and found.content == content


def delete(store: ObjectStore, name: str) -> None:
    """Remove an object, if it is there."""
    with contextlib.suppress(FileNotFoundError):
        store.delete(name)


def _problem(what: str, done: str) -> SlipwayError:
    meaning: dict[str, Any] = {
        "read": "it is not known whether somebody else works on the stack, so nothing was begun",
        "written": "nobody else could see that this operation works on the stack, so it was not begun",
    }
    return SlipwayError(
        Problem(
            what,
            meaning[done],
            "check the backend's address, its credentials and what they may do: pulumi whoami --verbose",
        )
    )
