"""What is wrong, in one form for driver and agent: what happened, what it means, and the command that fixes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.contract.commands import of_stack, runnable
from slipway.contract.redaction import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = [
    "FREE_DISK",
    "FREE_NETWORKS",
    "DocumentError",
    "Interrupted",
    "Problem",
    "SlipwayError",
    "UsageError",
    "in_brief",
]

# Stopped containers and all that is theirs stay: they may be the way back of a move.
FREE_DISK = "docker system df && docker image prune && docker builder prune"
FREE_NETWORKS = (
    "for each in $(docker network ls -f driver=bridge -f type=custom --format '{{.Name}}'); do "
    '[ "$(docker ps -aqf network=$each)" ] || docker network rm $each; done'
)


class Problem(NamedTuple):
    """One thing that is wrong. Values of secrets never enter a problem."""

    what: str
    meaning: str
    """For the user."""
    fix: str
    """The command, or the edit."""
    code: str = ""
    """A short stable word in kebab case, where something decides on the kind of problem."""
    subject: str = ""
    """What it is about: the name of a service, host, variable, or the key of a setting."""
    evidence: tuple[str, ...] = ()
    """Lines that prove it: what was probed, what answered, the last lines of a container's log."""

    def __str__(self) -> str:
        """The problem's one line, without the family's prefix; what a tool said over several lines is joined."""
        parts = (printable(" ".join(part.split())) for part in (self.what, self.meaning, self.fix))
        return runnable(" — ".join(part for part in parts if part))

    @classmethod
    def about(cls, subject: str, what: str, meaning: str, fix: str, code: str = "") -> Problem:
        """A problem that begins with its subject: `hosts[0].hostKey: there is none`."""
        return cls(f"{subject}: {what}", meaning, fix, code, subject)

    def to_json(self) -> dict[str, str]:
        """The form in documents; evidence is printed, never sent."""
        always = {"what": self.what, "meaning": self.meaning, "fix": self.fix}
        named = {"code": self.code, "subject": self.subject}
        return {**always, **{name: value for name, value in named.items() if value}}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Problem:
        """The problem that `to_json` gave."""
        names = ("what", "meaning", "fix", "code", "subject")
        what, meaning, fix, code, subject = (str(document.get(name, "")) for name in names)
        return cls(what, meaning, fix, code, subject)

    def of_stack(self, stack: str) -> Problem:
        """The same, with the stack in the commands that fix it."""
        return self._replace(fix=of_stack(self.fix, stack))

    def on(self, host: str) -> Problem:
        """The same, as a problem of `host`."""
        return self._replace(what=f"host {host}: {self.what}", subject=self.subject or host)


class SlipwayError(Exception):
    """One or more problems that stop an operation before or while it changes anything.

    `str()` gives one line per problem: `slipway: error: <what> — <meaning> — <fix>`.
    """

    exit_code = 1

    def __init__(
        self,
        problems: Problem | Iterable[Problem] | str,
        meaning: str = "",
        fix: str = "",
        evidence: Sequence[str] = (),
    ) -> None:
        """Take problems, or the parts of one: what happened, its meaning, its fix, the lines that prove it."""
        if isinstance(problems, str):
            problems = Problem(problems, meaning, fix, evidence=tuple(evidence))
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(f"slipway: error: {problem}" for problem in self.problems))

    @property
    def what(self) -> str:
        """What happened, in one sentence."""
        return "; ".join(problem.what for problem in self.problems)

    @property
    def evidence(self) -> tuple[str, ...]:
        """The lines that prove it."""
        return tuple(line for problem in self.problems for line in problem.evidence)

    def of_stack(self, stack: str) -> SlipwayError:
        """Its problems, with the stack in the commands that fix them."""
        return SlipwayError(problem.of_stack(stack) for problem in self.problems)

    def add_evidence(self, lines: Iterable[str]) -> None:
        """Add lines that were known only where it was caught."""
        *others, last = self.problems
        self.problems = (*others, last._replace(evidence=(*last.evidence, *lines)))


def in_brief(output: str, most: int = 300) -> str:
    """What a program ended with, on one line: its last lines; of the first that does not fit, its beginning."""
    said = ""
    for line in filter(None, (" ".join(line.split()) for line in reversed(output.splitlines()))):
        if len(line) + bool(said) > most - len(said):
            room = most - len(said) - (3 if said else 2)
            return f"{line[:room].rstrip()} … {said}".rstrip() if room > most // 3 else said
        said = f"{line} {said}".strip()
    return said


class UsageError(SlipwayError):
    """The command line is not one of the agent's."""

    exit_code = 2


class DocumentError(SlipwayError):
    """The document on standard input breaks the contract; nothing was touched."""

    exit_code = 2


class Interrupted(SlipwayError):  # noqa: N818 - an event that ends a deployment as a failure does, not a defect
    """Someone asked this process to end, or the fleet decided against this deployment."""
