"""What the agent says about this host and one stack on it; changes nothing, never fails for what the host lacks."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from slipway.agent.container_report import observed
from slipway.agent.deploy.preflight import free_megabytes
from slipway.agent.docker.compose_cli import VersionQuestion
from slipway.agent.docker.docker_api import DockerApi, DockerError, DockerUnreachableError, find_socket
from slipway.agent.docker.facts import containers
from slipway.agent.docker.machine import machine, no_compose
from slipway.agent.drift import drift, route_drift
from slipway.agent.edge.edge import Edge
from slipway.agent.edge.edge_dir import EdgeFolder
from slipway.agent.output import Output
from slipway.agent.state.identity import version
from slipway.agent.state.journal import Journal
from slipway.agent.state.kept_generations import Keeping
from slipway.agent.state.ledger import Ledger
from slipway.agent.state.lock import held_by
from slipway.agent.watch.watch import watched
from slipway.contract import CONTRACT
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from slipway.agent.docker.facts import Container
    from slipway.agent.docker.machine import Machine
    from slipway.agent.state.ledger import Live
    from slipway.agent.state.stack_dir import StackFolder
    from slipway.contract.problems import Problem

__all__ = ["probe"]


def probe(folder: StackFolder) -> dict[str, Any]:
    host, seen, problems = _host(folder.stack)
    kept = Keeping(folder).containers
    seen = [each for each in seen if each.id not in kept]
    edge = _edge()
    ledger = Ledger(folder.ledger)
    live = ledger.live()
    running = held_by(folder.lock)
    unfinished = None if running else Journal(folder.journal).unfinished()
    reachable = host is not None and host.docker != ""
    return {
        "contract": CONTRACT,
        "stack": folder.stack,
        "agent": version(),
        "machine": _machine(host),
        "problems": [problem.to_json() for problem in problems],
        "live": _live(folder, live, seen) if live else None,
        "convergence": live.convergence if live else "",
        "drift": _drift(folder, live, seen, edge) if live and reachable else [],
        "interrupted": unfinished.text() if unfinished else None,
        "lock": running,
        "last": ledger.last(),
        "validated": validated.release if (validated := ledger.validated()) else None,
        "edge": _edge_status(edge),
        "certificate": EdgeFolder().has_certificate(),
        "watch": watched(folder),
        "maintenance": bool(edge and (routing := edge.current(folder.stack)) and routing.maintenance is not None),
    }


def _edge() -> Edge | None:
    """The edge, without a word from it."""
    try:
        return Edge(DockerApi(find_socket(), timeout=20.0), Output(""))
    except SlipwayError:
        return None


def _edge_status(edge: Edge | None) -> dict[str, Any] | None:
    try:
        return edge.status() if edge else None
    except SlipwayError:
        return None  # Docker does not answer; that is among the problems


def _drift(folder: StackFolder, live: Live, seen: list[Container], edge: Edge | None) -> list[dict[str, str]]:
    release = folder.release(live.release) or {"services": {}}
    wanted = {
        name: proof
        for name, proof in live.services.items()
        if (release["services"].get(name) or {}).get("routes") and proof.replicas
    }
    found = drift(live.services, seen)
    if wanted and edge is not None:
        found += route_drift(wanted, seen, edge.current(folder.stack), _edge_status(edge))
    return found


def _host(stack: str) -> tuple[Machine | None, list[Container], list[Problem]]:
    question = VersionQuestion()
    problems: list[Problem] = []
    seen: list[Container] = []
    host = None
    try:
        api = DockerApi(find_socket(), timeout=20.0)
        host = machine(api, "")
        seen = containers(api, stack)
    except (DockerUnreachableError, DockerError) as error:
        problems += error.problems
    compose = question.answer()
    if compose is None:
        problems += no_compose().problems
    return (host._replace(compose=compose or "") if host else None), seen, problems


def _machine(host: Machine | None) -> dict[str, Any]:
    import pwd

    kernel = os.uname()
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    try:
        user = pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        user = str(os.getuid())
    return {
        "hostname": kernel.nodename,
        "architecture": host.architecture if host else names.get(kernel.machine, kernel.machine),
        "docker": host.docker if host else None,
        "compose": (host.compose or None) if host else None,
        "python": ".".join(str(part) for part in sys.version_info[:3]),
        "disk_free_mb": free_megabytes(host.root if host else "/var/lib/docker"),
        "user": user,
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
