"""Routes, redirects and rate limits of `x-slipway`: what the edge sends to a service."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from slipway.settings.quantities import Duration, Kind, plain
from slipway.settings.values import Network
from slipway.x_slipway.block_errors import Block

__all__ = ["HOST_NAME", "HostName", "Network", "RateLimit", "Redirects", "Route", "Routes", "listed"]

_LABEL = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"  # RFC 1123, section 2.1
HOST_NAME = re.compile(rf"({_LABEL}\.)*{_LABEL}", re.ASCII)
_LONGEST_HOST = 253  # RFC 1035, section 3.1
_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/-]*", re.ASCII)  # RFC 3986, section 3.3; no query


def _host(value: str) -> str:
    lowered = value.lower()
    if "://" in value:
        raise ValueError("is written without http:// or https://")
    if ":" in value:
        raise ValueError("is written without a port (the settings httpPort and httpsPort say which the edge has)")
    if not HOST_NAME.fullmatch(lowered) or len(lowered) > _LONGEST_HOST:
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


class Route(Block):
    """What of the edge's traffic reaches a service."""

    host: OptionalHostName = Field("", description="host name; the setting `domain` when left out, else any")
    path: Annotated[str, AfterValidator(_path)] = Field("/", description="prefix of the path")
    strip: bool = Field(default=False, description="remove the prefix before the request is passed on")

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
