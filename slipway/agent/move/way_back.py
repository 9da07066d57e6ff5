"""What old containers need to start again, looked for before an undo takes down the stack that works."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

from slipway.agent.docker.docker_api import PROJECT_LABEL
from slipway.agent.docker.facts import SHORT_ID
from slipway.agent.edge.network import EDGE_LABEL
from slipway.agent.move.old_project import NAMESPACES, WITHOUT_NAMES
from slipway.contract.problems import SlipwayError
from slipway.contract.published_ports import addresses_meet, listed_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.move.old_project import OldProject

__all__ = ["check_way_back"]

_NETWORK_LABEL = "com.docker.compose.network"


def check_way_back(old: OldProject, api: DockerApi) -> None:
    """Refuse to give back to containers that Docker starts no more, without their data or without who works on it.

    An image that is gone keeps none from starting: the engine keeps what its containers need of it.
    """
    gone = [f"{each.name} was removed, which worked on {each.mounts[0]}" for each in old.gone() if each.mounts]
    lost: list[str] = []
    commands: list[str] = []
    others = _bound_by_others(old, api)
    for each in old.noted():
        details = api.container(each.id) if each.ran and not each.running else None
        for name, endpoint in _lost_networks(details or {}, api):
            lost.append(f"{each.name} needs the network {name} as it was, and that was removed")
            commands += _reconnect(details or {}, each.name, name, endpoint, there=api.network(name) is not None)
        for port, protocol, address in _wanted(details or {}):
            holders = (who for *key, at, who in others if key == [port, protocol] and addresses_meet(at, address))
            for user in dict.fromkeys(holders):
                lost.append(f"{each.name} needs port {port}, which {user} has")
                commands.append(shlex.join(["docker", "stop", user]))
        for joined in _lost_joined(details or {}, api):
            lost.append(f"{each.name} joins the container {joined}, which was removed")
            commands += [] if each.mounts else [shlex.join(["docker", "rm", each.name])]
        lost += [f"{each.name} needs {what}, which is gone" for what in _lost_data(details or {}, api)]
    if gone or lost:
        back = "; once that is there again, `slipway move undo` leads back" * bool(lost and not gone)
        raise SlipwayError(
            f"{old.name} cannot run again: {'; '.join((*gone, *lost))}",
            "nothing was changed, and the stack runs on"
            + ("; on the host, this ends that, and then `slipway move undo` leads back" if commands else back),
            " && ".join(dict.fromkeys(commands)) or ("slipway move finish" if gone else "slipway move undo"),
        )


def _bound_by_others(old: OldProject, api: DockerApi) -> list[tuple[int, str, str, str]]:
    """Ports of the host that somebody has who is nobody of this move (see `listed_ports`)."""
    others = []
    for each in api.containers():
        labels = each.get("Labels") or {}
        if labels.get(PROJECT_LABEL) != old.stack and EDGE_LABEL not in labels and not old.is_noted(str(each["Id"])):
            others.append(each)
    return list(listed_ports(others))


def _wanted(details: Mapping[str, Any]) -> Iterator[tuple[int, str, str]]:
    """Port of the host, protocol and address that a container gets when it starts."""
    for inside, bound in ((details.get("HostConfig") or {}).get("PortBindings") or {}).items():
        for each in bound or ():
            port = str(each.get("HostPort") or "")
            if port.isdigit() and int(port):  # of a range, and of none, the engine chooses
                yield int(port), inside.partition("/")[2], str(each.get("HostIp") or "")


def _lost_joined(details: Mapping[str, Any], api: DockerApi) -> Iterator[str]:
    for joined in {str((details.get("HostConfig") or {}).get(mode)).partition("container:")[2] for mode in NAMESPACES}:
        if joined and api.container(joined) is None:
            yield joined[:SHORT_ID]


def _lost_networks(details: Mapping[str, Any], api: DockerApi) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """A container starts on no other network of the same name, but for Docker's own."""
    for name, endpoint in ((details.get("NetworkSettings") or {}).get("Networks") or {}).items():
        if (
            name not in WITHOUT_NAMES
            and (endpoint or {}).get("NetworkID")
            and api.network(endpoint["NetworkID"]) is None
        ):
            yield name, endpoint


def _reconnect(
    details: Mapping[str, Any], container: str, network: str, endpoint: Mapping[str, Any], *, there: bool
) -> Iterator[str]:
    """The commands after which it starts; labelled so that Compose takes the network for its own."""
    project = str((details["Config"].get("Labels") or {}).get(PROJECT_LABEL, ""))
    key = network[len(project) + 1 :] if network.startswith(f"{project}_") else network
    labels = ("--label", f"{PROJECT_LABEL}={project}", "--label", f"{_NETWORK_LABEL}={key}") if project else ()
    aliases = [word for alias in endpoint.get("Aliases") or () for word in ("--alias", alias)]
    if not there:
        yield shlex.join(["docker", "network", "create", *labels, network])
    yield shlex.join(["docker", "network", "disconnect", "--force", network, container])
    yield shlex.join(["docker", "network", "connect", *aliases, network, container])


def _lost_data(details: Mapping[str, Any], api: DockerApi) -> Iterator[str]:
    for each in details.get("Mounts") or ():
        name, source = str(each.get("Name") or ""), str(each.get("Source") or "")
        if name and api.volume(name) is None:
            yield f"the volume {name}"
        elif each.get("Type") == "bind" and _is_gone(source):
            yield f"the folder {source}"


def _is_gone(path: str) -> bool:
    """Whether nothing is there, as far as this user may see."""
    try:
        os.stat(path)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False
