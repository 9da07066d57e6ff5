"""What a Compose file asks of a stack: values, secrets, a registry, a domain; and what of it cannot be deployed.

Owns: telling apart what only needs a value and what has to be changed in the file. Does not own: reading the file,
which is that of a deployment (see components/compose.py and components/application.py).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from components.application import read_application
from components.compose import resolve
from components.secrecy import named_like_a_secret
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from components.settings import Settings
    from slipway.contract.problems import Problem

__all__ = ["Needs", "first_needs", "needs_of"]

_ASKED = ("variable-missing", "secret-missing", "setting-missing")  # the questions are about these


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
    variables: Mapping[str, str] = field(default_factory=dict)
    """Variable without a value → what the file says about it; secrets and the domain are not among them."""
    secrets: tuple[str, ...] = ()
    """Secrets without a value."""
    domain: bool = False
    """Whether ${DOMAIN} has no value."""
    problems: tuple[Problem, ...] = ()
    """What must be changed in the file, or in what it names."""


def first_needs(settings: Settings) -> Needs:
    """What the application's Compose file asks for at first sight, for the questions.

    Raises:
        SlipwayError: when there is no Compose file, or Compose cannot read it.
    """
    resolved = resolve(settings)
    services: dict[str, Any] = resolved.model.get("services") or {}
    routed = tuple(sorted(name for name, each in services.items() if (each.get("x-slipway") or {}).get("route")))
    unrouted = {name: _ports(each) for name, each in sorted(services.items()) if name not in routed}
    seen = Needs(
        file=resolved.file.name,
        name=resolved.name,
        services=tuple(sorted(services)),
        built=tuple(sorted(name for name, service in services.items() if service.get("build"))),
        routed=routed,
        published={name: ports for name, ports in unrouted.items() if ports},
    )
    return _with_problems(seen, resolved.problems)


def needs_of(settings: Settings, seen: Needs) -> Needs:
    """What the Compose file asks for beyond what `settings` give, and what must be changed in it.

    Args:
        settings: with everything that a stack is told.
        seen: what it asks for at first sight.

    Raises:
        SlipwayError: when Compose cannot read it with these values.
    """
    try:
        read_application(settings)
    except SlipwayError as error:
        return _with_problems(seen, error.problems)
    return _with_problems(seen, ())


def _with_problems(seen: Needs, problems: Iterable[Problem]) -> Needs:
    found = list(problems)
    missing = {each.subject: " ".join(each.evidence) for each in found if each.code == "variable-missing"}
    secrets = {each.subject for each in found if each.code == "secret-missing"}
    secrets |= {name for name in missing if named_like_a_secret(name)}
    return replace(
        seen,
        variables={name: said for name, said in sorted(missing.items()) if name not in secrets and name != "DOMAIN"},
        secrets=tuple(sorted(secrets)),
        domain="DOMAIN" in missing,
        problems=tuple(problem for problem in found if problem.code not in _ASKED),
    )


def _ports(service: Mapping[str, Any]) -> tuple[int, ...]:
    """The container's ports that are published over TCP."""
    entries = [entry for entry in service.get("ports") or () if isinstance(entry, dict)]
    found = {entry.get("target") for entry in entries if entry.get("protocol", "tcp") == "tcp"}
    return tuple(sorted(port for port in found if isinstance(port, int)))
