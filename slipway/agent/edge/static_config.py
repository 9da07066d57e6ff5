"""What the stacks of this host want of the edge, put together, and the configuration that Traefik starts with. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent.edge.rendering import BACKEND, SEPARATOR
from slipway.agent.edge.routing import GENERATION_HEADER
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from slipway.contract.deployment import Acme, EdgeRequest

__all__ = [
    "DEFAULT_CERTIFICATE", "FOLDER", "GRACE_SECONDS", "OWNER", "PLUGINS", "Desired", "authority_file", "desired",
    "resolver_name", "shared", "static", "trusted",
]  # fmt: skip

FOLDER = "/edge"  # Where Traefik's container sees the edge's folder

OWNER = "edge"  # First part of the names that belong to no stack. The number of a container follows after a dash.

DEFAULT_CERTIFICATE = "default"
"""Name of the files, below the edge's folder, with the certificate for who asks for no name that is known."""

GRACE_SECONDS = 30  # What a request may still take when its Traefik has been replaced; then a WebSocket is cut, too

PLUGINS = ("maintenance", "body")
"""What Traefik by itself cannot: answer with a page, and limit requests without holding back answers."""

_DEFAULT = {f"{kind}File": f"{FOLDER}/{DEFAULT_CERTIFICATE}.{end}" for kind, end in (("cert", "pem"), ("key", "key"))}
# Bounds at most a quarter apart, in seconds, so that a percentile is known to a quarter: 1 ms to 37 s. The comparison
# was tried with steps of 1.5; finer ones only say more.
_BUCKETS = tuple(float(f"{0.001 * 1.25**step:.3g}") for step in range(48))
# A pooled connection that waits longer is closed, so that draining sees only what is in use, and an application with
# a short keep-alive is hardly ever raced. To connect again costs a fraction of a millisecond on the same host.
_IDLE_BACKEND = "300ms"
_DIAL = "2s"
_ENCODED = (3, 6, 4)  # the first version with this setting
_ALIASES = (3, 7, 12)  # the same
_CHARACTERS = ("Slash", "BackSlash", "NullCharacter", "Semicolon", "Percent", "QuestionMark", "Hash")
_IDLE_CLIENT = "180s"
# The first is between the agent and the edge. The other says what X-Forwarded-* say, but Traefik lets every visitor say
# it, and some frameworks believe it first.
_DROPPED = (GENERATION_HEADER, "Forwarded")


class Desired(NamedTuple):
    """What all stacks together want; `https_port` is None when none of them wants TLS."""

    image: str
    version: str
    http_port: int
    https_port: int | None
    resolvers: tuple[Acme, ...]
    proxies: tuple[str, ...] = ()


def resolver_name(acme: Acme) -> str:
    return "acme-" + hashlib.sha256(f"{acme.email}\n{acme.server}".encode()).hexdigest()[:8]


def desired(requests: Mapping[str, EdgeRequest], stack: str, running: Iterable[tuple[str, str]]) -> Desired:
    """Put the requests together, `stack` being the one that asks now.

    `running` holds (version, image) of the edge's containers: what runs is never replaced by something older, nor by
    another build of the same version that only one of several stacks wants.

    Raises:
        SlipwayError: another stack wants other ports.
    """
    own = requests[stack]
    for other, request in sorted(requests.items()):
        _check_ports(stack, own, other, request)
    candidates = [*((request.version, request.image) for request in requests.values()), *running]
    newest = max(_numbers(version) for version, _ in candidates)
    images = [image for version, image in candidates if _numbers(version) == newest]
    others = {request.image for name, request in requests.items() if name != stack}
    kept = [image for _, image in running if image in images and image in others]
    image = kept[0] if kept else own.image if own.image in images else images[-1]
    return Desired(
        image=image,
        version=next(version for version, each in reversed(candidates) if each == image),
        http_port=own.http_port,
        https_port=next((request.https_port for _, request in sorted(requests.items()) if request.https), None),
        resolvers=tuple(sorted({request.acme for request in requests.values() if request.acme is not None})),
        proxies=trusted(requests),
    )


def trusted(requests: Mapping[str, EdgeRequest]) -> tuple[str, ...]:
    """The proxies in front of this host: those of all its stacks."""
    return tuple(sorted({proxy for request in requests.values() for proxy in request.trusted_proxies}))


def authority_file(acme: Acme) -> str:
    """Where the PEM of a certificate authority lies, below the edge's folder; another content is another file."""
    return f"authorities/{resolver_name(acme)}-{hashlib.sha256(acme.ca.encode()).hexdigest()[:8]}.pem"


