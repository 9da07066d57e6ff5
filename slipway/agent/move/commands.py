"""What `slipway move` asks of a host: to show the move, undo it, or finish it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from slipway.agent.deadline import Stop
from slipway.agent.docker.docker_api import PROJECT_LABEL, DockerApi, find_socket
from slipway.agent.edge.edge import Edge
from slipway.agent.move.checks import shared_now, to_rest
from slipway.agent.move.claims import edge_sharers
from slipway.agent.move.handover import Handover
from slipway.agent.move.old_project import FINISHED, OldProject
from slipway.agent.move.old_values import other_values
from slipway.agent.move.shared_data import data_of, within
from slipway.agent.move.undo import undo
from slipway.agent.output import Output
from slipway.agent.state.journal import Journal, end_orphans
from slipway.agent.state.lock import lock
from slipway.contract import CONTRACT
from slipway.contract.outcomes import FAILED
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.agent.state.stack_dir import StackFolder

__all__ = ["move"]

_LOCK_WAIT = 60.0


def move(folder: StackFolder, what: str, out: Output) -> dict[str, Any]:
    """`show`, `undo`, `finish`, or `remove` (which also removes the old containers, never a volume).

    What the state of the move does not allow is not done, and nothing is raised: the answer says where it stands.

    Raises:
        SlipwayError: it cannot be undone, or is not finished because something of the old project runs.
    """
    api = DockerApi(find_socket())
    old = OldProject(folder, api)
    if what == "show" or not os.path.isdir(folder.path):  # as the lock would make it
        return _described(old, folder, api)
    stop = Stop()
    stop.install()
    with lock(folder.lock, owner=folder.actor(), reason=f"move {what}", wait=_LOCK_WAIT, stop=stop):
        old = OldProject(folder, api)
        slow: list[str] = []
        removed: list[str] = []
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
            removed = _finish(old, api, remove=what == "remove")
        return {**_described(old, folder, api, slow), "removed": removed}


def _finish(old: OldProject, api: DockerApi, *, remove: bool) -> list[str]:
    """What was removed, in words."""
    found = {each.name: to_rest(each.name, each.policy, works=each.running)
             for each in (*old.awake(), *(each for each in old.noted() if each.running))}  # fmt: skip
    rivals = shared_now(old.stack, {"services": {}}, api, old)
    found.update((each.name, each.fix) for each in rivals if each.old)
    if found:
        them = "them" if len(found) > 1 else "it"
        raise SlipwayError(
            f"{', '.join(found)} of {old.name} {'run' if len(found) > 1 else 'runs'}, or Docker starts {them} at the "
            "next boot",
            "the move had stopped all of it, and what runs is not removed, so nothing was changed; stop that on the "
            "host, and see that nothing starts it again",
            " && ".join(found.values()),
        )
    old.leave_networks()
    old.note(FINISHED)
    if not remove:
        return []
    removed = {**{each.id: each.name for each in old.noted()}, **old.ended()}
    for each in removed:
        api.remove(each)
    for name in old.networks():
        with contextlib.suppress(SlipwayError):  # somebody else is on it
            api.remove_network(name)
            removed[name] = f"network {name}"
    return list(removed.values())


def _described(old: OldProject, folder: StackFolder, api: DockerApi, slow: Sequence[str] = ()) -> dict[str, Any]:
    noted, down = old.noted(), old.down()
    known = {each.id for each in noted}
    found = [*noted, *(each for each in (old.awake() if old.over else ()) if each.id not in known)]
    silent = Output("")
    edge = Edge(api, silent)
    away = [each for each in noted if each.ran and not each.running] if old.open else []
    return {
        "contract": CONTRACT,
        "project": old.name,
        "state": old.state,
        "alone": old.alone,
        "containers": [
            {"id": each.id, "name": each.name, "running": each.running, "restarting": _restarting(each.id, api)}
            for each in found
        ],
        "ended": sorted(old.ended().values()) if old.state == FINISHED else [],
        "edge_with": edge_sharers(old, edge) if old.open else [],
        "interrupts": [each.name for each in Handover(old, folder.stack, api, edge, silent).waiting(away)],
        "down": [each.name for each in down],
        "slow": list(slow),
        "other_values": other_values(old, folder, api) if old.state not in ("", FINISHED) else {},
        "folders": _folders(folder, api) if old.state == FINISHED else [],
        "networks": sorted({name for each in found for name in each.networks} & set(old.networks())),
    }


def _restarting(container: str, api: DockerApi) -> bool:
    """Whether Docker starts it again and again."""
    return bool((api.container(container) or {"State": {}})["State"].get("Restarting"))


def _folders(folder: StackFolder, api: DockerApi) -> list[str]:
    """Folders of the host that the stack writes to: some may be in that of the old project."""
    listed = api.containers({PROJECT_LABEL: folder.stack})
    binds = [each for entry in listed for each in entry.get("Mounts") or () if each.get("Type") == "bind"]
    return sorted(
        each for each in data_of({"Mounts": binds}, api) if not within([each], [os.path.realpath(folder.path)])
    )
