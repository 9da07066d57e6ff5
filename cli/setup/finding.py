"""One thing that `slipway doctor` looked at, and what came of it.

Owns: the four words for how something is. Does not own: looking (see `machine_checks`, `stack_checks`, `host_checks`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slipway.contract.problems import Problem

__all__ = ["AREAS", "Finding", "State", "good", "skipped", "unwise", "wrongs"]

State = Literal["ok", "warning", "wrong", "skipped"]

AREAS = ("machine", "backend", "secrets", "settings", "application", "registry", "hosts", "github")
"""What is looked at, in the order in which it is shown."""


class Finding(NamedTuple):
    """What came of one look."""

    area: str
    state: State
    what: str
    meaning: str = ""
    fix: str = ""
    """The command that fixes it; like the meaning, empty when there is nothing to fix."""
    host: str = ""
    """Which host was looked at, if one was."""


def good(area: str, what: str, *, host: str = "") -> Finding:
    """Something that is as it should be."""
    return Finding(area, "ok", what, host=host)


def skipped(area: str, what: str, *, host: str = "") -> Finding:
    """Something that could not be looked at, or that this stack does not use."""
    return Finding(area, "skipped", what, host=host)


def wrongs(area: str, problems: Iterable[Problem], *, host: str = "") -> list[Finding]:
    """A finding for each problem, once."""
    return [Finding(area, "wrong", *problem[:3], host=host) for problem in dict.fromkeys(problems)]


def unwise(area: str, problems: Iterable[Problem], *, host: str = "") -> list[Finding]:
    """As `wrongs`, of what is allowed but unwise."""
    return [Finding(area, "warning", *problem[:3], host=host) for problem in dict.fromkeys(problems)]
