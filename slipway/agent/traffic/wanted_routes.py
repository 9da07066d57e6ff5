"""Which routes a release wants, and how those that are written differ. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.agent.docker.facts import RUNS
from slipway.agent.edge.routing import Backend, Routing, ServiceRouting
from slipway.agent.edge.static_config import resolver_name
from slipway.agent.strategies.service import Routed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.agent.docker.facts import Container
    from slipway.agent.strategies.service import Service
    from slipway.contract.deployment import EdgeRequest, Release

__all__ = ["WHOLE", "facts_of_routes", "service_in", "wanted_route"]

WHOLE = 100


def facts_of_routes(
    services: Mapping[str, Service],
    release: Release,
    wanted: EdgeRequest | None,
    secrets: Mapping[str, str],
    *,
    current: Routing | None,
    containers: Sequence[Container],
) -> Routed:
    """The shares that are written, and the services whose written route is not the one they should have."""
    weights = {
        each.service: {backend.generation: backend.weight for backend in each.backends}
        for each in (current.services if current else ())
    }
    stale = set()
    for name, service in services.items():
        if not service.traffic.routed or not service.replicas:
            continue
        written = service_in(current, name)
        own = [c for c in containers if c.service == name and c.config == service.config and c.state in RUNS]
        own = sorted(own, key=lambda each: each.number)[: service.replicas]
        port = release.services[name].port
        backend = Backend(service.generation, WHOLE, tuple(f"{each.edge}:{port}" for each in own))
        route = wanted_route(name, release, wanted, secrets, written)._replace(backends=(backend,))
        if written != route:
            stale.add(name)
    return Routed(weights, frozenset(stale))


def wanted_route(
    name: str,
    release: Release,
    wanted: EdgeRequest | None,
    secrets: Mapping[str, str],
    written: ServiceRouting | None,
) -> ServiceRouting:
    """A service's route but for where it leads to."""
    entry = release.services[name]
    if wanted is None:
        https, resolver = (written.https, written.resolver) if written else (False, None)
    else:
        https, resolver = wanted.https, wanted.acme and resolver_name(wanted.acme)
    auth = entry.middlewares.basic_auth
    return ServiceRouting(
        service=name,
        routes=entry.routes,
        backends=(),
        middlewares=entry.middlewares._replace(basic_auth=auth and secrets[auth]),
        sticky=entry.sticky,
        https=https,
        resolver=resolver if https else None,
        scheme=entry.scheme,
        preview_host=entry.preview,
    )


def service_in(routing: Routing | None, name: str) -> ServiceRouting | None:
    return next((each for each in routing.services if each.service == name), None) if routing else None
