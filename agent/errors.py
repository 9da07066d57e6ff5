"""The one family of errors that the agent ends with: what happened, what it means, the command that mends it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["DocumentError", "Interrupted", "SlipwayError", "UsageError"]


class SlipwayError(Exception):
    """A failure that a person can act on.

    `evidence` holds the lines that prove it: what was probed, what answered, the last lines of a container's log.
    """

    exit_code = 1

    def __init__(self, what: str, meaning: str, mend: str, evidence: Sequence[str] = ()) -> None:
        super().__init__(what)
        self.what = what
        self.meaning = meaning
        self.mend = mend
        self.evidence = tuple(evidence)

    def line(self) -> str:
        """The error as its one line: `slipway: error: <what> — <meaning> — <mend>`."""
        parts = [" ".join(part.split()) for part in (self.what, self.meaning, self.mend)]
        return "slipway: error: " + " — ".join(part for part in parts if part)


class UsageError(SlipwayError):
    """The command line is not one of the agent's."""

    exit_code = 2


class DocumentError(SlipwayError):
    """The document on standard input breaks the contract; nothing was touched."""

    exit_code = 2


class Interrupted(SlipwayError):  # noqa: N818 - an event that ends a deployment as a failure does, not a defect
    """Someone asked this process to end, or the fleet decided against this deployment."""
