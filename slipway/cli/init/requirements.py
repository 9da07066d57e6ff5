"""What a Compose file asks of a stack: values, secrets, a registry, a domain; and what of it cannot be deployed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.compose.application import read_application
from slipway.compose.config.compose_files import COMPOSE_FILE_MISSING, names_of
from slipway.compose.config.compose_model import resolve
from slipway.compose.config.env_files import MISSING_ENV_FILE
from slipway.compose.config.stand_ins import dotenv_values
from slipway.contract.problems import Problem, SlipwayError
from slipway.settings.secrets.rules import probably_secret

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from slipway.settings.model import Settings

__all__ = ["Requirements", "SmokeRequest", "before_stacks", "open_requirements", "read_requirements"]

_HTTP_PORTS = (80, 3000, 4000, 5000, 5173, 8000, 8080)  # what web servers and frameworks listen on by default
_ASKED = ("variable-missing", "secret-missing", "setting-missing", "values-missing")  # the questions are about these


class WebPort(NamedTuple):
    """A published port on which a service seems to speak HTTP."""

    port: int  # of the container
    published: str
    """of the host, as the file has it; empty where Docker chooses it"""
    private: bool
    """whether only the host itself reaches it"""


class SmokeRequest(NamedTuple):
    """A smoke check by HTTP that any answer below 400 passes."""

    service: str
    port: int
    path: str


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """What a Compose file asks for: variables, secrets and ${DOMAIN} as far as they have no value."""

    file: str
    name: str  # of the application
    unused: tuple[str, ...] = ()  # files beside it that could be merged over it
    services: tuple[str, ...]
    built: tuple[str, ...]
    contexts: tuple[str, ...] = ()
    """Folders, or addresses, that they are built from."""
    smoke: tuple[SmokeRequest, ...] = ()
    routed: tuple[str, ...]
    web: Mapping[str, WebPort] = field(default_factory=dict)
    """Service that publishes a port and seems to speak HTTP there → that port."""
    rooted: bool = False  # whether a route leads from /
    taken: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Service → the ports that it takes on its host, which one stack alone can have there."""
    variables: Mapping[str, str] = field(default_factory=dict)  # → what the file says about it; no secrets, no domain
    secrets: tuple[str, ...] = ()
    domain: bool = False
    problems: tuple[Problem, ...] = ()  # what must be changed in the file, or in what it names


def read_requirements(settings: Settings) -> Requirements:
    """What the Compose file asks for before anything is set; raises SlipwayError when Compose cannot read it."""
    resolved = resolve(settings)
    services: dict[str, Any] = resolved.model.get("services") or {}
    routed = tuple(sorted(name for name, each in services.items() if (each.get("x-slipway") or {}).get("route")))
    unrouted = {name: _ports(each, "target") for name, each in sorted(services.items()) if name not in routed}
    first = Requirements(
        file=names_of(resolved.files),
        name=resolved.name,
        unused=tuple(resolved.unused),
        services=tuple(sorted(services)),
        built=tuple(sorted(name for name, service in services.items() if service.get("build"))),
        contexts=tuple(sorted({str(each["build"]["context"]) for each in services.values() if each.get("build")})),
        smoke=tuple(found for name, each in sorted(services.items()) for found in _smoke(name, each)),
        routed=routed,
        rooted=any("/" in _routes(service) for service in services.values()),
        taken={name: ports for name, each in sorted(services.items()) if (ports := _ports(each, "published"))},
        web={name: port for name, ports in unrouted.items() if (port := _web_port(services[name], ports))},
    )
    return _with_problems(first, resolved.problems)


def before_stacks(problems: Sequence[Problem], application: Path, command: Callable[..., str]) -> list[Problem]:
    """The problems with fixes that need no stack, as there is none yet; `command` gives the same command again.

    A variable that the `.env` gave a value is not why the file could not be read.
    """
    asked = [each for each in problems if each.code == "variable-missing"]
    given = dotenv_values(application, "{}") if asked else {}
    wrong = [each for each in problems if each not in asked or not given.get(each.subject)]
    return [_before_stacks(each, application, command) for each in wrong or problems]


