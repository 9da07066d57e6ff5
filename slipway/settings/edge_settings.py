"""What the settings say of the edge and of the watch: which Traefik, over TLS or not, and the limits of watching."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from slipway.contract.deployment import ERROR_FLOOR, LATENCY_FLOOR_SECONDS
from slipway.contract.problems import Problem
from slipway.notify.delivery import Target
from slipway.settings.certificates import covers
from slipway.settings.quantities import plain
from slipway.settings.registry_names import mirrored
from slipway.settings.setting_files import config_set

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from slipway.settings.model import Settings

__all__ = [
    "edge_faults", "edge_image", "edge_problems", "edge_version", "edge_warnings", "newer_edge", "tls_is_meant",
    "watch_document",
]  # fmt: skip

_TAG = re.compile(r"[^@\s]+:v?(?P<version>(?P<major>\d+)\.\d+\.\d+)(-[\w.]+)?(@sha256:[0-9a-f]{64})?", re.ASCII)
_MAJOR = 3
_OLDEST = (3, 6, 7)
# Of 3.6 and 3.7, the first without it: https://doc.traefik.io/traefik/migrate/v3/
_FAULTS = (
    ((3, 6, 4), (3, 7, 0), "rules do not see encoded slashes in paths (CVE-2025-66490)"),
    ((3, 6, 7), (3, 7, 0), "paths with encoded characters are answered with 400"),
    ((3, 6, 19), (3, 7, 3), "a path such as /api../x leaves the prefix that `strip` removes"),
)


def tls_is_meant(settings: Settings) -> bool:
    """Whether routes are served over TLS when nobody says so: where a certificate is there or can be had."""
    return bool(settings.certificate or (settings.acme_email and not all(host.local for host in settings.hosts)))


def edge_problems(settings: Settings) -> Iterator[Problem]:
    """What keeps the edge from being set up, whatever the routes are."""
    tag = _TAG.fullmatch(settings.edge_image)
    if tag is None:
        yield Problem.about(
            "edgeImage",
            "the image has no tag with a full version",
            "nobody could tell whether a host's edge is newer (a digest may follow the tag)",
            newer_edge(settings),
        )
    elif int(tag["major"]) != _MAJOR:
        yield Problem.about(
            "edgeImage",
            f"version {tag['version']} is not one of Traefik 3",
            "its configuration has another format",
            newer_edge(settings),
        )
    elif _numbers(tag["version"]) < _OLDEST:
        yield Problem.about(
            "edgeImage",
            f"version {tag['version']} has known faults: {'; '.join(edge_faults(tag['version']))}",
            "who is kept out of one service could get in through another",
            newer_edge(settings),
        )
    if settings.http_port == settings.https_port:
        yield Problem.about(
            "httpsPort",
            "the same as httpPort",
            "the edge could not listen on both",
            config_set(settings.stack, "httpsPort", "443"),
        )
    reachable = any(not host.local for host in settings.hosts)
    if settings.https and reachable and not settings.acme_email and not settings.certificate:
        yield Problem.about(
            "https",
            "on, with neither acmeEmail nor certificate",
            "visitors would be shown a certificate that no browser trusts; Let's Encrypt gives one for an e-mail",
            config_set(settings.stack, "acmeEmail"),
        )


def edge_warnings(settings: Settings, entries: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """What is unwise about serving these routes."""
    routed = {name: entry["routes"] for name, entry in entries.items() if entry["routes"]}
    if not routed or all(host.local for host in settings.hosts):
        return
    if faults := edge_faults(edge_version(settings.edge_image)):
        what = f"version {edge_version(settings.edge_image)} has known faults: {'; '.join(faults)}"
        yield Problem.about("edgeImage", what, "a pinned image gets no fixes by itself", newer_edge(settings))
    if not settings.https:
        if settings.production and not settings.trusted_proxies:  # one of those may have the certificate
            yield Problem.about(
                "https",
                f"off, and {', '.join(sorted(routed))} can be reached from outside",
                "passwords and cookies travel in the clear; Let's Encrypt gives certificates for an e-mail",
                config_set(settings.stack, "acmeEmail"),
            )
        return
    hosts = sorted({(name, route["host"]) for name, routes in routed.items() for route in routes})
    for name, host in hosts:
        if not host:
            what = f"services.{name}: a route names no host, and domain is empty"
            fix = config_set(settings.stack, "domain")
        elif settings.certificate and not covers(settings.certificate, host):
            what = f"services.{name}: the certificate is not for {host}"
            fix = config_set(settings.stack, "certificate", "< CHAIN.pem")
        else:
            continue
        yield Problem(what, "browsers warn visitors about the certificate", fix)


def edge_faults(version: str) -> list[str]:
    """What is known to be wrong with a version of Traefik."""
    numbers = _numbers(version)
    return [what for *fixed, what in _FAULTS if numbers < fixed[numbers >= (3, 7)]]


def newer_edge(settings: Settings) -> str:
    """The command that sets the newest image that this version of Slipway knows."""
    return config_set(settings.stack, "edgeImage", type(settings).model_fields["edge_image"].default)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.partition("-")[0].split(".")[:3])


def edge_image(settings: Settings) -> str:
    """The image of the edge as it is looked up: through the mirror, where there is one."""
    return mirrored(settings.edge_image, settings.mirror)


def edge_version(image: str) -> str:
    """The version that the tag of an edge's image names; empty without one."""
    tag = _TAG.fullmatch(image)
    return tag["version"] if tag else ""


def watch_document(settings: Settings, about: Callable[[], Mapping[str, str]]) -> dict[str, Any] | None:
    """`watch` of the document; None when nothing is watched. Messages say what `about` says of the release."""
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
        "notify": _host_messages(settings, about),
    }


def _host_messages(settings: Settings, about: Callable[[], Mapping[str, str]]) -> dict[str, Any] | None:
    """Who gets messages about what a host does by itself; `notifyUrl` gets no others."""
    by_itself = {"failed", "rolled-back"}
    url = settings.notify_url.get_secret_value()
    old = [Target("webhook", url, tuple(sorted(by_itself)), "notifyUrl")] if url else []
    targets = [each._asdict() for each in [*settings.notify_targets(), *old] if by_itself & set(each.events)]
    return {"targets": targets, "stack": settings.stack, **about()} if targets else None
