"""Which run of GitHub Actions an engine's lock belongs to, and whether that run is over.

The lock names a process of a machine that is gone with the run. So a deployment there leaves a note beside the lock
while its engine runs: `.slipway/runs/PROJECT/STACK/HOSTNAME-PID.json`.
"""

from __future__ import annotations

import contextlib
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote

from pydantic import AwareDatetime, BaseModel, ValidationError

from slipway.releases.backend.store import read
from slipway.releases.github_settings import api_in, token_in
from slipway.releases.locks.engine_locks import stack_locks
from slipway.settings.deploy_origin import run_url

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.releases.engine import Engine
    from slipway.releases.locks.engine_locks import EngineLock, StackLocks

__all__ = ["CiRun", "noted_run", "remove_note", "run_is_over", "run_of"]

_SECONDS = 10
# An engine takes its lock moments after its start. Hostnames of runners and process numbers come again, so a note that
# a killed deployment left behind must not speak for a later engine.
_BEFORE, _AFTER = timedelta(seconds=10), timedelta(minutes=2)


class CiRun(BaseModel):
    """A run: https://docs.github.com/actions/reference/variables-reference."""

    url: str
    repository: str
    """OWNER/NAME."""
    id: int
    attempt: int
    since: AwareDatetime
    """When its engine was started."""


@contextlib.contextmanager
def noted_run(engine: Engine, pid: int) -> Iterator[None]:
    """Until the block ends, the backend says that the engine's process `pid` is this run's; nothing outside of CI."""
    run = _this_run(engine.environment)
    locks = stack_locks(engine) if run else None
    if run is None or locks is None:
        yield
        return
    # No reason to stop a deployment: without the note, the next one only cannot know that this run is over.
    with contextlib.suppress(Exception):
        locks.store.put(_note(locks, socket.gethostname(), pid), run.model_dump_json().encode())
    try:
        yield
    finally:
        remove_note(locks, socket.gethostname(), pid)


def remove_note(locks: StackLocks, hostname: str, pid: int) -> None:
    """Remove the note of an engine that has ended, if there is one."""
    with contextlib.suppress(Exception):  # one that stays speaks for no other engine
        locks.store.delete(_note(locks, hostname, pid))


def run_of(locks: StackLocks, lock: EngineLock) -> CiRun | None:
    """The run that a lock belongs to; None when none is noted. Raises `SlipwayError` when the store does not answer."""
    try:
        run = CiRun.model_validate_json(read(locks.store, _note(locks, lock.hostname, lock.pid)) or b"")
    except ValidationError:
        return None
    return run if lock.since and run.since - _BEFORE <= lock.since <= run.since + _AFTER else None


def run_is_over(run: CiRun, environment: Mapping[str, str]) -> bool | None:
    """Whether a run has ended, however it did, or goes on as a later attempt; None when that cannot be asked.

    https://docs.github.com/rest/actions/workflow-runs#get-a-workflow-run: `status` is `completed` then. A public
    repository needs no token; GITHUB_API_URL is the address of another GitHub.
    """
    from github import Auth, Github  # noqa: PLC0415  # 0.3 s that only this look-up has to pay

    token = token_in(environment)
    try:
        with Github(
            base_url=api_in(environment),
            auth=Auth.Token(token) if token else None,
            timeout=_SECONDS,
            retry=None,
            lazy=True,  # the repository itself is not asked for
        ) as client:
            found = client.get_repo(run.repository).get_workflow_run(run.id)
            return found.status == "completed" or run.attempt < found.run_attempt
    except Exception:  # noqa: BLE001  # no token, no network, no such run, not a run: each leaves it unknown
        return None


def _this_run(environment: Mapping[str, str]) -> CiRun | None:
    known = {
        "url": run_url(),
        "repository": environment.get("GITHUB_REPOSITORY"),
        "id": environment.get("GITHUB_RUN_ID"),
        "attempt": environment.get("GITHUB_RUN_ATTEMPT", 1),
        "since": datetime.now(UTC),
    }
    try:
        return CiRun.model_validate(known)
    except ValidationError:  # not at GitHub
        return None


def _note(locks: StackLocks, hostname: str, pid: int) -> str:
    return f".slipway/runs/{locks.project}/{locks.stack}/{quote(hostname, safe='')}-{pid}.json"
