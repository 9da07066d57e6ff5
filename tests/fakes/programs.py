"""What an image's program does once it runs, in seconds of virtual time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

NEVER = float("inf")


@dataclass(frozen=True)
class Program:
    """Listens, answers, is healthy and ends when it is said here."""

    ready: float = 0.1
    """after its start it answers"""
    healthy: bool = True
    """whether its health check passes while it answers"""
    ill: float = NEVER
    """after its start its health check fails again"""
    exits: float = NEVER
    """after its start it ends by itself"""
    code: int = 0
    """with this exit code"""
    hungry: bool = False
    """because it used more memory than it may"""
    probe: tuple[int, str] | None = None
    """what its health check says while it does not pass; else that it is not well"""
    stops: float = 0.05
    """after SIGTERM; NEVER: it ignores it"""
    ports: tuple[str, ...] = ()
    """where it listens: PORT, or 127.0.0.1:PORT; empty: on whatever port it is asked at"""
    commands: Mapping[str, tuple[float, int, str]] = field(default_factory=dict)
    """first word of a command run beside it → seconds, exit code and output; else 0, 0 and nothing"""
    silent: tuple[str, ...] = ()
    """those of them that close their output at once"""
    upstream: str = ""
    """service that it passes requests on to, at the address that this had when it started, as nginx does"""
    resolves: float = NEVER
    """seconds after which it asks for that address again"""
    itself: tuple[str, ...] = ()
    """paths that it answers itself, without what it passes requests on to"""
    answers: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    """path → status and body; else 200"""
    fails: float = 0.0
    """share of the requests that it answers 500"""
    seconds: float = 0.004
    """that an answer takes"""
    says: tuple[str, ...] = ("started",)
    """what it writes when it starts"""
    adds: tuple[str, ...] = ()
    """paths that it adds to its own file system"""
    runs: Callable[[Any], None] | None = None
    """called with its container when it starts: a program that acts"""

    def listens(self, port: int) -> bool:
        return not self.ports or str(port) in self.ports

    def answer(self, path: str) -> tuple[int, str]:
        return self.answers.get(path, (200, "ok"))

    @property
    def good(self) -> bool:
        """Whether it passes gates that ask for its health."""
        return self.healthy and self.ready < NEVER and self.exits > self.ready


Behaviour = Callable[[Mapping[str, str], list[str]], Program]
"""From environment and command to what the program does."""
