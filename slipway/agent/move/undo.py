"""Undoes a move: the old project runs again, the stack stands still. The next run ends one that was cut off."""

from __future__ import annotations

import contextlib
import shlex
from typing import TYPE_CHECKING

from slipway.agent.deadline import Deadline
from slipway.agent.docker.docker_api import PROJECT_LABEL
from slipway.agent.docker.facts import SERVICE_LABEL
from slipway.agent.edge.edge import Edge
from slipway.agent.move.claims import edge_sharers
from slipway.agent.move.handover import Handover
from slipway.agent.move.old_project import NOTES, UNDOING
from slipway.agent.move.way_back import check_way_back
from slipway.agent.state.atomic_files import remove_files
from slipway.agent.state.ledger import Ledger
from slipway.agent.strategies.graph import ancestors
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.move.old_project import OldProject
    from slipway.agent.output import Output
    from slipway.agent.state.stack_dir import StackFolder

__all__ = ["undo"]

_SECONDS = 300.0


def undo(folder: StackFolder, old: OldProject, api: DockerApi, out: Output) -> list[str]:
    """Give back to `old`, from whatever is found; what does not work yet, in words.

    Raises:
        SlipwayError: nothing was changed, since others would lose the edge, somebody else works on the data, or nothing
            is left; or all was done that could be, and not all of it runs.
    """
    edge = Edge(api, out)
    if others := edge_sharers(old, edge):
        off = f"take {' and '.join(others)} off this host first (`pulumi destroy` in its project)"
        raise SlipwayError(
            f"the edge of this host serves {', '.join(others)}, too",
            f"{old.name} would take its ports back, and nobody would reach them, so nothing was changed"
            + ("" if old.state == UNDOING else f"; {off}, or finish the move"),
            off if old.state == UNDOING else "slipway move finish",
        )
    if old.state != UNDOING and not old.noted():
        raise SlipwayError(
            f"nothing is left of {old.name}: {'; '.join(old.lost())}",
            "there is nothing to go back to, so nothing was changed, and the stack runs on",
            "slipway move finish",
        )
    handover = Handover(old, folder.stack, api, edge, out)
    names = {each.id: each.name for each in old.noted() if each.ran}  # the others are not started
    for container, user in ((each, user) for each, user in handover.taken().items() if each in names):
        raise SlipwayError(
            f"{names[container]} of {old.name} cannot run: {user} works on its data",
            "two would write the same data, so nothing was changed",
            f"docker stop {user}",
        )
    if old.state != UNDOING:
        check_way_back(old, api)
    # Its watch ends: one that rolls back would start what is about to stop, and nobody retires what was kept.
    remove_files(folder.watch, folder.secrets_before, folder.kept)
    old.note(UNDOING)
    handover.give_back(lambda: _leave(folder, old, api, out), Deadline(_SECONDS, "giving back"))
    if handover.lost:
        again, project = bool(old.down()), next((each.project for each in old.noted() if each.project), old.names[0])
        by_hand = f"in its folder on the host: docker compose -p {shlex.quote(project)} up -d"
        raise SlipwayError(
            f"not all of {old.name} runs again: {'; '.join(handover.lost)}",
            "all else of it runs as before, and the stack is stopped"
            + ("; once nothing is in its way, the same command starts it" if again else ""),
            "slipway move undo" if again else by_hand,
        )
    if handover.unwritten:
        raise SlipwayError(
            f"{old.name} is as it was before the move, and {NOTES} of this stack cannot be written",
            "nothing else is missing, but until it is noted `slipway up` takes the move for made; free space for that",
            "slipway move undo",
        )
    return handover.slow


def _leave(folder: StackFolder, old: OldProject, api: DockerApi, out: Output) -> None:
    """Stop the stack's containers so that nothing restarts them; they stay, for their logs, until it deploys again.

    Nobody starts on their data before all have gone, and a worker may take its time: what visitors need goes last.
    """
    needed, listed = _needed(folder), api.containers({PROJECT_LABEL: folder.stack})
    last = [str(each["Id"]) for each in listed if (each.get("Labels") or {}).get(SERVICE_LABEL) in needed]
    try:
        old.stop(str(each["Id"]) for each in listed if each["Id"] not in last)
    finally:
        old.stop(last)
    with contextlib.suppress(OSError):  # a full disk must not keep the old project from coming back
        Edge(api, out).drop_stack(folder.stack)
    remove_files(folder.watched)


def _needed(folder: StackFolder) -> set[str]:
    """The live release's services that have a route or a port, and those on which they depend."""
    live = Ledger(folder.ledger).live()
    release = (live and folder.release(live.release)) or {"services": {}, "compose": {"services": {}}}
    services = release["compose"]["services"]
    edges = {name: list(each.get("depends_on") or ()) for name, each in services.items()}
    served = {name for name, each in services.items() if each.get("ports")}
    served |= {name for name, each in release["services"].items() if each.get("routes")}
    return served.union(*(ancestors(name, edges) for name in served))
