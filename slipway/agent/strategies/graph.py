"""Dependency order of services."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.contract.problems import DocumentError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["ancestors", "levels"]


def levels(depends_on: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Services in levels: each depends only on services of earlier levels; sorted within a level.

    Raises:
        DocumentError: the dependencies form a circle.
    """
    waiting = {name: set(others) & set(depends_on) for name, others in depends_on.items()}
    found = []
    while waiting:
        ready = sorted(name for name, others in waiting.items() if not others)
        if not ready:
            circle = _circle(waiting)
            raise DocumentError(
                f"services depend on each other in a circle: {' → '.join(circle)}",
                "none of them can be started first",
                "remove one of these depends_on in the Compose file",
            )
        found.append(ready)
        for name in ready:
            del waiting[name]
        for others in waiting.values():
            others.difference_update(ready)
    return found


def ancestors(name: str, depends_on: Mapping[str, Collection[str]]) -> set[str]:
    found: set[str] = set()
    open_ = [name]
    while open_:
        for other in depends_on.get(open_.pop(), ()):
            if other not in found and other != name:
                found.add(other)
                open_.append(other)
    return found


def _circle(waiting: Mapping[str, set[str]]) -> list[str]:
    path = [min(waiting)]
    while True:
        following = min(waiting[path[-1]])
        if following in path:
            return [*path[path.index(following) :], following]
        path.append(following)
