"""What `slipway move` asks of the hosts, and what it prints of their answers."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from slipway.contract.commands import of_stack
from slipway.contract.problems import Problem, SlipwayError
from slipway.contract.redaction import printable
from slipway.hosts.host_sessions import ask_hosts

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from slipway.settings.model import Settings

__all__ = ["Outcome", "ask", "described", "differing", "interrupted"]

# The agent waits up to 60 s for a deployment to end, and three times as long for what starts. Containers stop side by
# side, those of the stack after those that an earlier run was stopping: each may ask for 600 s and more.
_ANSWER_SECONDS = 1800.0


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The answer of one host; `state` is empty where the stack took over from nothing."""

    host: str
    project: str = ""
    state: str = ""
    alone: bool = True  # whether nothing of the stack ran before the move
    containers: tuple[Mapping[str, Any], ...] = ()
    networks: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()  # what had ended before the move
    interrupts: tuple[str, ...] = ()  # which of them an undo starts only once the stack has stopped
    edge_with: tuple[str, ...] = ()  # other stacks, for which an undo is refused
    down: tuple[str, ...] = ()  # what an undo could not start
    other_values: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Old container → its variables that do not have the values of the stack's secrets."""
    folders: tuple[str, ...] = ()  # that the stack writes to
    removed: tuple[str, ...] = ()  # by this command
    problems: tuple[Problem, ...] = field(default=())


def ask(settings: Settings, project: str, what: str) -> list[Outcome]:
    """`show`, `undo`, `finish` or `remove` on every host: the answers of those that took over or failed.

    Raises:
        SlipwayError: no host took over from a project.
    """
    answers = ask_hosts(settings, project, ("move", "--do", what), _ANSWER_SECONDS)
    outcomes = [_outcome(host, answer, what) for host, answer in answers.items()]
    found = [outcome for outcome in outcomes if outcome.state or outcome.problems]
    if not found:
        raise SlipwayError(
            f"{project} took over from no other project",
            f"there is nothing to undo or to finish; where stack {settings.stack} had another name when it did, "
            "set that `name` again; its setting moveFrom names what the next deployment takes over from",
            of_stack("slipway preview", settings.stack)
            if settings.move_from
            else "slipway init APPLICATION --from [USER@]HOST:FOLDER",
        )
    return found


def _outcome(host: str, answer: Mapping[str, Any] | SlipwayError, what: str) -> Outcome:
    if isinstance(answer, SlipwayError):
        return Outcome(host=host, problems=answer.problems)
    state = str(answer["state"])
    other_values = {str(name): tuple(map(str, each)) for name, each in answer["other_values"].items()}
    problems: tuple[Problem, ...] = ()
    if what == "undo" and state == "finished":
        problem = Problem(
            f"the move from {answer['project']} is finished and cannot be undone",
            "the stack has written to their data since, so nothing was changed: two at once would destroy it",
            "slipway rollback",
        )
        problems = (problem.on(host),)
    elif what == "undo" and answer["slow"]:
        problem = Problem(
            "; ".join(map(str, answer["slow"])),
            "; ".join((f"{answer['project']} runs again and the stack is stopped", *_differing(other_values)))
            + "; the next deployment brings the stack back",
            "slipway up",
        )
        problems = (problem.on(host),)
    elif what in ("finish", "remove") and state in ("moving", "undoing", "undone"):
        problem = Problem(
            f"the move from {answer['project']} has not been made ({state}), so it cannot be finished",
            "nothing was changed; the next deployment takes over, or continues to",
            "slipway up",
        )
        problems = (problem.on(host),)
    return Outcome(
        host=host,
        project=str(answer["project"]),
        state=state,
        alone=bool(answer["alone"]),
        containers=tuple(answer["containers"]),
        networks=tuple(answer["networks"]),
        ended=tuple(map(str, answer["ended"])),
        interrupts=tuple(map(str, answer.get("interrupts", ()))),
        edge_with=tuple(map(str, answer.get("edge_with", ()))),
        down=tuple(map(str, answer["down"])),
        other_values=other_values,
        folders=tuple(map(str, answer["folders"])),
        removed=tuple(map(str, answer.get("removed", ()))),
        problems=problems,
    )


