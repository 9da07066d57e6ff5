"""A container of the project that a stack takes over from, as a plain value: read from the engine, kept in a note."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent.docker.docker_api import PROJECT_LABEL
from slipway.agent.docker.facts import SERVICE_LABEL, SHORT_ID, restart_policy
from slipway.agent.move.shared_data import data_of
from slipway.contract.published_ports import held_ports

if TYPE_CHECKING:
    from collections.abc import Mapping

    from slipway.agent.docker.docker_api import DockerApi

__all__ = ["FOLDER_LABEL", "OldContainer", "from_note", "place_of", "read", "runs"]

FOLDER_LABEL = "com.docker.compose.project.working_dir"


class OldContainer(NamedTuple):
    """One of them, as it was when it was noted; `running` is as it is now.

    One that does not run is noted where Docker would start it: it rests as well, and an undo leaves it as it was.
    """

    id: str
    name: str
    service: str
    created: str
    policy: dict[str, Any]
    ports: tuple[int, ...]  # of the host
    mounts: tuple[str, ...]
    """data that it may write to (see `shared_data`)"""
    networks: dict[str, list[str]]  # name → its aliases there
    project: str = ""
    folder: str = ""
    """where Compose was run, without links"""
    running: bool = True
    ran: bool = True
    """whether it ran when it was noted"""
    started: str = ""
    """when it had started then"""


def read(details: Mapping[str, Any], api: DockerApi) -> OldContainer:
    labels = details["Config"].get("Labels") or {}
    settings = details.get("NetworkSettings") or {}
    short, (project, folder) = str(details["Id"])[:SHORT_ID], place_of(labels)
    return OldContainer(
        id=short,
        name=str(details["Name"]).lstrip("/"),
        service=str(labels.get(SERVICE_LABEL, "")),
        created=str(details.get("Created") or ""),
        policy=restart_policy(details),
        ports=tuple(sorted(held_ports(details))),
        mounts=data_of(details, api),
        networks={
            name: [alias for alias in (each or {}).get("Aliases") or () if alias != short]
            for name, each in (settings.get("Networks") or {}).items()
        },
        project=project,
        folder=folder,
        running=runs(details),
        ran=runs(details),
        started=str(details["State"].get("StartedAt") or ""),
    )


def place_of(labels: Mapping[str, Any]) -> tuple[str, str]:
    """The project of a container and the folder from which Compose made it, of which both may be empty."""
    folder = str(labels.get(FOLDER_LABEL) or "")
    return str(labels.get(PROJECT_LABEL) or ""), os.path.realpath(folder) if folder else ""


def from_note(noted: Mapping[str, Any], api: DockerApi) -> OldContainer:
    found = OldContainer(**{**noted, "ports": tuple(noted["ports"]), "mounts": tuple(noted["mounts"])})
    if "project" in noted:
        return found
    details = api.container(found.id) or {}  # a former version noted no project, and the folder with its links
    project, folder = place_of((details.get("Config") or {}).get("Labels") or {})
    return found._replace(project=project, folder=folder)


def runs(details: Mapping[str, Any] | None) -> bool:
    return details is not None and bool(details["State"].get("Running"))
