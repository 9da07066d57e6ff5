"""Where the locks of a stack are, and what is to be known for judging them there.

Owns: finding the backend, and the setting lockWait without a run of the engine. Does not own: what is in the backend
(see `records` and `engine_locks`), or the verdicts (see `judging`).
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import yaml

from cli.backend.store import backend_url, is_cloud, open_store
from cli.locks.engine_locks import EngineLock, engine_locks
from cli.locks.judging import Operation, Verdict, judge_lock, judge_record
from cli.locks.machine import this_machine
from cli.locks.records import Entry, Records, Run
from cli.locks.workflow import run_is_over
from components.settings import PREFIX, Settings
from components.sources import read_dotenv, read_stack_file

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from obstore.store import ObjectStore

    from cli.stack import Engine

__all__ = ["Place", "lock_wait", "place_of_stack"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the locks of a stack are."""

    store: ObjectStore
    project: str
    stack: str
    on_this_disk: bool
    """Whether the store is a folder."""
    environment: Mapping[str, str]

    def records(self) -> Records:
        """Slipway's own."""
        return Records(self.store, self.project, self.stack)

    def judged(self, entry: Entry) -> Verdict:
        """Whether the operation of a record lives."""

        def over(run: Run) -> bool | None:
            return run_is_over(run.repository, run.id, self.environment, attempt=run.attempt)

        return judge_record(entry, this_machine(), self.records().now, over)

    def judged_locks(self, operations: Sequence[Operation]) -> list[tuple[EngineLock, Verdict]]:
        """The engine's locks, and whether the engines live that made them."""
        machine = this_machine()
        return [
            (lock, judge_lock(lock, machine, operations, on_this_disk=self.on_this_disk))
            for lock in engine_locks(self.store, self.project, self.stack)
        ]


def place_of_stack(engine: Engine) -> Place | None:
    """Where the stack's locks are; None at Pulumi Cloud, which has no objects.

    Raises:
        SlipwayError: when nobody is logged in, or the backend is of no kind that Slipway can read.
    """
    url = backend_url(engine)
    if is_cloud(url):
        return None
    *qualified, stack = engine.stack.split("/")  # STACK, or organization/PROJECT/STACK
    project = qualified[-1] if len(qualified) > 1 else _project(engine)
    return Place(
        store=open_store(url, engine.environment),
        project=project,
        stack=stack,
        on_this_disk=url.startswith("file:"),
        environment=engine.environment,
    )


def lock_wait(engine: Engine) -> float:
    """The setting lockWait, in the order of all settings; its default where it is not one: the program tells that."""
    name = PREFIX + "LOCK_WAIT"
    stack = engine.stack.rsplit("/", 1)[-1]
    stated = read_stack_file(engine.root / f"Pulumi.{stack}.yaml", _project(engine)).entries.get("lockWait")
    for value in (engine.environment.get(name), stated, read_dotenv(engine.root / ".env")[0].get(name)):
        if value not in (None, ""):
            with contextlib.suppress(ValueError):
                return max(0.0, float(str(value)))
    return float(Settings.model_fields["lock_wait"].default)


def _project(engine: Engine) -> str:
    return str(yaml.safe_load((engine.root / "Pulumi.yaml").read_text())["name"])
