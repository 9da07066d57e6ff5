"""Which host runs which service, and what cannot be together on one or apart on two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.contract.problems import Problem
from slipway.contract.published_ports import published_ports
from slipway.settings.spelling import suggestion

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from slipway.settings.model import Settings
    from slipway.x_slipway.findings import Findings
    from slipway.x_slipway.service import ServiceExtension

__all__ = ["check_placement", "services_of"]

_EDGE = ""  # no service is called so
_EVERY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104  # compared with, not bound to


def services_of(host: str, placed: Mapping[str, Sequence[str]]) -> list[str]:
    """The services that `host` runs, sorted; `placed` has the hosts of every service, none for all."""
    return sorted(name for name, hosts in placed.items() if not hosts or host in hosts)


def check_placement(
    services: Mapping[str, Mapping[str, Any]],
    extensions: Mapping[str, ServiceExtension],
    settings: Settings,
    found: Findings,
) -> None:
    """Look at every host's services together; each finding is reported once, for the first host that has it.

    Not at ports while a variable has no value: something else stands in for it.
    """
    unknown = any(problem.code == "variable-missing" for problem in found.problems)
    hosts = [host.name for host in settings.hosts]
    edge = (settings.http_port, *([settings.https_port] if settings.https else []))
    found.add(*_unknown_hosts(extensions, sorted(hosts), settings.stack))
    apart: dict[tuple[str, str], str] = {}
    placed = {name: extension.hosts for name, extension in extensions.items()}
    for host in hosts:
        present = {name: services[name] for name in services_of(host, placed)}
        if not unknown:
            routed = any(extensions[name].route for name in present)
            found.add(*_port_problems(present, edge if routed else ()))
        for name, service in present.items():
            for other in service.get("depends_on") or {}:
                if other in services and other not in present:
                    apart.setdefault((name, other), host)
        if not present:
            found.warn(
                f"host {host} runs no service",
                "nothing is deployed to it",
                "name it in the x-slipway.hosts of a service, or remove it from the stack file",
            )
    for (name, other), host in apart.items():
        found.warn(
            f"services.{name} depends on {other}, which host {host} does not run",
            f"there it starts without waiting, and the name {other} leads nowhere",
            f"run both on the same hosts (x-slipway.hosts), or give {name} the address of a host with {other}",
        )


def _unknown_hosts(extensions: Mapping[str, ServiceExtension], hosts: Sequence[str], stack: str) -> Iterator[Problem]:
    for name, extension in extensions.items():
        for host in extension.hosts:
            if host not in hosts:
                yield Problem(
                    f"services.{name}.x-slipway.hosts: '{host}' is not a host of stack {stack}",
                    suggestion(host, hosts, "the service would not run there"),
                    f"name one of: {', '.join(hosts)}",
                )


def _port_problems(services: Mapping[str, Mapping[str, Any]], edge: Sequence[int]) -> Iterator[Problem]:
    """Published ports that two containers of one host would both want, or one and the edge."""
    taken: dict[tuple[int, str], list[tuple[str, str]]] = {(port, "tcp"): [(_EDGE, "")] for port in edge}
    for name, service in services.items():
        replicas = (service.get("deploy") or {}).get("replicas") or service.get("scale") or 1
        for port in published_ports(service):
            if port.width > 1:  # each container takes one of them
                continue
            if int(replicas) > 1:
                yield Problem(
                    f"services.{name}: {replicas} replicas publish port {port}",
                    "only one container on a host can have it",
                    "publish a range (PORT-PORT:CONTAINER-PORT), or run one replica",
                )
            others = taken.setdefault((port.first, port.protocol), [])
            for other, bound in others:
                if port.address == bound or not {port.address, bound}.isdisjoint(_EVERY_ADDRESS):
                    yield _taken_twice(name, other, f"{port}/{port.protocol}")
                    break
            others.append((name, port.address))


def _taken_twice(name: str, other: str, port: str) -> Problem:
    if other == _EDGE:
        return Problem(
            f"services.{name} publishes port {port}, which the edge needs for the routes of this stack",
            "only one of them can listen on it; a proxy whose place the edge takes has nothing left to do",
            f"remove that port, or {name}, from the Compose file",
        )
    if name == other:
        return Problem(
            f"services.{name}.ports publishes port {port} twice",
            "the container could not start, as it can have it once",
            "remove one of the two entries, or publish another port",
        )
    return Problem(
        f"services.{name} and services.{other} both publish port {port}",
        "only one container on a host can have it",
        "publish another port for one of them, or run them on different hosts (x-slipway.hosts)",
    )