def interrupted(outcomes: Iterable[Outcome]) -> list[str]:
    """What visitors miss during an undo, a line for each host."""
    return [
        f"{each.host}: interrupted until the stack's containers, whose data or ports they share, have stopped: "
        + ", ".join(each.interrupts)
        for each in outcomes
        if each.interrupts
    ]


def differing(outcomes: Iterable[Outcome]) -> list[str]:
    """What is otherwise after an undo than before the move, a line each."""
    found = []
    for each in outcomes:
        if each.state in ("moving", "moved", "undoing"):
            whole = [f"all of the stack stops, also what ran before it took over from {each.project}"]
            found += [
                f"{each.host}: {line}" for line in (*([] if each.alone else whole), *_differing(each.other_values))
            ]
    return found


def _differing(other_values: Mapping[str, Sequence[str]]) -> list[str]:
    alike: dict[str, list[str]] = {}
    for container, names in other_values.items():
        alike.setdefault(", ".join(names), []).append(container)
    return [
        f"another value of {names} than in the stack: {', '.join(containers)}; where the stack changed a password, "
        "in a database say, the old one does not get in"
        for names, containers in alike.items()
    ]


def described(outcome: Outcome, what: str, stack: str) -> Iterator[str]:
    """A host's answer, in lines for a person."""
    if outcome.problems:
        return
    names, project = [printable(str(each["name"])) for each in outcome.containers], printable(outcome.project)
    running = [name for name, each in zip(names, outcome.containers, strict=True) if each["running"]]
    awake = f", but {', '.join(running)} of it {'run' if len(running) > 1 else 'runs'}" if running else ""
    again = "runs again" if running or outcome.down else "is stopped, as before the move"
    again += f", except for {', '.join(map(printable, outcome.down))}" if outcome.down else ""
    said = {
        "moving": f"is taking over from {project}, or was interrupted while it did",
        "moved": f"took over from {project}{awake or ', whose containers are stopped and stay'}",
        "undoing": f"is being given back to {project}, or an undo was interrupted",
        "undone": f"{project} {again}; the stack is stopped",
        "finished": f"took over from {project} for good{awake}",
    }[outcome.state]
    yield f"{outcome.host}: {said}"
    for each in outcome.containers:
        state = "restarting again and again" if each.get("restarting") else "running" if each["running"] else "stopped"
        yield f"  {printable(str(each['name']))}  {state}"
    yield from (f"  {printable(each)}" for each in _differing(outcome.other_values))
    if outcome.state in ("moving", "moved", "undoing"):
        others = printable(" and ".join(outcome.edge_with))
        ended = f"no way back: the edge serves {others}, too, until `pulumi destroy` in its project"
        yield f"  {ended}" if others else f"  way back: {of_stack('slipway move undo', stack)}"
    if outcome.down:
        yield f"  to start the rest: {of_stack('slipway move undo', stack)}"
    if outcome.state == "undone" and names and not running:
        yield f"  to start it, on the host: docker start {' '.join(map(shlex.quote, names))}"
    if outcome.state in ("moving", "undoing", "undone"):
        yield f"  continue: {of_stack('slipway up', stack)}"
    elif outcome.state == "moved":
        yield f"  once all is well: {of_stack('slipway move finish', stack)}"
    elif outcome.state == "finished" and what != "show" and names:
        names += map(printable, outcome.ended)
        yield "  on the host, this removes what is left of it; look through its unused volumes yourself:"
        yield f"    docker rm {' '.join(map(shlex.quote, names))}"
        yield from (f"    docker network rm {shlex.quote(printable(each))}" for each in outcome.networks)
    yield from (f"  removed: {printable(each)}" for each in outcome.removed)
    if outcome.state == "finished" and what != "show" and outcome.folders:
        yield f"  these folders stay in use: {', '.join(map(printable, outcome.folders))}"
