"""One thing that `slipway doctor` looked at, and what came of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from slipway.contract.problems import Problem

__all__ = ["AREAS", "CheckResult", "good", "skipped", "warnings", "wrongs"]

AREAS = ("machine", "backend", "secrets", "settings", "application", "registry", "hosts")
"""What is looked at, in the order in which it is shown."""


class CheckResult(NamedTuple):
    """What came of one check."""

    area: str
    state: Literal["ok", "warning", "wrong", "skipped"]
    what: str
    meaning: str = ""
    fix: str = ""
    """The command that fixes it; like the meaning, empty when there is nothing to fix."""
    host: str = ""
    """Which host was looked at, if one was."""


def good(area: str, what: str) -> CheckResult:
    """Something that is as it should be."""
    return CheckResult(area, "ok", what)


def skipped(area: str, what: str) -> CheckResult:
    """Something that could not be looked at, or that this stack does not use."""
    return CheckResult(area, "skipped", what)


def wrongs(area: str, *problems: Problem) -> list[CheckResult]:
    """A result for each problem, once."""
    return [CheckResult(area, "wrong", *problem[:3]) for problem in dict.fromkeys(problems)]


def warnings(area: str, *problems: Problem) -> list[CheckResult]:
    """As `wrongs`, of what is allowed but unwise."""
    return [CheckResult(area, "warning", *problem[:3]) for problem in dict.fromkeys(problems)]
