"""What old containers need to start again, looked for before an undo takes down the stack that works.

And whether they work afterwards: who goes by containers that are gone is restarted, and visitors' port is asked.
"""

from __future__ import annotations

import os
import shlex
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from slipway.agent import runtime
from slipway.agent.docker.docker_api import PROJECT_LABEL
from slipway.agent.docker.facts import SHORT_ID, comparable, joined_containers
from slipway.agent.docker.stop import grace
from slipway.agent.edge.network import EDGE_LABEL
from slipway.agent.edge.routing import claims
from slipway.agent.move.old_container import runs
from slipway.agent.move.old_project import WITHOUT_NAMES
from slipway.agent.traffic.route_check import why_lost
from slipway.contract.problems import SlipwayError
from slipway.contract.published_ports import addresses_meet, listed_ports

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from slipway.agent.docker.docker_api import DockerApi
    from slipway.agent.move.old_project import OldProject
    from slipway.agent.output import Output
    from slipway.contract.deployment import EdgeRequest, ServiceEntry

__all__ = ["answered", "check_way_back", "rejoin", "unanswered"]

_NETWORK_LABEL = "com.docker.compose.network"
_DEPENDS_LABEL = "com.docker.compose.depends_on"  # SERVICE:CONDITION:RESTART,…
_POLL_SECONDS, _ANSWER_SECONDS, _UP_SECONDS, _ASK_SECONDS = 0.2, 10.0, 50.0, 5.0


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
        for other in _lost_joined(details or {}, api):
            lost.append(f"{each.name} joins the container {other}, which was removed")
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
    for each in joined_containers(details):
        if api.container(each) is None:
            yield each[:SHORT_ID]


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


def rejoin(old: OldProject, api: DockerApi, out: Output, *, lost: bool = False) -> bool:
    """Restart who joined a namespace of one that started later, or may keep its address; whether there was any.

    Only who started since the move began counts. It is said by `restart: true`, and taken of a proxy that does not read
    Docker (it asks whom it depends on, or else anybody); where visitors' requests are `lost`, of whoever depends on
    another.
    """
    noted, begun = {each.id: each for each in old.noted()}, defaultdict[str, str](str)

    def began(details: Mapping[str, Any]) -> None:
        each, at = noted.get(details["Id"][:SHORT_ID]), details["State"]["StartedAt"]
        if each and at != each.started:
            for name in (details["Id"], each.name, f"{each.project}/{each.service}", ""):
                begun[name] = max(begun[name], comparable(at))

    found = False
    running = [each for each in (api.container(each["Id"]) for each in api.containers()) if each and runs(each)]
    for details in running:
        began(details)
    for details in sorted(running, key=lambda each: str(each["Created"])):
        asked = joined_containers(details)
        if each := noted.get(details["Id"][:SHORT_ID]):
            front = any(port in each.ports for port, _ in old.asks.values())
            asked += _kept(details, front=front, lost=lost)
        if max((begun[name] for name in asked), default="") > comparable(details["State"]["StartedAt"]):
            api.stop(details["Id"], grace(details), start=True)
            began(api.container(details["Id"]) or details)
            name, found = str(details["Name"]).lstrip("/"), True
            out.progress("back", f"{name} was restarted: a container that it had joined, or asks, was away")
    return found


def _kept(details: Mapping[str, Any], *, front: bool, lost: bool) -> Iterator[str]:
    """Of whom it may keep an address, as `begun` has them."""
    labels = details["Config"].get("Labels") or {}
    guess = (front or lost) and not any(str(each.get("Source")).endswith("docker.sock") for each in details["Mounts"])
    depends = str(labels.get(_DEPENDS_LABEL) or "")
    for each in depends.split(","):
        if guess or each.endswith(":true"):
            yield f"{labels.get(PROJECT_LABEL)}/{each.partition(':')[0]}"
    if guess and front and (lost or not depends):
        yield ""


def answered(
    old: OldProject, api: DockerApi, request: EdgeRequest, services: Iterable[ServiceEntry]
) -> dict[str, tuple[int, list[list[str]]]]:
    """What the old project answers of what these services will, as `asks` has it; within seconds."""
    held = {port for each in old.containers() if each.running for port in each.ports}
    wanted = sorted(each for each in claims(services) if each[1].startswith("/"))
    at, until, found = _addresses(api), runtime.monotonic() + _ANSWER_SECONDS, {}
    for scheme, port in (("http", request.http_port), ("https", request.https_port)):
        asks = ((host, path) for host, path in wanted if runtime.monotonic() < until)
        if port in held:
            found[scheme] = (port, [[*each] for each in asks if not _why_lost(at, scheme, port, *each)])
    return found


def unanswered(old: OldProject, api: DockerApi, out: Output, *, again: bool) -> list[str]:
    """What was answered before the move and is no more, in words; `again`: who may keep an address is restarted."""
    until = runtime.monotonic() + _ANSWER_SECONDS
    while True:
        at = _addresses(api)
        found = [
            f"port {port} does not answer requests for {scheme}://{host or 'localhost'}{path}: {reason}"
            for scheme, (port, asks) in old.asks.items()
            for host, path in asks
            if (reason := _why_lost(at, scheme, port, host, path))
        ]
        if found and runtime.monotonic() > until:
            if not again or not rejoin(old, api, out, lost=True):
                return found
            again, until = False, runtime.monotonic() + _UP_SECONDS
        if not found:
            return found
        runtime.sleep(_POLL_SECONDS)


def _addresses(api: DockerApi) -> dict[int, str]:
    return {port: address for port, _, address, _ in listed_ports(api.containers()) if ":" not in address}


def _why_lost(at: Mapping[int, str], scheme: str, port: int, host: str, path: str) -> str:
    headers = {"Host": host} if host else {}
    return why_lost((at.get(port, "127.0.0.1"), port), path, headers, seconds=_ASK_SECONDS, tls=scheme == "https")
