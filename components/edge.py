"""What a host is told of its edge and of watching, and where its routes answer.

Owns: which edge a stack asks for, how its certificates are had, and the limits of the watch. Does not own: routes (see
`routing`), Traefik itself or the watch (the agent's part). Produces: `edge` and `watch` of the deployment document.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from components.certificates import covers
from components.quantities import plain
from components.registry import mirrored
from slipway.contract.problems import Problem
from slipway.contract.tolerances import ERROR_FLOOR, LATENCY_FLOOR_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from components.application import Application
    from components.settings import HostSettings, Settings

__all__ = [
    "edge_document",
    "edge_image",
    "edge_problems",
    "edge_warnings",
    "route_urls",
    "tls_is_meant",
    "watch_document",
]

_TAG = re.compile(r"[^@\s]+:v?(?P<version>(?P<major>\d+)\.\d+\.\d+)(-[\w.]+)?(@sha256:[0-9a-f]{64})?", re.ASCII)
_MAJOR = 3
# https://letsencrypt.org/docs/acme-protocol-updates/ and /docs/staging-environment/
_PUBLIC = "https://acme-v02.api.letsencrypt.org/directory"
_STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"


def tls_is_meant(settings: Settings) -> bool:
    """Whether routes are served over TLS when nobody says so: where a certificate is there or can be had."""
    return bool(settings.certificate or (settings.acme_email and not all(host.local for host in settings.hosts)))


def edge_problems(settings: Settings) -> list[Problem]:
    """What keeps the edge from being set up, whatever the routes are."""
    problems = []
    tag = _TAG.fullmatch(settings.edge_image)
    if tag is None:
        problems.append(
            Problem.about(
                "edgeImage",
                "the image has no tag with a full version",
                "nobody could tell whether a host's edge is newer",
                "pulumi config set edgeImage traefik:v3.6.0 (a digest may follow)",
            )
        )
    elif int(tag["major"]) != _MAJOR:
        problems.append(
            Problem.about(
                "edgeImage",
                f"version {tag['version']} is not one of Traefik 3",
                "its configuration has another form",
                "pulumi config set edgeImage traefik:v3.6.0",
            )
        )
    if settings.http_port == settings.https_port:
        problems.append(
            Problem.about(
                "httpsPort",
                "the same as httpPort",
                "the edge could not listen on both",
                "pulumi config set httpsPort 443",
            )
        )
    reachable = any(not host.local for host in settings.hosts)
    if settings.https and reachable and not settings.acme_email and not settings.certificate:
        problems.append(
            Problem.about(
                "https",
                "on, with neither acmeEmail nor certificate",
                "visitors would be shown a certificate that no browser trusts",
                "pulumi config set acmeEmail YOU@YOUR-DOMAIN",
            )
        )
    return problems


def edge_warnings(settings: Settings, entries: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """What is unwise about serving these routes."""
    routed = {name: entry["routes"] for name, entry in entries.items() if entry["routes"]}
    if not routed or all(host.local for host in settings.hosts):
        return
    if not settings.https:
        if settings.production:
            yield Problem.about(
                "https",
                f"off, and {', '.join(sorted(routed))} can be reached from outside",
                "passwords and cookies travel in the clear",
                "pulumi config set acmeEmail YOU@YOUR-DOMAIN",
            )
        return
    hosts = sorted({(name, route["host"]) for name, routes in routed.items() for route in routes})
    for name, host in hosts:
        if not host:
            what = f"services.{name}: a route names no host, and domain is empty"
            fix = "pulumi config set domain YOUR-DOMAIN"
        elif settings.certificate and not covers(settings.certificate, host):
            what = f"services.{name}: the certificate is not for {host}"
            fix = "pulumi config set certificate < CHAIN.pem (one that is)"
        else:
            continue
        yield Problem(what, "visitors are warned of the certificate", fix)


def edge_image(settings: Settings) -> str:
    """The image of the edge as it is looked up: through the mirror, where there is one."""
    return mirrored(settings.edge_image, settings.mirror)


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
    tag = _TAG.fullmatch(image)
    own = settings.https and bool(settings.certificate)
    acme = settings.https and bool(settings.acme_email) and not own
    return {
        "image": image,
        "version": tag["version"] if tag else "",
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


def watch_document(settings: Settings) -> dict[str, Any] | None:
    """`watch` of the document; None when nothing is watched."""
    if not settings.watch_seconds:
        return None
    return {
        "seconds": settings.watch_seconds,
        "minimum": settings.watch_minimum_requests,
        "error_relative": plain(settings.watch_error_rate),
        "error_floor": ERROR_FLOOR,
        "latency_relative": plain(settings.watch_latency),
        "latency_floor": LATENCY_FLOOR_SECONDS,
        "restarts": settings.watch_restarts,
        "notify": settings.notify_url.get_secret_value(),
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
