"""The Docker engine and Compose of this host, and their facts."""

from __future__ import annotations

import re
from typing import NamedTuple

from slipway.agent.docker.compose_cli import VersionQuestion
from slipway.agent.docker.docker_api import DockerApi, find_socket
from slipway.contract.problems import SlipwayError

__all__ = ["Machine", "machine", "no_compose", "require_host", "supports_start_interval"]


class Machine(NamedTuple):
    """The engine and tools of this host."""

    docker: str
    api: tuple[int, int]
    architecture: str
    compose: str
    root: str
    volume_drivers: tuple[str, ...]


def require_host() -> tuple[DockerApi, Machine]:
    """The engine and its facts."""
    question = VersionQuestion()
    try:
        api = DockerApi(find_socket())
        api.version()
    finally:
        compose = question.answer()
    if compose is None:
        raise no_compose()
    return api, machine(api, compose)


def no_compose() -> SlipwayError:
    return SlipwayError(
        "Docker Compose v2 is not installed",
        "the agent has it make the containers",
        "sudo apt-get install docker-compose-plugin",
    )


def machine(api: DockerApi, compose: str) -> Machine:
    """Facts about the engine; `compose` is the plugin's version, which the engine does not know."""
    version, info = api.version(), api.info()
    return Machine(
        docker=str(version.get("Version", "")),
        api=_numbers(str(version.get("ApiVersion", "0.0"))),
        architecture=str(version.get("Arch", "")),
        compose=compose,
        root=str(info.get("DockerRootDir") or "/var/lib/docker"),
        volume_drivers=tuple((info.get("Plugins") or {}).get("Volume") or ("local",)),
    )


def supports_start_interval(host: Machine) -> bool:
    """`start_interval` needs Engine API 1.44 (Docker 25) and Compose 2.20; older ones refuse the file."""
    return host.api >= (1, 44) and _numbers(host.compose) >= (2, 20)


def _numbers(version: str) -> tuple[int, int]:
    found = re.findall(r"[0-9]+", version)
    return (int(found[0]), int(found[1])) if len(found) > 1 else (0, 0)
