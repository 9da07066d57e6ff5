"""`x-slipway` of a service: the few things that Compose has no word for.

Owns: its keys, defaults and validation. Does not own: what they make happen (the agent's part).
Produces: the `service` entries of the release document (agent/contract/deployment.schema.json).
"""

from __future__ import annotations

import shlex
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from components.errors import Problem, nearest

__all__ = ["STRATEGIES", "ServiceExtension", "misspelt_extension", "read_extension"]

STRATEGIES = ("recreate",)
"""How a service goes from one release to the next. The agent has a planner of the same name for each."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


def _words(value: object) -> object:
    return shlex.split(value) if isinstance(value, str) else value


def _not_empty(command: list[str]) -> list[str]:
    if not command:
        raise ValueError("names no command")
    return command


def _path(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("does not begin with a slash")
    return value


def _command_alone(value: object) -> object:
    """`migrate: COMMAND` means `migrate: {command: COMMAND}`."""
    return {"command": value} if isinstance(value, (str, list)) else value


class Migrate(_Strict):
    """A one-off container of the new image, run once per release before anything live is replaced."""

    command: Annotated[list[str], BeforeValidator(_words), AfterValidator(_not_empty)] = Field(
        description="command, as a list or a line"
    )
    deadline: int = Field(300, ge=1, le=86400, description="seconds")


class HttpCheck(_Strict):
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


class TcpCheck(_Strict):
    """A TCP connection that must be accepted."""

    port: int | None = Field(None, ge=1, le=65535, description="container port; the service's `port` when left out")
    deadline: int = Field(30, ge=1, le=3600, description="seconds within which it must pass once")


class SmokeCheck(_Strict):
    """One smoke check: exactly one of `http` and `tcp`."""

    http: HttpCheck | None = None
    tcp: TcpCheck | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> SmokeCheck:
        if (self.http is None) == (self.tcp is None):
            raise ValueError("a smoke check is either http or tcp")
        return self


class ServiceExtension(_Strict):
    """`x-slipway` of one service."""

    strategy: str = Field("recreate", description=f"how it goes to the next release: {', '.join(STRATEGIES)}")
    port: int | None = Field(None, ge=1, le=65535, description="the container's port that smoke checks use")
    migrate: Annotated[Migrate | None, BeforeValidator(_command_alone)] = Field(
        None, description="command that brings the database to this release"
    )
    smoke: list[SmokeCheck] = Field(
        default_factory=list, description="checks that must pass before the release counts as deployed"
    )
    hosts: list[str] = Field(default_factory=list, description="hosts that run this service; all when empty")

    def document(self) -> dict[str, Any]:
        """This service's entry in the release document, defaults filled in."""
        return {
            "strategy": self.strategy,
            "port": self.port,
            "migrate": self.migrate.model_dump() if self.migrate else None,
            "smoke": [self._check(check) for check in self.smoke],
        }

    def _check(self, check: SmokeCheck) -> dict[str, Any]:
        if check.tcp:
            return {"kind": "tcp", "port": check.tcp.port or self.port, "deadline": check.tcp.deadline}
        http = check.http
        assert http is not None  # noqa: S101  # the model allows exactly one of the two
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
    "x-slipway": ServiceExtension,
    "migrate": Migrate,
    "http": HttpCheck,
    "tcp": TcpCheck,
    "smoke": SmokeCheck,
}


def _known_keys(path: tuple[str, ...]) -> list[str]:
    """The keys that the block at `path` takes; the last named part of the path says which block it is."""
    owner = next((part for part in reversed(path) if part in _KNOWN), "x-slipway")
    return [field.alias or name for name, field in _KNOWN[owner].model_fields.items()]


def read_extension(service: str, block: object) -> tuple[ServiceExtension, list[Problem]]:
    """Validate the `x-slipway` block of `service`; on problems the defaults are returned beside them."""
    where = f"services.{service}.x-slipway"
    try:
        extension = ServiceExtension.model_validate(block if block is not None else {})
    except ValidationError as error:
        return ServiceExtension.model_validate({}), [
            _problem(where, found) for found in error.errors(include_url=False, include_input=False)
        ]
    problems = []
    if extension.strategy not in STRATEGIES:
        close = nearest(extension.strategy, STRATEGIES)
        problems.append(
            Problem(
                f"{where}.strategy: unknown strategy '{extension.strategy}'",
                f"did you mean '{close}'?" if close else f"the strategies are: {', '.join(STRATEGIES)}",
                f"set `strategy: {close or STRATEGIES[0]}` in the Compose file",
            )
        )
    if extension.port is None and any(
        (check.http and check.http.port is None) or (check.tcp and check.tcp.port is None) for check in extension.smoke
    ):
        problems.append(
            Problem(
                f"{where}.smoke: a check names no port, and the service has none",
                "the check would not know what to connect to",
                f"set `port: CONTAINER-PORT` in {where}",
            )
        )
    return extension, problems


def misspelt_extension(place: str, key: str) -> Problem | None:
    """The problem of an `x-` key that looks like `x-slipway` but is not read; `place` ends in a dot or is empty."""
    if key == "x-slipway" and not place:
        what, mend = "x-slipway stands at the top of the Compose file", "move it into the services that it is about"
    elif key.startswith("x-") and key != "x-slipway" and nearest(key, ["x-slipway"], 0.8):
        what, mend = f"{place}{key}: unknown key", f"rename it to {place}x-slipway"
    else:
        return None
    return Problem(what, "nothing would read it", mend)


_SAID = {"missing": "is missing", "list_type": "is not a list"}


def _problem(where: str, error: Any) -> Problem:  # noqa: ANN401  # pydantic's ErrorDetails
    path = tuple(str(part) for part in error["loc"])
    place = ".".join((where, *path))
    if error["type"] == "extra_forbidden":
        close = nearest(path[-1], _known_keys(path[:-1]))
        return Problem(
            f"{place}: unknown key",
            f"did you mean '{close}'?" if close else "nothing in x-slipway has that name",
            f"remove or rename it in the Compose file (known: {', '.join(_known_keys(path[:-1]))})",
        )
    if error["type"] in ("model_type", "dict_type"):
        keys = _known_keys(path)
        return Problem(
            f"{place}: is not a mapping",
            "the service cannot be planned",
            f"correct it in the Compose file (known: {', '.join(keys)})",
        )
    message = _SAID.get(error["type"]) or str(error["msg"]).removeprefix("Value error, ")
    return Problem(
        f"{place}: {message[:1].lower()}{message[1:]}",
        "the service cannot be planned",
        "correct it in the Compose file",
    )
