"""The one family of errors, and how several are told at once.

Owns: the form `slipway: error: <what> — <meaning> — <command that mends it>`. Does not own: when they are raised.
"""

from __future__ import annotations

import contextlib
import difflib
from typing import TYPE_CHECKING, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["Problem", "SlipwayError", "nearest", "reported_to_pulumi", "told"]

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")


class Problem(NamedTuple):
    """One thing that is wrong: what it is, what it means for the user, and the command (or edit) that mends it."""

    what: str
    meaning: str
    mend: str

    def __str__(self) -> str:
        """The family's one line, without its prefix; what a tool said over several lines is joined."""
        return " ".join(f"{self.what} — {self.meaning} — {self.mend}".split())


class SlipwayError(Exception):
    """One or more problems that stop an operation before or while it changes anything.

    `str()` gives one line per problem, each in the family's form. Values of secrets never enter a problem.
    """

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (problems,) if isinstance(problems, Problem) else tuple(problems)
        super().__init__("\n".join(f"slipway: error: {problem}" for problem in self.problems))


def nearest(word: str, known: Iterable[str], similarity: float = 0.6) -> str | None:
    """The known word closest to `word`, or None when none has at least this `similarity` (difflib's ratio)."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=similarity)
    return matches[0] if matches else None


# How a program tells the language host that it has told the user already; any other code adds "unhandled error".
# Source: pulumi-language-python-exec, PYTHON_PROCESS_EXITED_AFTER_SHOWING_USER_ACTIONABLE_MESSAGE_CODE.
_TOLD = 32


def told(function: Callable[[_Given], _Made]) -> Callable[[_Given], _Made]:
    """`function` for an `apply`: a `SlipwayError` in it is the engine's error report as well, without a traceback."""

    def telling(given: _Given) -> _Made:
        try:
            return function(given)
        except SlipwayError as error:
            import pulumi  # noqa: PLC0415  # loaded already where anything is applied

            raise pulumi.RunError(str(error)) from None

    return telling


@contextlib.contextmanager
def reported_to_pulumi() -> Iterator[None]:
    """Turn a `SlipwayError` into the engine's own error report: the message, without a traceback."""
    try:
        yield
    except SlipwayError as error:
        import pulumi  # noqa: PLC0415  # 0.3 s that a command line that needs no engine need not pay

        pulumi.log.error(f"\n{error}" if len(error.problems) > 1 else str(error))
        raise SystemExit(_TOLD) from None
