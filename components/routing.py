"""What the edge sends to a service, and what it does to it on the way.

Owns: the forms of routes, redirects and rate limits, and that no two services want the same. Does not own: the edge
itself (see `edge`, and the agent, which writes its files).
"""

from __future__ import annotations

import ipaddress
import re
from itertools import combinations
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from components.block import Block
from components.quantities import Duration, Kind, plain
from slipway.contract.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from components.extension import ServiceExtension

__all__ = ["HostName", "Network", "RateLimit", "Redirects", "Route", "Routes", "clashes", "listed"]

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"  # RFC 1123, section 2.1
_HOST = re.compile(rf"({_LABEL}\.)*{_LABEL}", re.ASCII)
_LONGEST_HOST = 253  # RFC 1035, section 3.1
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*", re.ASCII)  # RFC 3986, section 3.3; no query


def _host(value: str) -> str:
    lowered = value.lower()
    if "://" in value:
        raise ValueError("is written without http:// or https://")
    if ":" in value:
        raise ValueError("is written without a port (the settings httpPort and httpsPort say which the edge has)")
    if not _HOST.fullmatch(lowered) or len(lowered) > _LONGEST_HOST:
        raise ValueError("is not a host name (letters, digits, dashes and dots)")
    return lowered


def _path(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("does not begin with a slash")
    if not _PATH.fullmatch(value):
        raise ValueError("holds a character that no path has (a query or a pattern cannot be routed)")
    return value.rstrip("/") or "/"


def _target(value: str) -> str:
    scheme, separator, rest = value.partition("://")
    if not separator:
        return _host(value)
    authority, _, path = rest.partition("/")
    host, _, port = authority.partition(":")
    if scheme not in ("http", "https") or (port and not port.isdecimal()):
        raise ValueError("is neither a host name nor an http:// or https:// address")
    return f"{scheme}://{_host(host)}{f':{port}' if port else ''}{_path(f'/{path}') if path else ''}"


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value, strict=False) if "/" in value else ipaddress.ip_address(value))
    except ValueError:
        raise ValueError("is neither an address nor a network such as 192.0.2.0/24") from None


def listed(value: object) -> object:
    """One entry as a list of it; nothing as an empty one."""
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _route(value: object) -> object:
    """`HOST`, `HOST/PATH` or `/PATH` as a mapping; empty is every path of any host."""
    if not isinstance(value, str):
        return value
    if "://" in value:
        raise ValueError("is written without http:// or https://")
    host, slash, path = value.partition("/")
    return {"host": host, "path": f"{slash}{path}" or "/"}


def _some(hosts: list[str]) -> list[str]:
    if not hosts:
        raise ValueError("names no host")
    return hosts


def _limit(value: object) -> object:
    return {"average": value} if isinstance(value, int) else value


HostName = Annotated[str, AfterValidator(_host)]
OptionalHostName = Annotated[str, AfterValidator(lambda value: _host(value) if value else "")]
Network = Annotated[str, AfterValidator(_network)]


class Route(Block):
    """What of the edge's traffic reaches a service."""

    host: OptionalHostName = Field("", description="host name; the setting `domain` when left out, else any")
    path: Annotated[str, AfterValidator(_path)] = Field("/", description="prefix of the path")
    strip: bool = Field(default=False, description="take the prefix off before the request is handed on")

    def at(self, domain: str) -> str:
        """The host name that it answers to in a stack of that domain; empty for any."""
        return self.host or domain.lower()


class Redirect(Block):
    """Host names whose requests are sent elsewhere."""

    from_: Annotated[list[HostName], BeforeValidator(listed), AfterValidator(_some)] = Field(
        alias="from", description="host name, or a list of them"
    )
    to: Annotated[str, AfterValidator(_target)] = Field(description="host name, or address")
    permanent: bool = Field(default=True, description="browsers may remember it")

    def document(self) -> list[dict[str, Any]]:
        """Its part of the service's entry in the release document."""
        return [{"from": host, "to": self.to, "permanent": self.permanent} for host in self.from_]


class RateLimit(Block):
    """Requests that one address may send."""

    average: int = Field(ge=1, le=1_000_000, description="requests in a period, of one client address")
    burst: int | None = Field(None, ge=1, le=1_000_000, description="requests at once; as `average` when left out")
    period: Duration = Field("1s", validate_default=True, description="the period")

    def document(self) -> dict[str, Any]:
        """Its part of the service's entry in the release document."""
        return {"average": self.average, "burst": self.burst or self.average, "period": plain(self.period) or 1}


Routes = Annotated[
    list[Annotated[Route, BeforeValidator(_route)]], BeforeValidator(listed), Kind("text, block, or a list of them")
]
Redirects = Annotated[list[Redirect], BeforeValidator(listed)]
OptionalRateLimit = Annotated[RateLimit | None, BeforeValidator(_limit)]


def clashes(extensions: Mapping[str, ServiceExtension], domain: str) -> Iterator[Problem]:
    """What two services (or one, twice) want of the edge of the same host."""
    wanted = [
        (name, kind, what)
        for name, extension in sorted(extensions.items())
        for kind, what in [
            *(("route", f"{route.at(domain)}{route.path}") for route in extension.route),
            *(("preview", extension.preview) for _ in range(bool(extension.preview))),
            *(("redirect", host) for redirect in extension.redirect for host in redirect.from_),
        ]
    ]
    for (name, kind, what), (other, other_kind, other_what) in combinations(wanted, 2):
        if _apart(extensions[name], extensions[other]):
            continue
        same = what == other_what if kind == other_kind else what.split("/")[0] == other_what.split("/")[0]
        if same and what:
            yield _clash((name, kind, what), (other, other_kind, other_what))
    for name, extension in extensions.items():
        for redirect in extension.redirect:
            if redirect.to.split("://")[-1].split("/")[0] in redirect.from_:
                yield Problem(
                    f"services.{name}.x-slipway.redirect: {redirect.to} is sent to itself",
                    "no browser would ever arrive",
                    "correct `to` in the Compose file",
                )


def _apart(one: ServiceExtension, other: ServiceExtension) -> bool:
    """Whether no host runs both."""
    return bool(one.hosts and other.hosts) and not set(one.hosts) & set(other.hosts)


def _clash(one: tuple[str, str, str], other: tuple[str, str, str]) -> Problem:
    (name, kind, what), (other_name, other_kind, other_what) = one, other
    if kind == other_kind == "route":
        shown = what if not what.startswith("/") else f"{what} of any host"
        who = (
            f"services.{name} names the route {shown} twice"
            if name == other_name
            else f"services.{name} and services.{other_name} have the same route: {shown}"
        )
        return Problem(
            who,
            "the edge could send a request to one of them only",
            f"give services.{other_name}.x-slipway.route another host or path",
        )
    host = (what if kind != "route" else other_what).split("/")[0]
    return Problem(
        f"{host} is the {kind} of services.{name} and the {other_kind} of services.{other_name}",
        "the edge could do one of both only",
        f"name another host in services.{other_name}.x-slipway.{other_kind}",
    )
