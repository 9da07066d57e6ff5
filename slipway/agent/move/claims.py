"""What the stacks of a host have taken over, one from another or two from one: noted by each, read by all."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent.docker.docker_api import PROJECT_LABEL
from slipway.agent.docker.facts import SHORT_ID
from slipway.agent.move.old_project import FINISHED, NOTES, OPEN, OldProject
from slipway.agent.state.atomic_files import read_object
from slipway.agent.state.stack_dir import StackFolder
from slipway.contract.host_paths import stack_folder, stacks_folder
from slipway.contract.problems import Problem, SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.edge.edge import Edge
    from slipway.contract.plan import Change

__all__ = ["Taken", "check_claims", "edge_sharers", "taken_over_by", "with_ways_back"]


class Taken(NamedTuple):
    """Another stack that took over from this one."""

    stack: str
    back: bool
    """whether it may go back"""
    problem: Problem


def taken_over_by(stack: str, api: DockerApi) -> Taken | None:
    """Which other stack of this host took over from `stack`, whose containers or name it noted; None where none did."""
    own = {str(each["Id"])[:SHORT_ID] for each in api.containers({PROJECT_LABEL: stack})}
    for other, noted in _noted(stack):
        state, claimed = noted.get("state"), {str(each["id"]) for each in noted.get("containers", ())}
        noted_own = not own.isdisjoint(claimed)
        if state in OPEN and claimed and (noted_own or stack in noted.get("names", ())):
            problem = Problem(
                f"stack {other} of this host takes over from {stack}, or has done so, and may go back",
                f"two would write the same data, and {other} would lose its way back, so nothing was touched; in the "
                f"project of {other}, `slipway move undo` gives back to this stack, `slipway move finish` gives it up",
                f"slipway move show --stack {shlex.quote(_short(other))}",
            )
            return Taken(other, back=True, problem=problem)
        if state == FINISHED and noted_own:
            problem = Problem(
                f"stack {other} of this host took over from {stack} for good",
                "two would write the same data, so nothing was touched; this stack is over; what is left of it goes "
                "with what this command prints",
                f"slipway move finish --stack {shlex.quote(_short(other))}",
            )
            return Taken(other, back=False, problem=problem)
    return None


def check_claims(old: OldProject, stack: str) -> None:
    """Refuse to take over from whom another stack of this host takes over, or took over and may go back."""
    containers = {each.id for each in old.containers()}
    for other, noted in _noted(stack):
        claimed = noted.get("containers", ()) if noted.get("state") in OPEN else ()
        names = {*noted.get("names", ()), *(each["name"] for each in claimed)}.intersection(old.names)
        if claimed and (names or not containers.isdisjoint(each["id"] for each in claimed)):
            name = min(names, default=old.names[0])
            raise SlipwayError(
                f"stack {other} of this host takes over from {name}, or has done so, and may go back",
                "two would take over the same containers and data, so nothing was touched; `slipway move` of that "
                "stack shows how far it is, `undo` or `finish` ends it",
                f"pulumi config rm --path 'moveFrom[{list(old.names).index(name)}]'",
            )


def edge_sharers(old: OldProject, edge: Edge, *more: str) -> list[str]:
    """The other stacks, and `more` that join, that would lose the edge if `old` got its ports back."""
    request = edge.requested(old.stack)
    ports = {request.http_port, request.https_port} if request else set()
    others = sorted({*(edge.status() or {}).get("stacks", ()), *more} - {old.stack})
    return [] if all(ports.isdisjoint(each.ports) for each in old.noted()) else others


def with_ways_back(change: Change, stack: str, edge: Edge, api: DockerApi) -> Change:
    """`change` of the edge, naming the stacks whose move cannot be undone any more once `stack` is on it."""
    moves = {other: OldProject(StackFolder(other), api) for other, noted in _noted(stack) if noted.get("state") in OPEN}
    ended = (other for other, old in moves.items() if edge_sharers(old, edge, stack) and not edge_sharers(old, edge))
    said = (f"from then on `slipway move undo` of stack {other} is refused: finish its move first" for other in ended)
    return change._replace(because=(*change.because, *said))


def _noted(stack: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The other stacks of this host, each with its note of a move."""
    here = os.listdir(stacks_folder()) if os.path.isdir(stacks_folder()) else ()
    for other in sorted(set(here) - {stack}):
        yield other, read_object(os.path.join(stack_folder(other), NOTES))


def _short(stack: str) -> str:
    """A stack as its own project calls it, where a release tells."""
    releases = StackFolder(stack).kept_releases().values()
    application = next((str(each.get("application")) for each in releases), "")
    return stack[len(application) + 1 :] if stack.startswith(f"{application}-") else stack
