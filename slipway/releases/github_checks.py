"""Waiting for a commit's checks at GitHub, and what follows: its release is validated or rolled back.

It rolls back only from a release of that very commit: another one that took over meanwhile is somebody else's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from slipway.contract.problems import Problem, SlipwayError
from slipway.contract.redaction import printable
from slipway.releases.format import clock, short, span
from slipway.releases.github import GitHubUnreachableError
from slipway.releases.validation import live_release

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from slipway.releases.github import Check, Checks
    from slipway.releases.validation import Validation

__all__ = ["Aftermath", "ChecksOutcome", "Standing", "standing_of", "wait_for_checks"]


class ChecksOutcome(NamedTuple):
    """How the wait ended."""

    state: Literal["success", "failure", "timeout"]
    why: str


class Standing(NamedTuple):
    """What the hosts run, beside a commit."""

    release: str
    """Live on every host; empty when they run different ones, or nothing."""
    commit: str
    of_commit: bool
    """Whether that is the commit's release."""
    validated: bool
    """Whether every host has it marked already."""
    validated_target: str
    """The release that was validated last on every host, when that is another one; else empty."""

    @property
    def words(self) -> str:
        """What is live, for people."""
        if not self.release:
            return "no release is live on every host"
        other = "" if self.of_commit else f", which is of another commit ({short(self.commit) or 'not known'})"
        return f"release {self.release} is live{other}"


def wait_for_checks(
    look: Callable[[], Checks],
    sha: str,
    *,
    timeout: float,
    interval: float,
    tell: Callable[[str], None],
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> ChecksOutcome:
    """Look until every check of commit `sha` has passed, one has failed, or `timeout` seconds are over.

    Every change is reported once. Raises `SlipwayError` when GitHub refuses; that it does not answer for a while is
    reported, and waited out.
    """
    began = now()
    said: dict[str, str] = {}
    checks: Checks | None
    while True:
        try:
            checks, trouble = look(), ""
        except GitHubUnreachableError as error:
            checks, trouble = None, error.what
        elapsed = now() - began
        for name, line in _lines(checks, trouble).items():
            if said.get(name) != line:
                said[name] = line
                tell(f"[{clock(elapsed)}] {line}")
        if checks and checks.state != "pending":
            return _decided(checks, sha)
        left = timeout - elapsed
        if left <= 0:
            return ChecksOutcome("timeout", f"{_pending(checks)} after {span(int(timeout))}")
        sleep(min(interval, left))


def _lines(checks: Checks | None, trouble: str) -> dict[str, str]:
    """What there is to report, by what it is about."""
    if checks is None:
        return {"": f"{printable(trouble)}; it is asked again"}
    if not checks.checks and not checks.missing:
        return {"": "no check yet"}
    there = {f"check {each.name} {each.url}": _line(each) for each in checks.checks}  # a name may be in two workflows
    return {**there, **{f"check {name}": f"{printable(name)}: not there yet" for name in checks.missing}}


def _line(check: Check) -> str:
    url = f"  {check.url}" if check.url and check.state != "success" else ""
    return printable(f"{check.name}: {check.word.replace('_', ' ')}{url}")


def _decided(checks: Checks, sha: str) -> ChecksOutcome:
    failed = [each for each in checks.checks if each.state == "failure"]
    if not failed:
        number = len(checks.checks)
        which = "the check" if number == 1 else f"all {number} checks"
        return ChecksOutcome("success", f"{which} of {short(sha)} passed")
    names = ", ".join(f"{each.name} ({each.word.replace('_', ' ')})" for each in failed)
    return ChecksOutcome("failure", printable(f"{short(sha)} failed {names}"))


def _pending(checks: Checks | None) -> str:
    if checks is None:
        return "GitHub did not answer"
    waited = [each.name for each in checks.checks if each.state == "pending"] + list(checks.missing)
    return printable(f"{', '.join(waited)} not done") if waited else "no check at all"


def standing_of(document: Mapping[str, Any], sha: str) -> Standing:
    """What the hosts run, by a document of `status_document`. Raises `SlipwayError` when a host does not answer."""
    problems = [
        Problem.from_json(error) for host in document["hosts"] if host["probe"] is None for error in host["errors"]
    ]
    if problems:
        raise SlipwayError(problems)
    probes = [host["probe"] for host in document["hosts"]]
    lives = {(probe["live"] or {}).get("release", "") for probe in probes}
    marks = {probe["validated"] for probe in probes}
    release = lives.pop() if len(lives) == 1 else ""
    commit = probes[0]["live"]["commit"] if release else ""
    validated = marks.pop() if len(marks) == 1 else None
    return Standing(
        release=release,
        commit=commit,
        of_commit=bool(release) and commit.startswith(sha) and not commit.endswith("-dirty"),
        validated=bool(release) and validated == release,
        validated_target=validated if validated and validated != release else "",
    )


@dataclass(frozen=True, kw_only=True)
class Aftermath:
    """What follows from the checks of a commit, on the hosts."""

    sha: str
    look: Callable[[], Mapping[str, Any]]
    """A document of `status_document`, as it is now."""
    mark: Callable[[str, str], Validation]
    """Marks a release as validated; the text says by what."""
    past: Callable[[], str]
    """The release of the commit when it is not live any more; raises `SlipwayError` when it is not known."""
    roll_back: Callable[[str], int]
    """Rolls back to the release that was validated last; the text says why. The exit code of that."""
    tell: Callable[[str], None]

    def validate(self, outcome: ChecksOutcome, before: Standing) -> Validation | None:
        """Mark the release of the commit, which went live `before`; None when there is no need to."""
        document = self.look()
        now = standing_of(document, self.sha)
        if now.of_commit:
            return self.mark(live_release(document), outcome.why)
        self.tell(f"meanwhile {now.words}")
        if now.validated:
            self.tell(f"{now.release} is validated already, so there is nothing to mark")
            return None
        return self.mark(before.release if before.of_commit else self.past(), outcome.why)

    def go_back(self, outcome: ChecksOutcome) -> None:
        """Roll back to the release that was validated last, where that is right, and report what came of it."""
        now = standing_of(self.look(), self.sha)
        if not now.of_commit:
            self.tell(f"{now.words}, so nothing is rolled back")
        elif now.validated:
            self.tell(f"{now.release} was validated before, so it stays")
        elif not now.validated_target:
            self.tell("no other release is validated on every host, so there is nothing to go back to")
        else:
            self.tell(f"going back to {now.validated_target}, the last validated release")
            code = self.roll_back(outcome.why)
            self.tell(
                f"{now.validated_target} serves again" if code == 0 else f"the rollback failed (exit code {code})"
            )
