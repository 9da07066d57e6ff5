"""One thing that `slipway doctor` checked, and its result."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from slipway.contract.problems import Problem

__all__ = ["AREAS", "CheckResult", "good", "skipped", "warnings", "wrongs"]

AREAS = ("machine", "backend", "secrets", "settings", "application", "registry", "hosts")
"""What is checked, in the order in which it is shown."""


class CheckResult(NamedTuple):
    """The result of one check; without meaning and fix when there is nothing to fix."""

    area: str
    state: Literal["ok", "warning", "wrong", "skipped"]
    what: str
    meaning: str = ""
    fix: str = ""
    host: str = ""


def good(area: str, what: str) -> CheckResult:
    """Something that is as it should be."""
    return CheckResult(area, "ok", what)


def skipped(area: str, what: str) -> CheckResult:
    """Something that could not be checked, or that this stack does not use."""
    return CheckResult(area, "skipped", what)


def wrongs(area: str, *problems: Problem) -> list[CheckResult]:
    """A result for each problem, once."""
    return [CheckResult(area, "wrong", *problem[:3]) for problem in dict.fromkeys(problems)]


def warnings(area: str, *problems: Problem) -> list[CheckResult]:
    """As `wrongs`, of what is allowed but unwise."""
    return [result._replace(state="warning") for result in wrongs(area, *problems)]
