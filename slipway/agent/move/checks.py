"""What must hold before a stack takes over: from another than itself, on data that nobody else writes to."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

from slipway.agent.docker.docker_api import PROJECT_LABEL
from slipway.agent.docker.facts import SHORT_ID
from slipway.agent.move.old_project import FOLDER_LABEL, NOTES, OPEN
from slipway.agent.move.shared_data import data_of, data_of_service, shared, within
from slipway.agent.state.atomic_files import read_object
from slipway.contract.host_paths import stack_folder, stacks_folder
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.docker.facts import Container
    from slipway.agent.move.old_project import OldContainer, OldProject

__all__ = ["WORKS", "check_claims", "check_data", "check_folders", "check_kept", "check_names", "strangers"]

WORKS = ("running", "paused", "restarting")  # states of a container that has its data


def check_data(
    compose: Mapping[str, Any],
    starting: Collection[str],
    *,
    others: Sequence[Mapping[str, Any]],
    api: DockerApi,
    old: OldProject,
    move_from: Sequence[str],
) -> None:
    """Refuse data that one of the `others` writes to: adopted volumes, and whatever one of the old project does."""
    data = {each for name in starting for each in data_of_service(name, compose, api)}
    adopted = {each for name in starting for each in data_of_service(name, compose, api, adopted=True)}
    for entry in others if data else ():
        name = str(entry["Names"][0]).lstrip("/")
        user = (entry.get("Labels") or {}).get(PROJECT_LABEL) or name
        moved, named = old.is_noted(str(entry["Id"])), not {name, user}.isdisjoint(move_from)
        if entry.get("State") not in WORKS or not (adopted or moved or named):
            continue
        theirs = data_of(entry, api)
        used = shared(data, theirs) if moved or named else shared(within(theirs, adopted), adopted)
        if not used:
            continue
        kind = "folder" if os.path.isabs(used[0]) else "volume"
        why = "moveFrom stops it at the right moment"
        fix = f"pulumi config set --path 'moveFrom[{len(move_from)}]' {user}"
        if old.over and (moved or named):
            why, fix = "somebody started it after the move", f"docker stop {name}"
        elif named:  # a one-off run, or a task of a swarm
            why, fix = f"the move does not stop it with the rest of {user}", f"docker stop {name}"
        raise SlipwayError(
            f"the {kind} {used[0]}{', which this stack adopts,' if used[0] in adopted else ''} is in use by {name}",
            f"two would write the same data, so nothing was started; {why}",
            fix,
        )


def check_names(
    stack: str, application: str, own: Sequence[Container], move_from: Sequence[str], *, first: bool
) -> None:
    """Refuse to take containers of the stack's `own` project for old ones, or, `first`, old ones for its own."""
    fix = f"pulumi config set name {application}-new"
    if named := sorted({stack, *(each.name for each in own)}.intersection(move_from)):
        raise SlipwayError(
            f"moveFrom names {named[0]}, and {stack} is what this stack itself is called on its hosts",
            "old containers would be replaced and not kept, with no way back, so nothing was touched; a stack of "
            "another name takes over from them",
            fix,
        )
    if strangers := [each.name for each in own if first and not each.config and not each.one_off]:
        raise SlipwayError(
            f"{', '.join(strangers)} of a Compose project {stack} is here already, as this stack is called, too",
            "they would be replaced and not kept, with no way back, so nothing was touched; under another name, "
            "`slipway init --from` has the stack take over from them and their data",
            fix,
        )


def check_kept(old: OldProject) -> None:
    """Refuse old containers that would be gone once they are stopped."""
    for each in old.containers():
        host = (old.api.container(each.id) or {}).get("HostConfig") or {}
        if each.running and host.get("AutoRemove"):
            raise SlipwayError(
                f"{each.name} of {old.name} was started with `docker run --rm`",
                "stopped, it would be gone, and there would be no way back, so nothing was touched; start it anew "
                "without --rm, or do without it (what starts it again, such as a unit of systemd, is stopped first)",
                f"docker stop {each.name}",
            )


def check_folders(old: OldProject, services: Collection[str]) -> None:
    """Refuse a project that runs from several folders: one may be another application of that name."""
    if old.open and not old.more:
        return
    for project in old.names:
        folders: dict[str, list[OldContainer]] = {}
        for each in old.containers():
            labels = ((old.api.container(each.id) or {}).get("Config") or {}).get("Labels") or {}
            folder = str(labels.get(FOLDER_LABEL) or "")
            if folder and labels.get(PROJECT_LABEL) == project and each.name not in old.names:
                folders.setdefault(os.path.realpath(folder), []).append(each)
        if len(folders) > 1:
            found = [f"{each} ({', '.join(one.name for one in folders[each])})" for each in sorted(folders)]
            likely = max(sorted(folders), key=lambda each: sum(one.service in services for one in folders[each]))
            index = list(old.names).index(project)
            places = (index, *range(len(old.names), len(old.names) + len(folders[likely]) - 1))
            pairs = (f"moveFrom[{at}]={one.name}" for at, one in zip(places, folders[likely]))
            raise SlipwayError(
                f"{project}, which moveFrom names, runs from several folders: {', '.join(found)}",
                "one may be another application, which would be stopped, so nothing was touched; name the containers "
                f"in place of the project, those of {likely} or of all that are one application",
                "pulumi config set-all --path " + " ".join(f"--plaintext {shlex.quote(each)}" for each in pairs),
            )


def check_claims(old: OldProject, stack: str) -> None:
    """Refuse to take over from whom another stack of this host takes over, or took over and may go back."""
    containers = {each.id for each in old.containers()}
    here = os.listdir(stacks_folder()) if os.path.isdir(stacks_folder()) else ()
    for other in sorted(set(here) - {stack}):
        noted = read_object(os.path.join(stack_folder(other), NOTES))
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


def strangers(old: Collection[OldContainer], stack: str, api: DockerApi) -> dict[str, tuple[str, ...]]:
    """Container that runs and is neither the stack's nor one of `old` → the data that it works on."""
    known = {each.id for each in old}
    return {
        str(entry["Names"][0]).lstrip("/"): data_of(entry, api)
        for entry in api.containers()
        if entry.get("State") in WORKS
        and str(entry["Id"])[:SHORT_ID] not in known
        and (entry.get("Labels") or {}).get(PROJECT_LABEL) != stack
    }
