"""One stack's dynamic configuration of Traefik: a JSON file below a comment that holds what it was made from."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.agent.docker.yaml_file import to_yaml
from slipway.agent.edge.routing import GENERATION_HEADER, Routing, from_json, to_json
from slipway.contract.deployment import Route

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.agent.edge.routing import ServiceRouting
    from slipway.contract.deployment import Redirect

__all__ = [
    "BACKEND", "SEPARATOR", "Ports", "Written", "dynamic", "marker", "read", "service_target", "text",
]  # fmt: skip

SEPARATOR = "~"
"""Between the parts of a name; no stack, service or generation has it, so that two names are never the same."""

BACKEND = "slipway"  # The servers transport that all services use (see `static_config.shared`)

_HEAD = "# slipway: "
_WEB, _WEBSECURE = "web", "websecure"
_HTTPS_PORT = 443
_HTTP_PORT = 80
_NOTHING = "noop@internal"  # a router must name a service, also where a middleware answers

# A host outranks a path, a longer path a shorter one; the agent's own probes outrank all.
_HOST_PRIORITY = 100_000
_PROBE_PRIORITY = 1_000_000
_RETRY = {"attempts": 3, "initialInterval": "20ms"}  # only what no backend has seen a byte of is tried again
_YEAR = 31_536_000
# Of paths that an application may read as another's: encoded slashes, backslashes and control characters (Traefik
# decodes the latter two), what is encoded twice, and parameters of a segment, which servlet containers take off before
# they resolve `..`, as others do with blanks.
_TWO_WAYS = r"%2f|%25[0-9a-f]{2}|\\|[\x00-\x1f\x7f]|\.\.(;|%3b)"
_PARAMETERS = "( |;|%3b)[^/]*"
# Headers of proxies that are not trusted are gone before a route is chosen.
_FORWARDED = "HeaderRegexp(`X-Forwarded-For`, `.`)"
_OVER_TLS = "HeaderRegexp(`X-Forwarded-Proto`, `^(https|wss)$`)"


class Ports(NamedTuple):
    """Where the edge listens."""

    http: int
    https: int


class Written(NamedTuple):
    """What a dynamic file says about itself: the name that Traefik shows when it has it, and what it is made from."""

    marker: str
    routing: Routing | None


def text(content: Mapping[str, Any], name: str, routing: Routing | None) -> bytes:
    """The file: its own description as a comment, then the configuration with the marker `name` in it."""
    http = content.get("http", {})
    marked = {**http, "middlewares": {**http.get("middlewares", {}), name: {"addPrefix": {"prefix": "/" + name}}}}
    head = json.dumps({"marker": name, "routing": to_json(routing)}, sort_keys=True, separators=(",", ":"))
    whole = _HEAD + head.replace("\x7f", "\\u007f") + f"\n{to_yaml({**content, 'http': marked}).decode()}\n"
    # Traefik expands Go templates in every file that it reads; outside of strings two braces never meet.
    return whole.replace("{{", "{\\u007b").encode()


def read(content: bytes) -> Written | None:
    """What `text` was given; None for a file that is none of ours."""
    try:
        first, _, _ = content.decode().partition("\n")
        head = json.loads(first[len(_HEAD) :])
        routing = head["routing"]
        return Written(head["marker"], None if routing is None else from_json(routing))
    except (ValueError, KeyError, TypeError):
        return None


def marker(owner: str, serial: str) -> str:
    """The name under which Traefik shows that this very version is live."""
    return f"{owner}{SEPARATOR}live-{serial}"


def service_target(name: str) -> tuple[str, str, str] | None:
    """Stack, service and generation of a load balancer's name, as Traefik gives it; None for another's."""
    parts = name.partition("@")[0].split(SEPARATOR)
    return (parts[0], parts[1], parts[2]) if len(parts) == 3 else None  # noqa: PLR2004 - as `_generation` puts them


def dynamic(
    stack: str,
    routing: Routing,
    *,
    ports: Ports,
    users: Mapping[str, str],
    proxies: Sequence[str] = (),
    streams: bool = True,
) -> dict[str, Any]:
    """The dynamic configuration of a stack; `users` is service → htpasswd file, as Traefik's container sees it.

    `proxies` are those that the edge believes who the visitor is; `streams` as in `EdgeFolder.streams`.
    """
    built = _Built({}, {}, {})
    down = routing.maintenance is not None
    if down:
        page = {"plugin": {"maintenance": {"page": routing.maintenance}}}
        built.middlewares[f"{stack}{SEPARATOR}maintenance"] = page
    for service in routing.services:
        guarded = [
            route
            for other in routing.services
            if other is not service
            and (other.middlewares.ip_allow_list or other.middlewares.basic_auth or other.middlewares.rate_limit)
            for route in other.routes
        ]
        one = _Service(
            stack, service, ports, built, maintenance=down, guarded=guarded, proxies=proxies, streams=streams
        )
        one.build(users.get(service.service))
    return {"http": {key: value for key, value in built._asdict().items() if value}}


class _Built(NamedTuple):
    routers: dict[str, Any]
    services: dict[str, Any]
    middlewares: dict[str, Any]


class _Service:
    """Builds what one service needs; `built` collects."""

    def __init__(
        self,
        stack: str,
        service: ServiceRouting,
        ports: Ports,
        built: _Built,
        *,
        maintenance: bool,
        guarded: Sequence[Route],
        proxies: Sequence[str],
        streams: bool,
    ) -> None:
        self.stack = stack
        self.service = service
        self.ports = ports
        self.built = built
        self.maintenance = maintenance
        self.guarded = guarded
        """Routes on which another service lets in only some, or some of the time."""
        self.proxies = proxies
        self.streams = streams
        self.by_proxy: dict[str, str] = {}
        """Middleware → what takes its place where a proxy says who the visitor is."""
        self.name = f"{stack}{SEPARATOR}{service.service}"

    def build(self, users: str | None) -> None:
        for backend in self.service.backends:
            self.built.services[self._generation(backend.generation)] = _balancer(backend.servers, self.service.scheme)
        self.built.services[self.name] = self._weighted()
        ways = self._ways(users)
        for number, route in enumerate(self.service.routes):
            path, rule = route.path.rstrip("/"), self._guarded(route, self._near([route]))
            priority = (_HOST_PRIORITY if route.host else 0) + len(path) + 1
            inner = list(ways)
            if route.strip and path:
                inner.append(self._middleware(f"strip-{number}", {"stripPrefix": {"prefixes": [path]}}))
            self._serve(f"route-{number}", rule, self.name, priority=priority, middlewares=inner, host=route.host)
            for backend in self.service.backends:
                generation = backend.generation
                probe = f"Header({_quoted(GENERATION_HEADER)}, {_quoted(generation)}) && ClientIP(`127.0.0.1`)"
                self.built.routers[f"{self.name}{SEPARATOR}probe-{number}-{generation}"] = {
                    "entryPoints": [_WEB],
                    "rule": f"{probe} && {rule}",
                    "priority": _PROBE_PRIORITY + priority,
                    "middlewares": inner,
                    "service": self._generation(generation),
                }
        preview = self.service.preview
        if preview is not None:
            rule, target = self._preview_rule(preview.host), self._generation(preview.generation)
            self._serve("preview", rule, target, priority=_HOST_PRIORITY, middlewares=ways, host=preview.host)
        for number, redirect in enumerate(self.service.middlewares.redirects):
            self._redirect(number, redirect)

    def _guarded(self, route: Route, near: Sequence[Route]) -> str:
        """The rule of a route, without what may lead past a guard `near` it."""
        guard = f" && !PathRegexp({_quoted(_not_plain(route.path.rstrip('/'), near))})" if near else ""
        return _rule(route) + guard

    def _near(self, routes: Sequence[Route]) -> list[Route]:
        hosts = {route.host for route in routes}
        return [each for each in self.guarded if "" in {*hosts, each.host} or each.host in hosts]

    def _preview_rule(self, host: str) -> str:
        """All of the application, but nothing that it may read as what another service guards."""
        rule, near = f"Host({_quoted(host)})", self._near(self.service.routes)
        paths = {route.path.rstrip("/") for route in self.service.routes}
        paths |= {""} if all(each.path.rstrip("/") for each in near) else set()
        ways = [f"({self._guarded(Route('', path), near)})" for path in sorted(paths)] if near else []
        return f"{rule} && ({' || '.join(ways)})" if ways else rule

    def _generation(self, generation: str) -> str:
        return f"{self.name}{SEPARATOR}{generation}"

    def _weighted(self) -> dict[str, Any]:
        shares = [
            {"name": self._generation(backend.generation), "weight": backend.weight}
            for backend in self.service.backends
            if backend.weight > 0
        ]
        if not shares:
            return _balancer(())  # answers 503
        weighted: dict[str, Any] = {"services": shares}
        if self.service.sticky:
            # Without a name Traefik derives one from the service's, which no other service of the host has.
            weighted["sticky"] = {"cookie": {"httpOnly": True, "secure": self.service.https, "sameSite": "lax"}}
        return {"weighted": weighted}

    def _ways(self, users: str | None) -> list[str]:
        """Names of the middlewares, from the outermost in."""
        wanted, https = self.service.middlewares, self.service.https
        ways = []
        if wanted.ip_allow_list:
            ways += self._by_address("allow", "ipAllowList", {"sourceRange": list(wanted.ip_allow_list)})
        if wanted.rate_limit is not None:
            limit = wanted.rate_limit
            period = f"{max(1, round(limit.period * 1000))}ms"
            ways += self._by_address(
                "rate", "rateLimit", {"average": limit.average, "burst": limit.burst, "period": period}
            )
        if users is not None:
            ways.append(self._middleware("auth", {"basicAuth": {"usersFile": users, "removeHeader": True}}))
        if wanted.max_body is not None:
            plugin = {"plugin": {"body": {"limit": wanted.max_body}}}
            older = {"buffering": {"maxRequestBodyBytes": wanted.max_body}}
            ways.append(self._middleware("body", plugin if self.streams else older))
        if wanted.security_headers:
            ways.append(self._middleware("headers", {"headers": _security_headers(https=https)}))
        return [*ways, self._middleware("retry", {"retry": _RETRY})]

    def _by_address(self, name: str, kind: str, content: dict[str, Any]) -> list[str]:
        """A middleware that counts addresses: behind a proxy, that of the nearest who is none."""
        plain = self._middleware(name, {kind: content})
        if self.proxies:
            visitor: dict[str, Any] = {"ipStrategy": {"excludedIPs": list(self.proxies)}}
            visitor = {"sourceCriterion": visitor} if kind == "rateLimit" else visitor
            self.by_proxy[plain] = self._middleware(f"{name}-visitor", {kind: {**content, **visitor}})
        return [plain]

    def _middleware(self, kind: str, content: dict[str, Any]) -> str:
        name = f"{self.name}{SEPARATOR}{kind}"
        self.built.middlewares[name] = content
        return name

    def _serve(self, kind: str, rule: str, service: str, *, priority: int, middlewares: list[str], host: str) -> None:
        """Routers for one rule: over TLS with the way there from plain HTTP, or plain HTTP alone."""
        if self.maintenance:
            middlewares, service = [f"{self.stack}{SEPARATOR}maintenance"], _NOTHING
        router = {"rule": rule, "priority": priority, "middlewares": middlewares, "service": service}
        if self.by_proxy.keys() & set(middlewares):
            for end, condition, ways in (
                ("", _FORWARDED, [self.by_proxy.get(each, each) for each in middlewares]),
                ("-direct", f"!{_FORWARDED}", middlewares),
            ):
                self._router(kind + end, {**router, "rule": f"{rule} && {condition}", "middlewares": ways}, host)
        else:
            self._router(kind, router, host)

    def _router(self, kind: str, router: dict[str, Any], host: str) -> None:
        rule = router["rule"]
        name = f"{self.name}{SEPARATOR}{kind}"
        if not self.service.https:
            self.built.routers[name] = {"entryPoints": [_WEB], **router}
            return
        self.built.routers[name] = {"entryPoints": [_WEBSECURE], **router, "tls": self._tls(host)}
        port = {} if self.ports.https == _HTTPS_PORT else {"port": str(self.ports.https)}
        to_https = self._middleware("https", {"redirectScheme": {"scheme": "https", "permanent": True, **port}})
        if self.proxies:  # what one got over TLS is not sent there again
            self.built.routers[f"{name}-proxied"] = {"entryPoints": [_WEB], **router, "rule": f"{rule} && {_OVER_TLS}"}
            rule += f" && !{_OVER_TLS}"
        self.built.routers[f"{name}-http"] = {
            "entryPoints": [_WEB], **router, "rule": rule, "middlewares": [to_https], "service": _NOTHING,
        }  # fmt: skip

    def _tls(self, host: str) -> dict[str, Any]:
        # A certificate is asked for by host name; without one there is nothing to ask for.
        return {"certResolver": self.service.resolver} if self.service.resolver and host else {}

    def _redirect(self, number: int, redirect: Redirect) -> None:
        target = redirect.target.rstrip("/")
        if "://" not in target:
            scheme, port, usual = ("https", self.ports.https, _HTTPS_PORT) if self.service.https else (
                "http", self.ports.http, _HTTP_PORT,
            )  # fmt: skip
            target = f"{scheme}://{target}" + ("" if port == usual else f":{port}")
        content = {
            "regex": "^https?://[^/]+(.*)$",
            "replacement": target.replace("$", "$$") + "${1}",
            "permanent": redirect.permanent,
        }
        way = self._middleware(f"redirect-{number}", {"redirectRegex": content})
        rule = {"rule": f"Host({_quoted(redirect.origin)})", "priority": _HOST_PRIORITY, "middlewares": [way]}
        name = f"{self.name}{SEPARATOR}redirect-{number}"
        self.built.routers[f"{name}-http"] = {"entryPoints": [_WEB], **rule, "service": _NOTHING}
        if self.service.https:
            tls = self._tls(redirect.origin)
            self.built.routers[name] = {"entryPoints": [_WEBSECURE], **rule, "service": _NOTHING, "tls": tls}


def _balancer(servers: Sequence[str], scheme: str = "http") -> dict[str, Any]:
    urls = [{"url": f"{scheme}://{server}"} for server in servers]
    return {"loadBalancer": {"servers": urls, "passHostHeader": True, "serversTransport": BACKEND}}


def _rule(route: Route) -> str:
    host = f"Host({_quoted(route.host)})" if route.host else ""
    path = route.path.rstrip("/")
    # Traefik's prefix is one of characters: /shop would take /shopping along.
    below = f"(Path({_quoted(path)}) || PathPrefix({_quoted(path + '/')}))" if path else ""
    return " && ".join(part for part in (host, below) if part) or "PathPrefix(`/`)"


def _not_plain(path: str, guarded: Sequence[Route]) -> str:
    """Matches what is below `path` to Traefik, and perhaps below a guarded path to the application."""
    inner = sorted({each.path.rstrip("/") for each in guarded if each.path.startswith(path + "/")} - {path})
    segments = (f"({_PARAMETERS})?/+".join(map(re.escape, each.strip("/").split("/"))) for each in inner)
    spelled = (rf"^(/\.?{_PARAMETERS})*/{each}({_PARAMETERS})?(/|$)" for each in segments)
    return "|".join((f"(?i){_TWO_WAYS}", *spelled))


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if "`" in value else f"`{value}`"


def _security_headers(*, https: bool) -> dict[str, Any]:
    return {
        "contentTypeNosniff": True,
        "customFrameOptionsValue": "SAMEORIGIN",
        "referrerPolicy": "strict-origin-when-cross-origin",
        **({"stsSeconds": _YEAR} if https else {}),
    }
