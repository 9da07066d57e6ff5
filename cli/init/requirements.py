"""What a Compose file asks of a stack: values, secrets, a registry, a domain; and what of it cannot be deployed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from components.application import read_application
from components.compose import resolve
from components.errors import SlipwayError
from components.secrecy import named_like_a_secret

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.errors import Problem
    from components.settings import Settings

__all__ = ["Requirements", "open_requirements", "read_requirements"]

# What a deployment says of a value that nothing gives; a unit test holds both against a real Compose file.
_VARIABLE = re.compile(r"variable (?P<name>\S+) of the Compose file has no value(?: \((?P<message>.*)\))?", re.DOTALL)
_SECRET = re.compile(r"secret (?P<name>\S+) is missing \(")
_LATER = re.compile("registry: not set")  # the questions are about it


@dataclass(frozen=True, kw_only=True)
class Requirements:
    """What a Compose file asks for."""

    file: str
    """Its name."""
    name: str
    """Of the application."""
    services: tuple[str, ...]
    built: tuple[str, ...]
    """Services with a `build:`, which need a registry."""
    routed: tuple[str, ...]
    """Services with a route."""
    published: Mapping[str, tuple[int, ...]]
    """Service without a route → its ports in the container that the host publishes: one could be a route."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Variable without a value → what the file says about it; secrets and the domain are not among them."""
    secrets: tuple[str, ...] = ()
    """Secrets without a value."""
    domain: bool = False
    """Whether ${DOMAIN} has no value."""
    problems: tuple[Problem, ...] = ()
    """What must be changed in the file, or in what it names."""


def read_requirements(settings: Settings) -> Requirements:
    """What the Compose file asks for before anything is set; raises SlipwayError when Compose cannot read it."""
    resolved = resolve(settings)
    services: dict[str, Any] = resolved.model.get("services") or {}
    routed = tuple(sorted(name for name, each in services.items() if (each.get("x-slipway") or {}).get("route")))
    unrouted = {name: _ports(each) for name, each in sorted(services.items()) if name not in routed}
    first = Requirements(
        file=resolved.file.name,
        name=resolved.name,
        services=tuple(sorted(services)),
        built=tuple(sorted(name for name, service in services.items() if service.get("build"))),
        routed=routed,
        published={name: ports for name, ports in unrouted.items() if ports},
    )
    return _with_problems(first, resolved.problems)


def open_requirements(settings: Settings, first: Requirements) -> Requirements:
    """What the Compose file asks for beyond what `settings` give; `first` is what it asks for before."""
    problems: tuple[Problem, ...] = ()
    try:
        read_application(settings)
    except SlipwayError as error:
        problems = error.problems
    return _with_problems(first, problems)


def _with_problems(first: Requirements, found: Sequence[Problem]) -> Requirements:
    missing = {each["name"]: each["message"] or "" for problem in found if (each := _VARIABLE.match(problem.what))}
    secrets = {each["name"] for problem in found if (each := _SECRET.match(problem.what))}
    secrets |= {name for name in missing if named_like_a_secret(name)}
    asked = (_VARIABLE, _SECRET, _LATER)
    return replace(
        first,
        variables={name: said for name, said in sorted(missing.items()) if name not in secrets and name != "DOMAIN"},
        secrets=tuple(sorted(secrets)),
        domain="DOMAIN" in missing,
        problems=tuple(problem for problem in found if not any(each.match(problem.what) for each in asked)),
    )


def _ports(service: Mapping[str, Any]) -> tuple[int, ...]:
    """The container's ports that are published over TCP."""
    entries = [entry for entry in service.get("ports") or () if isinstance(entry, dict)]
    found = {entry.get("target") for entry in entries if entry.get("protocol", "tcp") == "tcp"}
    return tuple(sorted(port for port in found if isinstance(port, int)))
