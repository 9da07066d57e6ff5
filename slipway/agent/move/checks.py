"""What must hold before a stack takes over: from another than itself, on data that nobody else writes to."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent.docker.docker_api import PROJECT_LABEL
from slipway.agent.docker.facts import (
    EDGE_NETWORK,
    NEVER_RESTARTED,
    SERVICE_LABEL,
    SHORT_ID,
    restart_policy,
    works_or_will,
)
from slipway.agent.move.old_container import FOLDER_LABEL, place_of, runs
from slipway.agent.move.old_project import UNDOING, UNDONE
from slipway.agent.move.shared_data import data_of, data_of_service, shared, within
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.docker.facts import Container
    from slipway.agent.move.old_project import OldContainer, OldProject

__all__ = [
    "check_data",
    "check_folders",
    "check_kept",
    "check_names",
    "rivals",
    "shared_now",
    "strangers",
    "to_rest",
]

_WORKS = ("running", "paused", "restarting")  # states of a container that has its data


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
    data = {name: data_of_service(name, compose, api) for name in starting}
    for each in rivals(data, _adopted(compose, starting, api), others, api=api, old=old, names=move_from):
        kind = "folder" if os.path.isabs(each.used[0]) else "volume"
        which = f"the {kind} {each.used[0]}{', which this stack adopts,' if each.adopted else ''}"
        why = "moveFrom stops it at the right moment"
        fix = f"pulumi config set --path 'moveFrom[{len(move_from)}]' {shlex.quote(each.user)}"
        if old.over and each.old:
            why, fix = "somebody started it after the move", each.fix
        elif each.named:  # a one-off run, or a task of a swarm
            why, fix = f"the move does not stop it with the rest of {each.user}", each.fix
        raise SlipwayError(
            f"{which} is in use by {each.name}"
            if each.works
            else f"Docker starts {each.name} at the next boot on {which.rstrip(',')}",
            f"two would write the same data, so nothing was started; {why}",
            fix,
        )


class Rival(NamedTuple):
    """A container of somebody else that works on data of the stack, or that Docker starts on it when it starts."""

    name: str
    user: str  # its project, or itself
    service: str  # of the stack
    used: list[str]
    works: bool
    adopted: bool
    named: bool  # in moveFrom
    old: bool  # that, or of the project that was noted for the move
    fix: str

    @property
    def said(self) -> str:
        """What it does to the service's data, with the command that ends it."""
        works = (
            f"{self.name} works on its data"
            if self.works
            else f"Docker starts {self.name} at the next boot on its data"
        )
        return f"{works} ({self.used[0]}), too; to end that, on the host: {self.fix}"


def rivals(
    data: Mapping[str, Collection[str]],
    adopted: Collection[str],
    others: Iterable[Mapping[str, Any]],
    *,
    api: DockerApi,
    old: OldProject,
    names: Collection[str],
) -> Iterator[Rival]:
    """Those of the `others`; `data` is what each service writes to, `names` are projects and containers of moveFrom."""
    for entry in others if any(data.values()) else ():
        name = str(entry["Names"][0]).lstrip("/")
        user = (entry.get("Labels") or {}).get(PROJECT_LABEL) or name
        named = not {name, user}.isdisjoint(names)
        of_old = named or old.is_noted(str(entry["Id"])) or place_of(entry.get("Labels") or {}) in old.places()
        theirs = data_of(entry, api)
        found = {
            service: shared(own, theirs) if of_old else shared(within(theirs, adopted), within(adopted, own))
            for service, own in data.items()
        }
        service = next((each for each, used in found.items() if used), "")
        details = api.container(str(entry["Id"])) if service else None
        if details and works_or_will(details):
            used, works = found[service], runs(details)
            fix = to_rest(name, restart_policy(details), works=works)
            yield Rival(name, user, service, used, works, used[0] in adopted, named, of_old, fix)


def to_rest(name: str, policy: Mapping[str, Any], *, works: bool) -> str:
    """The command after which a container does not work, nor starts by itself."""
    restarts = [f"docker update --restart no {name}"] if policy["Name"] not in NEVER_RESTARTED else []
    return " && ".join([*restarts, *([f"docker stop {name}"] if works else [])])


def shared_now(stack: str, compose: Mapping[str, Any], api: DockerApi, old: OldProject) -> list[Rival]:
    """Who else works on the data of the stack's containers; changes nothing.

    `compose` is the file of its release. Where the stack has not taken the old project's place, or not any more, the
    two count only where both work, and after an undo it is the stack's own that rests.
    """
    adopted = _adopted(compose, compose["services"], api)
    if not (old.state or adopted):
        return []
    over = old.over or not old.state
    own: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    others = []
    for entry in api.containers():
        labels = entry.get("Labels") or {}
        if labels.get(PROJECT_LABEL) != stack:
            others.append(entry)
        elif over or entry.get("State") in _WORKS:
            service = str(labels.get(SERVICE_LABEL, ""))
            own.setdefault(service, []).extend(data_of(entry, api))
            names[service] = str(entry["Names"][0]).lstrip("/")
    found = [each for each in rivals(own, adopted, others, api=api, old=old, names=old.names) if over or each.works]
    if old.state in (UNDOING, UNDONE):
        ends = "docker update --restart no {0} && docker stop {0}"
        return [each._replace(fix=ends.format(names[each.service])) for each in found]
    return found


def _adopted(compose: Mapping[str, Any], services: Iterable[str], api: DockerApi) -> set[str]:
    return {each for name in services for each in data_of_service(name, compose, api, adopted=True)}


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
    for place, name in enumerate(move_from):
        if name.startswith(f"{EDGE_NETWORK}-"):
            raise SlipwayError(
                f"moveFrom names {name}, an edge of Slipway",
                "it serves the stacks of this host, and this one is served by it, too, so nothing was touched",
                f"pulumi config rm --path 'moveFrom[{place}]'",
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


def strangers(old: Collection[OldContainer], stack: str, api: DockerApi) -> dict[str, tuple[str, ...]]:
    """Container that runs and is neither the stack's nor one of `old` → the data that it works on."""
    known = {each.id for each in old}
    return {
        str(entry["Names"][0]).lstrip("/"): data_of(entry, api)
        for entry in api.containers()
        if entry.get("State") in _WORKS
        and str(entry["Id"])[:SHORT_ID] not in known
        and (entry.get("Labels") or {}).get(PROJECT_LABEL) != stack
    }
