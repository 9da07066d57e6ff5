"""Marking a release as validated: on every host, then in the stack's own backend, then at GitHub.

Hosts first, because they go by their marks without anybody else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from slipway.contract.commands import of_stack
from slipway.contract.outcomes import VALIDATED
from slipway.contract.problems import Problem, SlipwayError
from slipway.hosts.host_sessions import ask_hosts
from slipway.releases.engine import output_of
from slipway.releases.format import short
from slipway.releases.history.stack_history import VALIDATED_TAG
from slipway.settings.deploy_origin import actor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slipway.releases.engine import Engine
    from slipway.releases.github import Repository
    from slipway.settings.model import Settings

__all__ = ["VARIABLES", "GitHubMark", "HostMark", "Validation", "live_release", "to_be_marked", "validate_release"]

VARIABLES = ("SLIPWAY_VALIDATED_RELEASE", "SLIPWAY_VALIDATED_SHA")
_ANSWER_SECONDS = 90.0  # the agent waits up to 60 s for a deployment to end


class HostMark(NamedTuple):
    """What became of the mark on one host."""

    host: str
    changed: bool = False
    commit: str = ""
    """Of the release, as far as the host knows it."""
    problems: tuple[Problem, ...] = ()


class GitHubMark(NamedTuple):
    """What became of the variables at GitHub."""

    state: Literal["set", "unchanged", "skipped", "failed"]
    repository: str = ""
    reason: str = ""
    """Why they were left alone."""
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Validation:
    """A release that was marked, as far as it went."""

    stack: str
    release: str
    commit: str
    hosts: tuple[HostMark, ...]
    tag: bool
    """Whether the stack's tag names the release."""
    github: GitHubMark
    problems: tuple[Problem, ...] = ()
    """What is wrong beyond a single host."""

    @property
    def all_problems(self) -> list[Problem]:
        """Those of hosts, backend and GitHub; without any, the mark is everywhere."""
        marks = [problem for mark in self.hosts for problem in mark.problems]
        return [*marks, *self.problems, *self.github.problems]

    def document(self) -> dict[str, Any]:
        """The form that `--json` prints (slipway/cli/schemas/validate.schema.json)."""
        return {
            "contract": 1,
            "stack": self.stack,
            "release": self.release,
            "commit": self.commit,
            "complete": not self.all_problems,
            "tag": self.tag,
            "hosts": [
                {"name": each.host, "validated": not each.problems, "changed": each.changed, **_errors(each.problems)}
                for each in self.hosts
            ],
            "github": {
                "state": self.github.state,
                "repository": self.github.repository or None,
                "environment": self.stack,
                "reason": self.github.reason,
                **_errors(self.github.problems),
            },
            **_errors(self.problems),
        }

    def lines(self) -> list[str]:
        """The same for people; problems aside."""
        marked = [each for each in self.hosts if not each.problems]
        where = "is validated on" if len(marked) == len(self.hosts) else "is not validated on every host of"
        commit = f" (commit {short(self.commit)})" if self.commit else ""
        found = [f"release {self.release}{commit} {where} stack {self.stack}"]
        found += [f"  {each.host}: {'marked' if each.changed else 'was marked already'}" for each in marked]
        if self.tag:
            found.append(f"  state: tag {VALIDATED_TAG}")
        if self.github.state == "skipped":
            found.append(f"  GitHub: no variable set ({self.github.reason})")
        elif self.github.state != "failed":
            done = "set" if self.github.state == "set" else "were set already"
            names = " and ".join(VARIABLES)
            found.append(f"  GitHub {self.github.repository}, environment {self.stack}: {names} {done}")
        return found


def live_release(document: Mapping[str, Any]) -> str:
    """The release that every host runs as deployed. Raises `SlipwayError` with all reasons why that cannot be said."""
    problems = [_unfit(finding) for finding in document["findings"]]
    for host in document["hosts"]:
        problems += [Problem.from_json(error) for error in host["errors"]]
        problems += [_unfit(f"host {host['name']}: {finding}") for finding in host["findings"]]
    if problems:
        raise SlipwayError(problems)
    return str(document["hosts"][0]["probe"]["live"]["release"])


def to_be_marked(document: Mapping[str, Any], release: str = "") -> str:
    """The release to mark: the live one, or `release` when it is given, which may be an earlier one."""
    lives = {((host["probe"] or {}).get("live") or {}).get("release") for host in document["hosts"]}
    return live_release(document) if not release or release in lives else release


def validate_release(
    engine: Engine, settings: Settings, project: str, release: str, *, note: str, github: Repository | str
) -> Validation:
    """Mark `release` everywhere, unless a host refuses: then backend and GitHub must not say what does not hold.

    It was proven on every host before. `note` says by what it was validated, for the hosts' ledgers; `github` is the
    repository whose variables are set, or why none are.
    """
    command = ("mark", "--release", release, "--as", VALIDATED, "--actor", actor())
    answers = ask_hosts(settings, project, command, _ANSWER_SECONDS, note.encode())
    marks = tuple(
        HostMark(host, problems=answer.problems)
        if isinstance(answer, SlipwayError)
        else HostMark(host, bool(answer["changed"]), str(answer["commit"]))
        for host, answer in answers.items()
    )
    commit = next((mark.commit for mark in marks if mark.commit), "")
    refused = any(mark.problems for mark in marks)
    problems = () if refused else _tag(engine, release)
    if isinstance(github, str):
        variables = GitHubMark("skipped", reason=github)
    elif refused:
        variables = GitHubMark("skipped", github.name, "first every host must have the mark")
    else:
        variables = _set_variables(github, engine.short, release, commit)
    return Validation(
        stack=engine.short,
        release=release,
        commit=commit,
        hosts=marks,
        tag=not refused and not problems,
        github=variables,
        problems=problems,
    )


def _tag(engine: Engine, release: str) -> tuple[Problem, ...]:
    """Note it in the stack's own backend, where it outlives the hosts; why that failed."""
    try:
        output_of(
            engine.ask("stack", "tag", "set", VALIDATED_TAG, release),
            f"the engine does not set the tag {VALIDATED_TAG} of stack {engine.short}",
            "hosts know that the release is validated, the stack's own backend does not",
            of_stack(f"slipway validate --release {release}", engine.short),
        )
    except SlipwayError as error:
        return error.problems
    return ()


def _set_variables(github: Repository, environment: str, release: str, commit: str) -> GitHubMark:
    try:
        pairs = zip(VARIABLES, (release, commit), strict=True)
        changed = [github.set_variable(environment, name, value) for name, value in pairs if value]
    except SlipwayError as error:
        return GitHubMark("failed", github.name, problems=error.problems)
    return GitHubMark("set" if any(changed) else "unchanged", github.name)


def _unfit(finding: str) -> Problem:
    return Problem(finding, "only what runs as deployed on every host can be validated", "slipway status")


def _errors(problems: Iterable[Problem]) -> dict[str, Any]:
    return {"errors": [problem.to_json() for problem in problems]}
