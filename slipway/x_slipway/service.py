"""`x-slipway` of a service: its keys, defaults and validation, and its entry in the release document."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from slipway.contract.problems import Problem
from slipway.contract.strategies import BLUE_GREEN, CANARY, RECREATE, ROLLING, STRATEGIES
from slipway.settings.quantities import Duration, OptionalDuration, OptionalSize, plain
from slipway.settings.spelling import nearest
from slipway.settings.values import SecretName  # noqa: TC001  # pydantic reads it at run time
from slipway.x_slipway.block_errors import Block, problems_of
from slipway.x_slipway.routing import (
    Network,
    OptionalHostName,
    OptionalRateLimit,
    RateLimit,
    Redirect,
    Redirects,
    Route,
    Routes,
    listed,
)
from slipway.x_slipway.update_config import ALL_AT_ONCE, Canary, UpdateConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["ServiceExtension", "misspelt_extension", "read_extension"]

# Seconds that the old generation runs on after the shift, for an instant way back; the larger one while it is watched.
_KEEP = {RECREATE: (0, 0), ROLLING: (0, 300), BLUE_GREEN: (600, 600), CANARY: (0, 300)}
# What has a meaning only for what comes through the edge; so has the strategy canary.
_AT_THE_EDGE = (
    "sticky", "preview", "redirect", "basic_auth", "ip_allow_list", "rate_limit", "max_body", "security_headers",
)  # fmt: skip


def _words(value: object) -> object:
    return shlex.split(value) if isinstance(value, str) else value


def _not_empty(command: list[str]) -> list[str]:
    if not command:
        raise ValueError("names no command")
    return command


def _path(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("does not begin with a slash")
    if re.search(r"[\s<>\x00-\x1f\x7f-\x9f]", value):
        raise ValueError("has a blank, < or >, which stand in an address as %20, %3C and %3E")
    return value


def _command_alone(value: object) -> object:
    """`migrate: COMMAND` means `migrate: {command: COMMAND}`."""
    return {"command": value} if isinstance(value, (str, list)) else value


def _run_alone(value: object) -> object:
    """`command: COMMAND` means `command: {run: COMMAND}`."""
    return {"run": value} if isinstance(value, (str, list)) else value


class Migrate(Block):
    """A one-off container of the new image, run once per release before anything live is replaced."""

    command: Annotated[list[str], BeforeValidator(_words), AfterValidator(_not_empty)] = Field(
        description="command, as a list or a line"
    )
    deadline: int = Field(300, ge=1, le=86400, description="seconds")
    irreversible: bool = Field(
        default=False, description="earlier releases cannot run with the data afterwards: no rollback past this one"
    )


class HttpCheck(Block):
    """An HTTP request that must be answered as stated."""

    path: Annotated[str, AfterValidator(_path)] = Field("/", description="path and query")
    port: int | None = Field(None, ge=1, le=65535, description="container port; the service's `port` when left out")
    host: str = Field("", description="Host header")
    status: int = Field(200, ge=100, le=599, description="expected status")
    json_fields: dict[str, Any] = Field(
        default_factory=dict, alias="json", description="expected values by dotted field of the JSON body"
    )
    contains: str = Field("", description="text that the body must contain")
    deadline: int = Field(30, ge=1, le=3600, description="seconds within which it must pass once")


class TcpCheck(Block):
    """A TCP connection that must be accepted."""

    port: int | None = Field(None, ge=1, le=65535, description="container port; the service's `port` when left out")
    deadline: int = Field(30, ge=1, le=3600, description="seconds within which it must pass once")


class CommandCheck(Block):
    """A command that must end with exit code 0, run inside of every container of the service."""

    run: Annotated[list[str], BeforeValidator(_words), AfterValidator(_not_empty)] = Field(
        description="command, as a list or a line"
    )
    deadline: int = Field(30, ge=1, le=3600, description="seconds within which it must pass once")


class SmokeCheck(Block):
    """One smoke check: exactly one of `http`, `tcp` and `command`."""

    http: HttpCheck | None = None
    tcp: TcpCheck | None = None
    command: Annotated[CommandCheck | None, BeforeValidator(_run_alone)] = None

    @model_validator(mode="after")
    def _exactly_one(self) -> SmokeCheck:
        if [self.http, self.tcp, self.command].count(None) != 2:  # noqa: PLR2004 - all but one
            raise ValueError("a smoke check is one of http, tcp and command")
        return self


def _checks(value: object) -> object:
    """`off` as None, whether Compose reads it as a word or as a truth value."""
    if value is None:
        raise ValueError("is not a list of checks, nor `off`")
    return None if value == "off" or value is False else value


class ServiceExtension(Block):
    """`x-slipway` of one service."""

    route: Routes = Field(
        default_factory=list, description="what the edge sends here: HOST, HOST/PATH or /PATH, or a list of them"
    )
    port: int | None = Field(None, ge=1, le=65535, description="the container's port that routes and smoke checks use")
    scheme: Literal["http", "h2c"] = Field(
        "http", description="protocol that the edge speaks to that port: http, or h2c (HTTP/2 without TLS, as for gRPC)"
    )
    strategy: str = Field(
        "",
        description=f"how it is updated: {', '.join(STRATEGIES)}; when left out, rolling for a service "
        "with a route that can run twice, else recreate",
    )
    drain: Duration = Field("30s", validate_default=True, description="how long requests in flight get to finish")
    keep: OptionalDuration = Field(
        None,
        description="how long the old generation keeps running, for an instant rollback; when left out, 10m for "
        "blue-green, 5m for others while they are watched, else 0",
    )
    sticky: bool = Field(default=False, description="a visitor stays with the generation that answered first")
    preview: OptionalHostName = Field("", description="host name that reaches the new generation before all others do")
    redirect: Redirects = Field(default_factory=list, description="host names whose requests are redirected elsewhere")
    basic_auth: SecretName = Field("", description="name of the secret with lines of htpasswd")
    ip_allow_list: Annotated[list[Network], BeforeValidator(listed)] = Field(
        default_factory=list, description="addresses or networks that are let in; everyone when empty"
    )
    rate_limit: OptionalRateLimit = Field(None, description="requests that one address may send")
    max_body: OptionalSize = Field(None, description="largest body of a request, such as 10MB")
    security_headers: bool = Field(
        default=False, description="HSTS (over TLS), no sniffing, no framing, a strict referrer policy"
    )
    canary: Canary | None = Field(None, description="steps of traffic and their limits")
    migrate: Annotated[Migrate | None, BeforeValidator(_command_alone)] = Field(
        None, description="command that migrates the database to this release"
    )
    smoke: Annotated[list[SmokeCheck] | None, BeforeValidator(_checks)] = Field(
        default_factory=list,
        description="checks that must pass before the release counts as deployed; `off`: none, and its routes are not "
        "tried either",
    )
    hosts: list[str] = Field(default_factory=list, description="hosts that run this service; all when empty")

    @property
    def beside(self) -> bool:
        """Whether it is routed and states a strategy by which two generations run, and may share data."""
        return bool(self.route) and self.strategy not in ("", RECREATE)

    def document(
        self, *, strategy: str = "", update: UpdateConfig | None = None, domain: str = "", watched: bool = False
    ) -> dict[str, Any]:
        """This service's entry in the release document, defaults filled in.

        `strategy` and `update` are what it gets (its own, or recreate, and no update_config where they are left out);
        `watched`: whether its releases are watched after they go live.
        """
        strategy = strategy or self.strategy or RECREATE
        update = update or ALL_AT_ONCE
        canary = (self.canary or Canary.model_validate({})) if strategy == CANARY else None
        return {
            "strategy": strategy,
            "port": self.port,
            **({} if self.scheme == "http" else {"scheme": self.scheme}),  # so that earlier releases keep their id
            "routes": [{"host": route.at(domain), "path": route.path, "strip": route.strip} for route in self.route],
            "middlewares": {
                "redirects": [each for redirect in self.redirect for each in redirect.document()],
                "basic_auth": self.basic_auth or None,
                "ip_allow_list": self.ip_allow_list,
                "rate_limit": self.rate_limit.document() if self.rate_limit else None,
                "max_body": self.max_body,
                "security_headers": self.security_headers,
            },
            "sticky": self.sticky,
            "preview": self.preview,
            "drain": plain(self.drain),
            "keep": plain(_KEEP[strategy][watched] if self.keep is None else self.keep),
            "update": update.document(strategy),
            "canary": canary.document() if canary else None,
            "migrate": self.migrate.model_dump() if self.migrate else None,
            "smoke": None if self.smoke is None else [self._check(check) for check in self.smoke],
            "hosts": self.hosts,
        }

    def _check(self, check: SmokeCheck) -> dict[str, Any]:
        if check.tcp:
            return {"kind": "tcp", "port": check.tcp.port or self.port, "deadline": check.tcp.deadline}
        if check.command:
            return {"kind": "command", "command": check.command.run, "deadline": check.command.deadline}
        http = check.http
        assert http is not None  # noqa: S101  # the model allows exactly one of the three
        entry: dict[str, Any] = {
            "kind": "http",
            "port": http.port or self.port,
            "deadline": http.deadline,
            "path": http.path,
            "status": http.status,
        }
        optional = {"host": http.host, "json": http.json_fields, "contains": http.contains}
        return entry | {key: value for key, value in optional.items() if value}


_KNOWN: Final[dict[str, type[BaseModel]]] = {
    "": ServiceExtension,
    "route": Route,
    "redirect": Redirect,
    "rateLimit": RateLimit,
    "canary": Canary,
    "migrate": Migrate,
    "http": HttpCheck,
    "tcp": TcpCheck,
    "command": CommandCheck,
    "smoke": SmokeCheck,
}


def read_extension(service: str, block: object) -> tuple[ServiceExtension, list[Problem]]:
    """Validate the `x-slipway` block of `service`; on problems the defaults are returned beside them."""
    where = f"services.{service}.x-slipway"
    try:
        extension = ServiceExtension.model_validate(block if block is not None else {})
    except ValidationError as error:
        return ServiceExtension.model_validate({}), problems_of(where, block, error, _KNOWN)
    return extension, list(_contradictions(where, extension))


def _contradictions(where: str, extension: ServiceExtension) -> Iterator[Problem]:
    """What the keys of one block say against each other."""
    if extension.strategy and extension.strategy not in STRATEGIES:
        close = nearest(extension.strategy, STRATEGIES)
        yield Problem(
            f"{where}.strategy: unknown strategy '{extension.strategy}'",
            f"did you mean '{close}'?" if close else f"the strategies are: {', '.join(STRATEGIES)}",
            f"set `strategy: {close or STRATEGIES[0]}` in the Compose file",
        )
    if extension.port is None and any(
        (check.http and check.http.port is None) or (check.tcp and check.tcp.port is None)
        for check in extension.smoke or ()
    ):
        yield Problem(
            f"{where}.smoke: a check names no port, and the service has none",
            "the check would not know what to connect to",
            f"set `port: CONTAINER-PORT` in {where}",
        )
    if extension.route and extension.port is None:
        yield Problem(
            f"{where}.route: the service has a route and no port",
            "the edge would not know what to connect to",
            f"set `port: CONTAINER-PORT` in {where}",
        )
    if not extension.route:
        meant = [to_camel(name) for name in _AT_THE_EDGE if getattr(extension, name)]
        meant += ["scheme"] if extension.scheme != "http" else []
        for key in ["strategy: canary", *meant] if extension.strategy == CANARY else meant:
            yield Problem(
                f"{where}.{key}: the service has no route",
                "nothing reaches it through the edge, so this would do nothing",
                f"set `route: HOST` and `port: CONTAINER-PORT` in {where}, or remove it",
            )
    if extension.canary and not extension.strategy:
        yield Problem(
            f"{where}.canary: the strategy is not canary",
            "its steps would not be used",
            f"set `strategy: canary` in {where}, or remove `canary`",
        )


def misspelt_extension(place: str, key: str) -> Problem | None:
    """The problem of an `x-` key that looks like `x-slipway` but is not read; `place` ends in a dot or is empty."""
    if key == "x-slipway" and not place:
        what, fix = "x-slipway stands at the top of the Compose file", "move it into the services that it is about"
    elif key.startswith("x-") and key != "x-slipway" and nearest(key, ["x-slipway"], 0.8):
        what, fix = f"{place}{key}: unknown key", f"rename it to {place}x-slipway"
    else:
        return None
    return Problem(what, "nothing would read it", fix)
