"""The edge: Traefik in front of every stack of this host.

`Edge` does; everything else that is exported is what it is told and what it tells.
"""

from agent.edge.counting import Target, Traffic
from agent.edge.edge import Edge
from agent.edge.routing import (
    GENERATION_HEADER,
    Backend,
    Middlewares,
    Preview,
    RateLimit,
    Redirect,
    Route,
    Routing,
    ServiceRouting,
    middlewares,
)
from agent.edge.settings import resolver_name

__all__ = [
    "GENERATION_HEADER",
    "Backend",
    "Edge",
    "Middlewares",
    "Preview",
    "RateLimit",
    "Redirect",
    "Route",
    "Routing",
    "ServiceRouting",
    "Target",
    "Traffic",
    "middlewares",
    "resolver_name",
]
