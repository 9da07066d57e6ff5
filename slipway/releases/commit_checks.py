"""The checks of a commit: GitHub's check runs and statuses in one form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from github.CheckRun import CheckRun
    from github.CheckSuite import CheckSuite
    from github.CommitStatus import CommitStatus

__all__ = ["Check", "Checks", "announced", "of_runs", "of_statuses"]

State = Literal["pending", "success", "failure"]

_STATUSES: dict[str, State] = {"pending": "pending", "success": "success"}  # any other word is a failure
_GOOD = ("success", "neutral", "skipped")  # what a branch's protection takes for passed, too


class Check(NamedTuple):
    """One check of a commit."""

    name: str
    state: State
    word: str
    """What GitHub calls it: queued, in_progress, timed_out, …"""
    url: str = ""


class Checks(NamedTuple):
    """All checks of a commit that count."""

    checks: tuple[Check, ...]
    missing: tuple[str, ...] = ()
    """Names that were asked for and that the commit does not have yet."""

    @property
    def state(self) -> State:
        """Failure as soon as one failed; success when there is at least one and all are well; else pending."""
        states = {check.state for check in self.checks}
        if "failure" in states:
            return "failure"
        return "success" if states == {"success"} and not self.missing else "pending"


def of_runs(runs: Iterable[CheckRun], own_run: str) -> Iterator[Check]:
    """The newest run of each name, as it is now; without those of the workflow run with the id `own_run`."""
    newest = {run.name: run for run in sorted(runs, key=lambda each: each.id)}
    for run in newest.values():
        if own_run and re.search(rf"/actions/runs/{re.escape(own_run)}(?:/|$)", run.details_url or ""):
            continue
        word = run.conclusion if run.status == "completed" else run.status
        state: State = "pending"
        if run.status == "completed":
            state = "success" if run.conclusion in _GOOD else "failure"
        yield Check(run.name, state, word or "unknown", run.html_url or run.details_url or "")


def of_statuses(statuses: Iterable[CommitStatus]) -> Iterator[Check]:
    """The statuses of a commit."""
    for status in statuses:
        state = _STATUSES.get(status.state, "failure")
        yield Check(status.context, state, status.state, status.target_url or "")


def announced(suites: Iterable[CheckSuite], runs: Collection[CheckRun]) -> Iterator[Check]:
    """Suites that go on although all their listed runs have ended: a job that waits for others is not listed yet.

    One without any run says nothing: GitHub opens it for every application that could have one.
    """
    listed = {run.check_suite.id for run in runs}
    running = {run.check_suite.id for run in runs if run.status != "completed"}
    for suite in suites:
        if suite.status != "completed" and suite.id in listed - running:
            yield Check(suite.app.name, "pending", "goes on, its next check is not listed yet")