def _before_stacks(problem: Problem, application: Path, command: Callable[..., str]) -> Problem:
    again = command(application)
    if problem.code == COMPOSE_FILE_MISSING and problem.evidence:
        meaning = f"{problem.meaning}; name the one, or all that are merged, in their order"
        return problem._replace(meaning=meaning, fix=command(application, compose_file=problem.evidence))
    if problem.code == COMPOSE_FILE_MISSING:
        return problem._replace(fix="slipway init PATH-TO-THE-FOLDER-WITH-THE-COMPOSE-FILE")
    if problem.code == "variable-missing":
        where = os.path.relpath(application / ".env")
        line = f"{problem.subject}=VALUE"
        meaning = f"without it Compose cannot read the file; `slipway init` reads it with what {where} has, and keeps "
        fix = f"write {line} into {where}" if probably_secret(problem.subject) else f"{again} --variable {line}"
        return problem._replace(meaning=f"{meaning}nothing of it", fix=fix)
    if problem.code == MISSING_ENV_FILE:
        return problem._replace(fix=f"correct `env_file`, then run it again: {again}")
    return problem


def open_requirements(settings: Settings, first: Requirements) -> Requirements:
    """What the Compose file asks for beyond what `settings` give; `first` is what it asks for before."""
    problems: tuple[Problem, ...] = ()
    try:
        read_application(settings)
    except SlipwayError as error:
        problems = error.problems
    return _with_problems(first, problems)


def _with_problems(first: Requirements, found: Sequence[Problem]) -> Requirements:
    missing = {each.subject: " ".join(each.evidence) for each in found if each.code == "variable-missing"}
    secrets = {each.subject for each in found if each.code == "secret-missing"}
    secrets |= {name for name in missing if probably_secret(name)}
    return replace(
        first,
        variables={name: said for name, said in sorted(missing.items()) if name not in secrets and name != "DOMAIN"},
        secrets=tuple(sorted(secrets)),
        domain="DOMAIN" in missing,
        problems=tuple(problem for problem in found if problem.code not in _ASKED),
    )


def _web_port(service: Mapping[str, Any], ports: Sequence[int]) -> WebPort | None:
    """The published port on which a service seems to speak HTTP: because its health check asks so, or by its number.

    Not of what publishes HTTPS as well: it is a proxy itself, and its requests go on to others.
    """
    if any(str(each.get("published")) == "443" for each in service.get("ports") or ()):
        return None
    test = (service.get("healthcheck") or {}).get("test") or ""
    asked = re.findall(r"https?://[^/\s:'\"]+(?::(\d+))?", " ".join(test) if isinstance(test, list) else str(test))
    likely = (*(int(port or 80) for port in asked), *_HTTP_PORTS)
    port = next((port for port in likely if port in ports), None)
    if port is None:
        return None
    ways = [
        (_is_private(str(each.get("host_ip") or "")), str(each.get("published") or ""))
        for each in service["ports"]
        if str(each.get("target")) == str(port) and each.get("protocol", "tcp") == "tcp"
    ]
    private, published = min(ways)
    return WebPort(port, published, private)


def _smoke(name: str, service: Mapping[str, Any]) -> Iterator[SmokeRequest]:
    block = service.get("x-slipway") or {}
    for check in block["smoke"] if isinstance(block.get("smoke"), list) else ():
        http = check.get("http") if isinstance(check, dict) else None
        port = isinstance(http, dict) and (http.get("port") or block.get("port"))
        if isinstance(http, dict) and isinstance(port, int) and str(http.get("status", 200)).startswith("2"):
            yield SmokeRequest(name, port, str(http.get("path", "/")))


def _is_private(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _routes(service: Mapping[str, Any]) -> list[Any]:
    route = (service.get("x-slipway") or {}).get("route")
    return route if isinstance(route, list) else [route]


def _ports(service: Mapping[str, Any], side: str) -> tuple[int, ...]:
    """The ports that are published over TCP: of the container (`target`), or those fixed on the host (`published`)."""
    entries = [entry for entry in service.get("ports") or () if isinstance(entry, dict)]
    found = {str(entry.get(side)) for entry in entries if entry.get("protocol", "tcp") == "tcp"}
    return tuple(sorted(int(port) for port in found if port.isdigit() and int(port)))
