"""Dependency order of services."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from slipway.contract.problems import DocumentError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

__all__ = ["ancestors", "between", "levels", "unchanged_proxy"]


def levels(depends_on: Mapping[str, Collection[str]]) -> list[list[str]]:
    """Services in levels: each depends only on services of earlier levels; sorted within a level.

    Raises:
        DocumentError: the dependencies form a circle.
    """
    sorter = TopologicalSorter({name: set(others) & set(depends_on) for name, others in depends_on.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        raise DocumentError(
            f"services depend on each other in a circle: {' → '.join(reversed(circle))}",
            "none of them can be started first",
            "remove one of these depends_on in the Compose file",
        ) from None
    found = []
    while sorter.is_active():
        found.append(sorted(sorter.get_ready()))
        sorter.done(*found[-1])
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


def between(name: str, depends_on: Mapping[str, Collection[str]], changed: Collection[str]) -> list[str]:
    """Those that did not change between `name`, itself included, and what changed; who is needed comes first."""
    own = {each: depends_on[each] for each in (name, *ancestors(name, depends_on)) if each in depends_on}
    return [
        each
        for level in levels(own)
        for each in level
        if each not in changed and not ancestors(each, own).isdisjoint(changed)
    ]


def unchanged_proxy(
    name: str, depends_on: Mapping[str, Collection[str]], changed: Collection[str]
) -> tuple[str, list[str]]:
    """The nearest to `name`, itself included, that did not change although services that it depends on did; and those.

    Such a one may keep the addresses of what is gone. Empty where there is none.
    """
    own = {each: depends_on[each] for each in (name, *ancestors(name, depends_on)) if each in depends_on}
    for each in (each for level in reversed(levels(own)) for each in level):
        found = sorted(set(own[each]).intersection(changed))
        if found and each not in changed:
            return each, found
    return "", []