def static(wanted: Desired, number: int, api_port: int) -> dict[str, Any]:
    """Traefik's static configuration for the container `number`."""
    points: dict[str, Any] = {
        "web": _entry_point(wanted.http_port, number, wanted),
        # Loopback only: it shows routes to whoever may connect.
        "traefik": {"address": f"127.0.0.1:{api_port}"},
    }
    if wanted.https_port is not None:
        points["websecure"] = _entry_point(wanted.https_port, number, wanted)
    resolvers = {
        resolver_name(acme): {
            "acme": {
                "email": acme.email,
                "caServer": acme.server,
                "storage": f"{FOLDER}/acme/{resolver_name(acme)}.json",
                "httpChallenge": {"entryPoint": "web"},
                **({"caCertificates": [f"{FOLDER}/{authority_file(acme)}"]} if acme.ca else {}),
            }
        }
        for acme in wanted.resolvers
    }
    return {
        "global": {"checkNewVersion": False, "sendAnonymousUsage": False},
        "entryPoints": points,
        "api": {"insecure": True, "dashboard": False},
        "ping": {},
        "metrics": {"prometheus": {"addEntryPointsLabels": False, "buckets": list(_BUCKETS)}},
        "log": {"level": "WARN", "format": "json"},
        "accessLog": {"format": "json", "bufferingSize": 128},
        "providers": {
            "providersThrottleDuration": "50ms",
            "file": {"directory": f"{FOLDER}/routes", "watch": True},
        },
        **({"certificatesResolvers": resolvers} if resolvers else {}),  # Traefik refuses an empty one
        "experimental": {"localPlugins": {name: {"moduleName": f"slipway/{name}"} for name in PLUGINS}},
    }


def shared(numbers: Iterable[int], leaving: Iterable[int] = (), *, certificate: bool = True) -> dict[str, Any]:
    """The dynamic configuration that belongs to no stack; `certificate`: whether there is one for unknown names.

    Every container has a middleware of its own, through which all its requests go: one that is `leaving` asks its
    clients to connect anew, so that they come to its successor.
    """
    gone = set(leaving)
    away = {"customResponseHeaders": {"Connection": "close"}}
    timeouts = {"dialTimeout": _DIAL, "idleConnTimeout": _IDLE_BACKEND}
    return {
        "http": {
            "middlewares": {
                _own(number): {
                    "headers": {
                        "customRequestHeaders": dict.fromkeys(_DROPPED, ""),
                        **(away if number in gone else {}),
                    }
                }
                for number in numbers
            },
            "serversTransports": {BACKEND: {"forwardingTimeouts": timeouts}},
        },
        **({"tls": {"stores": {"default": {"defaultCertificate": _DEFAULT}}}} if certificate else {}),
    }


def _own(number: int) -> str:
    return f"{OWNER}{SEPARATOR}{number}"


def _entry_point(port: int, number: int, wanted: Desired) -> dict[str, Any]:
    # Versions have another default each; where a path decides who is let in, `rendering` refuses them.
    encoded = {} if _numbers(wanted.version) < _ENCODED else {
        "encodedCharacters": {f"allowEncoded{each}": True for each in _CHARACTERS}
    }  # fmt: skip
    # Many applications read X_Forwarded_For and X.Forwarded.For as X-Forwarded-For.
    aliases = {"aliasHeadersStrategy": "delete"} if _numbers(wanted.version) >= _ALIASES else {}
    return {
        "address": f":{port}",
        "reusePort": True,  # two containers listen side by side while one takes over from the other
        # Without it a semicolon in a query becomes another separator on its way.
        "http": {"middlewares": [f"{_own(number)}@file"], "encodeQuerySemicolons": True, **encoded, **aliases},
        **({"forwardedHeaders": {"trustedIPs": list(wanted.proxies)}} if wanted.proxies else {}),
        "transport": {
            "lifeCycle": {"graceTimeOut": f"{GRACE_SECONDS}s"},
            # No limit on reading: it would cut long uploads, and answers that stream for longer (Go ends the request).
            "respondingTimeouts": {"readTimeout": "0s", "idleTimeout": _IDLE_CLIENT},
        },
    }


def _numbers(version: str) -> tuple[int, ...]:
    """A version to compare by; a pre-release (`-rc1`) counts as its release."""
    return tuple(int(part) for part in version.partition("-")[0].partition("+")[0].split(".")[:3])


def _check_ports(stack: str, own: EdgeRequest, other: str, request: EdgeRequest) -> None:
    pairs = [("HTTP", own.http_port, request.http_port)]
    pairs += [("HTTPS", own.https_port, request.https_port)] if own.https and request.https else []
    for what, mine, theirs in pairs:
        if mine != theirs:
            raise SlipwayError(
                f"stack {stack} wants the edge's {what} on port {mine}, but stack {other} has it on {theirs}",
                "all stacks of a host share one edge, so nothing was touched",
                f"give both stacks the same ports, or take {other} off this host first",
            )
