"""Every wait ends: by its own deadline, by the whole deployment's, by a signal, or by the fleet's verdict."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.contract.problems import Interrupted, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Deadline", "Stop"]


class Stop:
    """Makes SIGTERM and SIGINT a failure at the next safe point, and outlives the SSH session (SIGHUP, SIGPIPE)."""

    def __init__(self) -> None:
        self._signal: str | None = None

    def install(self) -> None:
        """Take over the signals of this process."""
        for number in (signal.SIGHUP, signal.SIGPIPE):
            runtime.on_signal(number, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            runtime.on_signal(number, self._note)

    def clear(self) -> None:
        """Forget what was asked for: a rollback is not interrupted."""
        self._signal = None

    @property
    def asked(self) -> bool:
        return self._signal is not None

    def check(self) -> None:
        if self._signal is not None:
            raise Interrupted(
                f"the deployment was asked to end ({self._signal})",
                "it was treated as a failed deployment",
                "run the deployment again",
            )

    def _note(self, number: int, _frame: Any) -> None:  # noqa: ANN401 - the signal module's own type
        self._signal = signal.Signals(number).name


class Deadline:
    """A point in time that waiting must not pass; `checks` are asked at every pause and raise to end the wait."""

    def __init__(self, seconds: float, what: str, checks: tuple[Callable[[], None], ...] = ()) -> None:
        self.seconds = seconds
        self.checks = checks
        self._what = what
        self._end = runtime.monotonic() + seconds

    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - runtime.monotonic())

    def extend(self, seconds: float) -> None:
        """Add time for a wait that was asked for, such as a canary's pause."""
        self.seconds += seconds
        self._end += seconds

    def check(self) -> None:
        for check in self.checks:
            check()
        if not self.remaining():
            raise SlipwayError(
                f"{self._what} took longer than {self.seconds:.0f} s",
                "every wait of a deployment has an end",
                "see the lines above for what it waited on, or raise the deadline setting",
            )

    def pause(self, seconds: float) -> None:
        """Sleep, but not past the end."""
        self.check()
        runtime.sleep(min(seconds, self.remaining()))
