"""What a message says, part by part. What others wrote in it does nothing where it is shown, and shows no secret."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.contract.redaction import printable

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["EVENTS", "QUIET_EVENTS", "TEST", "Message"]

EVENTS = {
    "started": "deployment started",
    "succeeded": "deployed",
    "failed": "failed",
    "checks-failed": "checks failed",
    "rolled-back": "rolled back",
    "down": "down",
    "recovered": "up again",
    "approval-needed": "waits for approval",
}
"""Event → its words in a title."""

QUIET_EVENTS = ("started", "succeeded")
"""Nobody has to do anything about these."""

TEST = "test"
"""Goes to every target."""

# Characters of each part: with all of them, and every one escaped, a message fits into every service (services.py).
_MOST = {"reason": 700, "outcome": 300, "command": 300, "subject": 200, "actor": 120}
_MOST_OF_OTHERS = 80
_ADDRESS = re.compile(r"https?://[\w.~:/?#@!$&+,;=%\[\]-]{1,400}", re.ASCII)


class Message(NamedTuple):
    """Something that happened to an environment; what is not known stays empty."""

    event: str
    """One of EVENTS, or TEST."""
    environment: str
    """What people call it: application and stack, or an address."""
    host: str = ""
    release: str = ""
    commit: str = ""
    """Its SHA."""
    subject: str = ""
    """First line of the commit's message."""
    author: str = ""
    """Of the commit."""
    actor: str = ""
    """Who or what did it."""
    seconds: float = 0.0
    """How long it took; 0 when that says nothing."""
    run: str = ""
    """Address of the CI run."""
    reason: str = ""
    """Why it failed, or what is down."""
    outcome: str = ""
    """What serves now."""
    command: str = ""
    """Exactly what rolls it back."""

    @property
    def title(self) -> str:
        """In one line."""
        return f"{self.environment}: {EVENTS.get(self.event, 'a test of the notifications')}"

    @property
    def lines(self) -> list[tuple[str, str]]:
        """What it says below its title: label and text, only what is known; without run and command."""
        minutes, seconds = divmod(round(self.seconds), 60)
        said = (
            ("Reason", self.reason),
            ("Now", self.outcome),
            ("Host", self.host),
            ("Release", self.release),
            ("Commit", " ".join(filter(None, (self.commit[:12], self.subject)))),
            ("Author", self.author),
            ("By", self.actor),
            ("Took", (f"{minutes} min {seconds} s" if minutes else f"{seconds} s") if self.seconds else ""),
        )
        return [(label, text) for label, text in said if text]

    def clean(self, redact: Callable[[str], str]) -> Message:
        """The same without secrets, in parts of one printable line each, of bounded length."""
        parts = {name: part for name, part in self._asdict().items() if isinstance(part, str) and name != "event"}
        cut: dict[str, Any] = {
            name: _brief(printable(redact(part)), _MOST.get(name, _MOST_OF_OTHERS)) for name, part in parts.items()
        }
        address = redact(self.run)
        return self._replace(**{**cut, "run": address if _ADDRESS.fullmatch(address) else ""})


def _brief(text: str, most: int) -> str:
    text = text.strip()
    return text if len(text) <= most else f"{text[: most - 2]} …"
