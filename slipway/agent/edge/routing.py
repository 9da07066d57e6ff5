"""The edge's view of one stack: routes, generations and their weights; also as the JSON that is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.contract.deployment import Middlewares, Redirect, Route, known

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slipway.contract.deployment import ServiceEntry

__all__ = ["GENERATION_HEADER", "Backend", "Preview", "Routing", "ServiceRouting", "claims", "from_json", "to_json"]

GENERATION_HEADER = "X-Slipway-Generation"
"""A request from 127.0.0.1 with this header reaches the generation that it names, whatever the weights are."""


class Backend(NamedTuple):
    """One generation of a service: its share of the traffic (relative) and its servers as `address:port`."""

    generation: str
    weight: int
    servers: tuple[str, ...]


class Preview(NamedTuple):
    """Requests for `host` reach `generation`, whatever the weights are."""

    host: str
    generation: str


class ServiceRouting(NamedTuple):
    """Everything about one service; `scheme` is how its servers are asked.

    `resolver` is how certificates are had (`resolver_name`), None: not by ACME. Nobody else may have `preview_host`,
    also while there is no `preview`.
    `basic_auth` of its middlewares is the content of the htpasswd file, a secret.
    """

    service: str
    routes: tuple[Route, ...]
    backends: tuple[Backend, ...]
    middlewares: Middlewares = Middlewares()
    sticky: bool = False
    preview: Preview | None = None
    https: bool = False
    resolver: str | None = None
    scheme: str = "http"
    preview_host: str = ""


class Routing(NamedTuple):
    """Everything about one stack; `maintenance` is the page (HTML) that answers in place of all of it."""

    services: tuple[ServiceRouting, ...]
    maintenance: str | None = None


def claims(services: Iterable[ServiceEntry | ServiceRouting]) -> set[tuple[str, str]]:
    """Host names that these services want requests of, and which: a path, redirects or the preview."""
    found = set()
    for service in services:
        found |= {(route.host, route.path.rstrip("/") or "/") for route in service.routes}
        found |= {(redirect.origin, " (redirect)") for redirect in service.middlewares.redirects}
        preview = service.preview_host if isinstance(service, ServiceRouting) else service.preview
        found |= {(preview, " (preview)")} if preview else set()
    return found


def to_json(value: Any) -> Any:  # noqa: ANN401 - a routing, or a part of one
    """The routing as JSON. The content of basic authentication is in it."""
    if hasattr(value, "_asdict"):
        return {name: to_json(each) for name, each in value._asdict().items()}
    return [to_json(each) for each in value] if isinstance(value, tuple) else value


def from_json(content: Mapping[str, Any]) -> Routing:
    """What `to_json` was given."""
    return Routing(tuple(_service_from_json(each) for each in content["services"]), content["maintenance"])


def _service_from_json(content: Mapping[str, Any]) -> ServiceRouting:
    ways, preview = content["middlewares"], content["preview"]
    redirects = tuple(Redirect(**each) for each in ways["redirects"])
    return ServiceRouting(**{
        **known(ServiceRouting, content),
        "routes": tuple(Route(**each) for each in content["routes"]),
        "backends": tuple(Backend(**{**each, "servers": tuple(each["servers"])}) for each in content["backends"]),
        "middlewares": Middlewares.from_json({**ways, "redirects": ()})._replace(redirects=redirects),
        "preview": Preview(**preview) if preview else None,
    })  # fmt: skip
