"""Executes the steps of a plan, each written to the journal before and after.

`SLIPWAY_TEST_KILL_AFTER=<step name>:<started|finished>` kills the process right after that line is on disk, for tests.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from slipway.agent import runtime
from slipway.agent.strategies.steps import Drain, Remove, phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from slipway.agent.state.journal import Journal
    from slipway.agent.strategies.steps import Step

__all__ = ["KILL_VARIABLE", "Runner"]

KILL_VARIABLE = "SLIPWAY_TEST_KILL_AFTER"


class Runner:
    """Runs steps through `act`; `prefix` marks the steps of a rollback."""

    def __init__(self, journal: Journal, act: Callable[[Step], None], prefix: str = "") -> None:
        self._journal = journal
        self._act = act
        self._prefix = prefix
        self._kill_at = os.environ.get(KILL_VARIABLE, "")
        self.phases: dict[str, float] = {}

    def run(self, steps: Iterable[Step]) -> None:
        """Run all steps in order; the first failure ends it, with its step started and not finished."""
        for step in steps:
            begin = runtime.monotonic()
            self._note(step, "started")
            try:
                self._act(step)
            finally:
                self.phases[phase(step)] = self.phases.get(phase(step), 0.0) + runtime.monotonic() - begin
            self._note(step, "finished")

    def _note(self, step: Step, state: str) -> None:
        name = self._prefix + step.name
        try:
            self._journal.step(name, state, step.containers if isinstance(step, (Drain, Remove)) else ())
        except OSError:
            # On a full disk a rollback goes on without its notes; the next run finds the facts.
            if not self._prefix:
                raise
        if self._kill_at == f"{name}:{state}":
            runtime.die()
