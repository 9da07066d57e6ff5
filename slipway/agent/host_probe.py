"""What the agent says about this host and one stack on it; changes nothing, never fails for what the host lacks."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.container_report import observed
from slipway.agent.deploy.preflight import free_megabytes
from slipway.agent.docker.compose_cli import VersionQuestion
from slipway.agent.docker.docker_api import PROJECT_LABEL, DockerApi, find_socket
from slipway.agent.docker.facts import STACK_LABEL, containers
from slipway.agent.docker.machine import machine, no_compose
from slipway.agent.drift import drift, route_drift
from slipway.agent.edge.edge import Edge
from slipway.agent.edge.edge_dir import EdgeFolder
from slipway.agent.move.checks import shared_now
from slipway.agent.move.old_container import FOLDER_LABEL
from slipway.agent.move.old_project import OldProject
from slipway.agent.output import Output
from slipway.agent.state.identity import version
from slipway.agent.state.journal import Journal
from slipway.agent.state.kept_generations import Keeping
from slipway.agent.state.ledger import Ledger
from slipway.agent.state.lock import ask_to_end, held_by, holder
from slipway.agent.state.owner import host_of, owner_of
from slipway.agent.watch.watch import watched
from slipway.contract import CONTRACT
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from slipway.agent.docker.facts import Container
    from slipway.agent.docker.machine import Machine
    from slipway.agent.move.checks import Rival
    from slipway.agent.state.ledger import Live
    from slipway.agent.state.stack_dir import StackFolder
    from slipway.contract.problems import Problem

__all__ = ["cancel", "probe"]

_NOTHING: dict[str, Any] = {"services": {}}  # the Compose file where no release is live


def cancel(folder: StackFolder, actor: str, seconds: float) -> dict[str, Any]:
    """Have the deployment of `actor` that runs here go back, wait for it at most `seconds`, then probe."""
    until = runtime.monotonic() + seconds
    process = ask_to_end(folder.lock, actor)
    while process is not None and holder(folder.lock, actor) == process and runtime.monotonic() < until:
        runtime.sleep(0.2)
    return probe(folder)


def probe(folder: StackFolder) -> dict[str, Any]:
    question = VersionQuestion()
    problems: list[Problem] = []
    host, seen, edge, status, old, elsewhere = None, [], None, None, None, None
    ledger = Ledger(folder.ledger)
    live, validated = ledger.live(), ledger.validated()
    release = folder.release(live.release) if live else None
    running = held_by(folder.lock)
    rivals: list[Rival] = []
    try:
        api = DockerApi(find_socket(), timeout=20.0)
        old = OldProject(folder, api)
        edge = Edge(api, Output(""))  # without a word from it
        host = machine(api, "")
        kept = Keeping(folder).containers
        seen = [each for each in containers(api, folder.stack) if each.id not in kept]
        elsewhere = _elsewhere(folder, api, newest=live is not None)
        status = edge.status()
        moving = running and old.state and not old.over  # two may be at work while one takes over
        rivals = [] if moving else shared_now(folder.stack, (release or {"compose": _NOTHING})["compose"], api, old)
    except SlipwayError as error:
        problems += error.problems
    compose = question.answer()
    if compose is None:
        problems += no_compose().problems
    host = host._replace(compose=compose or "") if host else None
    unfinished = None if running else Journal(folder.journal).unfinished()
    routing = edge.current(folder.stack) if edge else None
    found = [{"service": each.service, "what": each.said} for each in rivals]
    if live and host and host.docker:
        found += drift(live.services, seen)
        found += route_drift(live, release, seen, routing, status)
    return {
        "contract": CONTRACT,
        "stack": folder.stack,
        "application": _application(folder, live),
        "owner": owner_of(folder),
        "called": host_of(folder),
        "elsewhere": elsewhere,
        "agent": version(),
        "machine": _machine(host),
        "problems": [problem.to_json() for problem in problems],
        "live": _live(folder, live, seen) if live else None,
        "convergence": live.convergence if live else "",
        "drift": found,
        "interrupted": unfinished.text() if unfinished else None,
        "lock": running,
        "last": ledger.last(),
        "returned": ledger.returned(),
        "validated": validated.release if validated else None,
        "edge": status,
        "certificate": EdgeFolder().has_certificate(),
        "watch": watched(folder),
        "maintenance": routing is not None and routing.maintenance is not None,
        "move": {"project": old.name, "state": old.state} if old and old.state else None,
    }


def _application(folder: StackFolder, live: Live | None) -> str:
    """Whose this stack is: the application of what is live, or else of what was tried; empty where nothing was."""
    release = folder.release(live.release) if live else next(iter(folder.kept_releases().values()), None)
    return str((release or {}).get("application", ""))


def _elsewhere(folder: StackFolder, api: DockerApi, *, newest: bool) -> dict[str, str] | None:
    """Where another user, or another home of this one, keeps the record of what runs of this stack.

    Where both have one, that of the `newest` container is true: the other's is of some time ago.
    """
    import pwd

    own = [each for each in api.containers({PROJECT_LABEL: folder.stack}) if STACK_LABEL in (each.get("Labels") or {})]
    own.sort(key=lambda each: int(each["Created"]), reverse=True)
    for entry in own[:1] if newest else own:
        place = there = str(entry["Labels"].get(FOLDER_LABEL) or "")
        while os.path.isabs(there) and not os.path.lexists(there):
            there = os.path.dirname(there)
        gone = there != place and os.access(there, os.X_OK)  # not only hidden, in a folder of its user alone
        if os.path.isabs(place) and not gone and os.path.realpath(place) != os.path.realpath(folder.path):
            number = os.lstat(there).st_uid
            try:
                return {"user": pwd.getpwuid(number).pw_name, "folder": place}
            except KeyError:
                return {"user": str(number), "folder": place}
    return None


def _machine(host: Machine | None) -> dict[str, Any]:
    import pwd

    kernel = os.uname()
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    try:
        user, *_, shell = pwd.getpwuid(os.getuid())
    except KeyError:
        user, shell = str(os.getuid()), ""
    return {
        "hostname": kernel.nodename,
        "architecture": host.architecture if host else names.get(kernel.machine, kernel.machine),
        "docker": host.docker if host else None,
        "compose": (host.compose or None) if host else None,
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "disk_free_mb": free_megabytes(host.root if host else "/var/lib/docker"),
        "user": user,
        "shell": shell,
    }


def _live(folder: StackFolder, live: Live, seen: list[Container]) -> dict[str, Any]:
    release = folder.release(live.release) or {}
    images = {name: proof.image for name, proof in live.services.items()}
    return {
        "release": live.release,
        "commit": str(release.get("commit", "")),
        "branch": str(release.get("branch", "")),
        "since": live.since,
        "images": images,
        "services": observed(images, {name: proof.replicas for name, proof in live.services.items()}, seen),
    }
