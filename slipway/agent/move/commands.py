"""What `slipway move` asks of a host: to show the move, undo it, or finish it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from slipway.agent.deadline import Stop
from slipway.agent.docker.docker_api import DockerApi, find_socket
from slipway.agent.move.old_project import FINISHED, OldProject
from slipway.agent.move.undo import undo
from slipway.agent.state.journal import Journal, end_orphans
from slipway.agent.state.lock import lock
from slipway.contract import CONTRACT
from slipway.contract.outcomes import FAILED
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.agent.output import Output
    from slipway.agent.state.stack_dir import StackFolder

__all__ = ["move"]

_LOCK_WAIT = 60.0


def move(folder: StackFolder, what: str, out: Output) -> dict[str, Any]:
    """`show`, `undo`, `finish`, or `remove` (which also removes the old containers, never a volume).

    What the state of the move does not allow is not done, and nothing is raised: the answer says where it stands.
    """
    api = DockerApi(find_socket())
    old = OldProject(folder, api)
    if what == "show" or not os.path.isdir(folder.path):  # as the lock would make it
        return _described(old)
    stop = Stop()
    stop.install()
    with lock(folder.lock, owner=folder.actor(), reason=f"move {what}", wait=_LOCK_WAIT, stop=stop):
        old = OldProject(folder, api)
        slow: list[str] = []
        if what == "undo" and (old.open or old.down()):
            journal = Journal(folder.journal)
            if unfinished := journal.unfinished():
                end_orphans(unfinished)  # a Compose that a killed agent left would start what is about to go
            try:
                slow = undo(folder, old, api, out)
            finally:
                if unfinished and not old.open:
                    journal.end(FAILED)
        elif what in ("finish", "remove") and old.over:
            _finish(folder, old, api, remove=what == "remove")
        return _described(old, slow)


def _finish(folder: StackFolder, old: OldProject, api: DockerApi, *, remove: bool) -> None:
    networks = old.leave_networks(folder.stack)
    old.note(FINISHED)
    if remove:
        for each in (*(each.id for each in old.noted()), *old.ended()):
            api.remove(each)
        for name in networks:
            with contextlib.suppress(SlipwayError):  # somebody else is on it
                api.remove_network(name)


def _described(old: OldProject, slow: Sequence[str] = ()) -> dict[str, Any]:
    found, down = old.noted(), old.down()
    return {
        "contract": CONTRACT,
        "project": old.name,
        "state": old.state,
        "containers": [{"id": each.id, "name": each.name, "running": each.running} for each in found],
        "ended": sorted(old.ended().values()) if old.state == FINISHED else [],
        "down": [each.name for each in down],
        "slow": list(slow),
        "networks": sorted({name for each in found for name in each.networks} & set(old.networks())),
    }
