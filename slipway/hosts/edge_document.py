"""What a host is told of its edge (`edge` of the deployment document), and where routes answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from slipway.settings.edge_settings import edge_version

if TYPE_CHECKING:
    from collections.abc import Sequence

    from slipway.compose.application import Application
    from slipway.settings.model import HostSettings, Settings

__all__ = ["edge_document", "route_urls"]

# https://letsencrypt.org/docs/acme-protocol-updates/ and /docs/staging-environment/
_PUBLIC = "https://acme-v02.api.letsencrypt.org/directory"
_STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"


def edge_document(settings: Settings, image: str, services: Sequence[str], application: Application) -> Any:  # noqa: ANN401
    """`edge` of the document for a host that runs these services; None when none of them has a route.

    Args:
        settings: the stack's settings.
        image: the edge's image by digest.
        services: the services of the host.
        application: what they are.
    """
    if not any(application.entries[service]["routes"] for service in services):
        return None
    own = settings.https and bool(settings.certificate)
    acme = settings.https and bool(settings.acme_email) and not own
    return {
        "image": image,
        "version": edge_version(image),
        "http_port": settings.http_port,
        "https_port": settings.https_port,
        "https": settings.https,
        "acme": {
            "email": settings.acme_email,
            "server": settings.acme_server or (_STAGING if settings.acme_staging else _PUBLIC),
            "ca": settings.acme_ca,
        }
        if acme
        else None,
        "certificates": [{"certificate": settings.certificate, "key": settings.certificate_key.get_secret_value()}]
        if own
        else [],
    }


def route_urls(settings: Settings, application: Application, hosts: Sequence[HostSettings]) -> list[str]:
    """Where the routes answer: by their host name, and without one at every host that runs the service."""
    scheme, port, usual = ("https", settings.https_port, 443) if settings.https else ("http", settings.http_port, 80)
    urls: list[str] = []
    routes = [(service, route) for service, entry in sorted(application.entries.items()) for route in entry["routes"]]
    for service, route in sorted(routes, key=lambda each: bool(each[1]["path"] != "/")):  # front pages first
        running = [host.authority for host in hosts if service in application.services_of(host.name)]
        for name in [route["host"]] if route["host"] else running:
            urls.append(f"{scheme}://{name}{'' if port == usual else f':{port}'}{route['path']}")  # noqa: PERF401
    return list(dict.fromkeys(urls))
