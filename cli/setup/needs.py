"""What a Compose file asks of a stack: values, secrets, a registry, a domain; and what of it cannot be deployed.

Owns: telling apart what only needs a value and what has to be changed in the file. Does not own: reading the file,
which is that of a deployment (see components/compose.py and components/application.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from components.application import read_application
from components.compose import resolve
from components.errors import SlipwayError
from components.secrecy import named_like_a_secret

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.errors import Problem
    from components.settings import Settings

__all__ = ["Needs", "read_needs"]

# What a deployment says of a value that nothing gives; a unit test holds both against a real Compose file.
_VARIABLE = re.compile(r"variable (?P<name>\S+) of the Compose file has no value(?: \((?P<message>.*)\))?", re.DOTALL)
_SECRET = re.compile(r"secret (?P<name>\S+) is missing \(")
_LATER = ("registry: not set",)  # of what the questions are about


@dataclass(frozen=True, kw_only=True)
class Needs:
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
    variables: Mapping[str, str]
    """Variable without a value → what the file says about it; secrets and the domain are not among them."""
    secrets: tuple[str, ...]
    domain: bool
    """Whether ${DOMAIN} has no value."""
    problems: tuple[Problem, ...]
    """What must be changed in the file, or in what it names."""
    warnings: tuple[Problem, ...]


def read_needs(settings: Settings) -> Needs:
    """What the application's Compose file asks for beyond what `settings` give already.

    Raises:
        SlipwayError: when there is no Compose file, or Compose cannot read it.
    """
    resolved = resolve(settings)
    services: dict[str, Any] = resolved.model.get("services") or {}
    routed = sorted(name for name, service in services.items() if (service.get("x-slipway") or {}).get("route"))
    problems, warnings = _said(settings)
    missing = {found["name"]: found["message"] or "" for each in problems if (found := _VARIABLE.match(each.what))}
    secrets = {found["name"] for each in problems if (found := _SECRET.match(each.what))}
    secrets |= {name for name in missing if named_like_a_secret(name)}
    return Needs(
        file=resolved.file.name,
        name=resolved.name,
        services=tuple(sorted(services)),
        built=tuple(sorted(name for name, service in services.items() if service.get("build"))),
        routed=tuple(routed),
        published={
            name: ports for name, each in sorted(services.items()) if name not in routed and (ports := _ports(each))
        },
        variables={name: said for name, said in sorted(missing.items()) if name not in secrets and name != "DOMAIN"},
        secrets=tuple(sorted(secrets)),
        domain="DOMAIN" in missing,
        problems=tuple(
            each
            for each in problems
            if not _VARIABLE.match(each.what) and not _SECRET.match(each.what) and not each.what.startswith(_LATER)
        ),
        warnings=warnings,
    )


def _said(settings: Settings) -> tuple[list[Problem], tuple[Problem, ...]]:
    try:
        return [], read_application(settings).warnings
    except SlipwayError as error:
        return list(error.problems), ()


def _ports(service: Mapping[str, Any]) -> tuple[int, ...]:
    """The container's ports that are published over TCP."""
    entries = [entry for entry in service.get("ports") or () if isinstance(entry, dict)]
    found = {entry.get("target") for entry in entries if entry.get("protocol", "tcp") == "tcp"}
    return tuple(sorted(port for port in found if isinstance(port, int)))
