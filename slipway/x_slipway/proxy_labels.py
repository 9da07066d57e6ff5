"""Labels by which the previous proxy finds services: which of them no route of the stack replaces."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from slipway.contract.problems import Problem
from slipway.x_slipway.routing import HOST_NAME
from slipway.x_slipway.service import read_extension

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from slipway.x_slipway.service import ServiceExtension

__all__ = ["UnreplacedLabel", "is_proxy_label", "is_proxy_variable", "unguarded", "unreplaced_labels"]

_PREFIXES = ("traefik.", "caddy")
_VIRTUAL = "VIRTUAL_HOST"
_VARIABLES = (_VIRTUAL, f"{_VIRTUAL}_MULTIPORTS", "LETSENCRYPT_HOST")  # by which nginx-proxy and its companion find
_RULE = re.compile(r"traefik\.(http|tcp)\.routers\.([^.]+)\.rule|traefik\.(?:[^.]+\.)?frontend\.rule")
_OTHER = re.compile(r"traefik\.(tcp|udp)\.routers\.")
_PORT = re.compile(r"traefik\.(?:http\.services\.[^.]+\.loadbalancer\.server\.)?port")
_SITE = re.compile(r"caddy(?:_\d+)?")
_UPSTREAM = re.compile(r"\{\{\s*upstreams\b[^}]*?(\d+)\s*\}\}")
_HOSTS = re.compile(r"(?<![!\w])Host\(([^()]*)\)|\bHost:([^;]+)")
_PATHS = re.compile(r"(?<![!\w])Path(?:Prefix)?\(([^()]*)\)|\bPath(?:Prefix)?:([^;]+)")
# Who may come, as labels have it and as `x-slipway` has it.
_GUARDS = {"basicauth": "basicAuth", "digestauth": "basicAuth", "forwardauth": "", "ipallowlist": "ipAllowList",
           "ipwhitelist": "ipAllowList"}  # fmt: skip
_GUARD = re.compile(
    rf"traefik\.(?:http\.middlewares\.([^.]+)\.|frontend\.auth\.)?({'|'.join(_GUARDS)}|basic)\b.*|caddy(?:_\d+)?\.basic_?auth.*"
)


class UnreplacedLabel(NamedTuple):
    """One label that led visitors to a service, with nothing in its place."""

    service: str
    label: str
    hosts: tuple[str, ...]
    """host names that no route has; empty where the label names none"""
    path: str
    port: int
    """of the container; 0 where the labels do not say"""
    http: bool
    routed: bool
    """whether the service has a route, for other names"""
    domain: str = ""  # of the stack

    @property
    def came(self) -> str:
        """Where visitors came from, in words."""
        kind = "variable" if self.label.startswith(_VIRTUAL) else "label"
        return f"services.{self.service} has the {kind} {self.label}"

    @property
    def fix(self) -> str:
        """What to write in the Compose file."""
        if not self.http:
            return f"set `ports` in services.{self.service} of the Compose file"
        routes = [f"{self._in_any_stack(host)}{self.path}" for host in self.hosts] or [self.path or "HOST"]
        if self.routed:
            return f"add {', '.join(routes)} to `route` in services.{self.service}.x-slipway of the Compose file"
        route = (
            routes[0] if len(routes) == 1 and "$" not in routes[0] else json.dumps(routes if routes[1:] else routes[0])
        )
        block = f"x-slipway: {{route: {route}, port: {self.port or 'CONTAINER-PORT'}}}"
        return f"set `{block}` in services.{self.service} of the Compose file"

    def _in_any_stack(self, host: str) -> str:
        """The name, by the variable of each stack's own domain."""
        if self.domain and f".{host}".endswith(f".{self.domain.lower()}"):
            return f"{host[: -len(self.domain)]}${{DOMAIN}}"
        return host

    def problem(self) -> Problem:
        """That visitors would find nobody."""
        missing = f" for {', '.join(self.hosts)}" if self.routed else ""
        ways = f"no route takes its place{missing}: visitors would get 404"
        if not self.http:
            ways = "the edge passes on HTTP alone, and the service publishes no port: nobody would reach it"
        meaning = f"it is left out while moveFrom is set, and {ways}; where nobody comes that way any more, remove it"
        return Problem(self.came, meaning, self.fix)


def is_proxy_label(name: str) -> bool:
    """Whether a label is meant for a proxy that looks for containers."""
    return name.lower().startswith(_PREFIXES)


def is_proxy_variable(name: str) -> bool:
    """Whether a variable is."""
    return name in _VARIABLES


def unreplaced_labels(services: Mapping[str, Mapping[str, Any]], domain: str) -> Iterator[UnreplacedLabel]:
    """What would lead visitors nowhere without those labels, in a stack of that domain."""
    extensions = {name: read_extension(name, each.get("x-slipway"))[0] for name, each in services.items()}
    routes = {(route.at(domain), route.path) for each in extensions.values() for route in each.route}
    redirected = {host for each in extensions.values() for redirect in each.redirect for host in redirect.from_}
    for name, service in services.items():
        labels = {key.lower(): str(value or "") for key, value in (service.get("labels") or {}).items()}
        own, port = extensions[name].route, _port(labels, service)
        variables = service.get("environment") or {}
        virtual = [(_VIRTUAL, str(variables[_VIRTUAL]), True)] if variables.get(_VIRTUAL) else []
        for label, rule, http in (*_ways(labels), *virtual):
            hosts, path = _named(label, rule)
            if not http:
                if not service.get("ports"):
                    yield UnreplacedLabel(name, label, (), "", port, http=False, routed=False)
            elif own:
                its = {route.at(domain) for route in own}
                known = {host for host, _ in routes if host} | redirected
                missing = tuple(each for each in hosts if each not in known) if "" not in its else ()
                if missing:
                    yield UnreplacedLabel(
                        name, f"{label}={rule}", missing, path, port, http=True, routed=True, domain=domain
                    )
            else:
                lost = [host for host in hosts or ("",) if not _found(host, path or "/", routes, redirected)]
                if lost:
                    left = tuple(filter(None, lost))
                    yield UnreplacedLabel(
                        name, f"{label}={rule}", left, path, port, http=True, routed=False, domain=domain
                    )


def _found(host: str, path: str, routes: Collection[tuple[str, str]], redirected: Collection[str]) -> bool:
    return host in redirected or (host, path) in routes or ("", path) in routes


def unguarded(services: Mapping[str, Mapping[str, Any]]) -> Iterator[Problem]:
    """Routed services that a label kept from the public, without what `x-slipway` has for that."""
    for name, service in services.items():
        extension = read_extension(name, service.get("x-slipway"))[0]
        guards = [found for key in service.get("labels") or {} if (found := _GUARD.fullmatch(key.lower()))]
        for label, kind in sorted({(found.group(), found[2]) for found in guards}) if extension.route else ():
            key = _GUARDS.get(kind, "basicAuth")
            if not _guarded(extension, key):
                yield Problem(
                    f"services.{name} has the label {label}, and no {key or 'such check'} of x-slipway",
                    "labels for the previous proxy are left out while moveFrom is set: anybody may visit it then",
                    f"set `{key}` in services.{name}.x-slipway of the Compose file"
                    if key
                    else f"let {name} ask who comes itself, or set `basicAuth` in its x-slipway",
                )


def _guarded(extension: ServiceExtension, key: str) -> bool:
    return bool(extension.ip_allow_list if key == "ipAllowList" else extension.basic_auth)


def _ways(labels: Mapping[str, str]) -> Iterator[tuple[str, str, bool]]:
    """Label, rule, and whether it is HTTP, of every way to the service."""
    traefik = {key: value for key, value in labels.items() if key.startswith("traefik.")}
    if traefik.get("traefik.enable", "").lower() != "false":
        rules = [(found, value) for key, value in traefik.items() if (found := _RULE.fullmatch(key))]
        other = [key for key in traefik if _OTHER.match(key)]
        for found, rule in rules:
            internal = labels.get(f"traefik.http.routers.{found[2]}.service", "").endswith("@internal")
            if found[1] != "tcp" and not internal:
                yield found.group(), rule, True
        if other:
            yield other[0], "", False
        served = [key for key in traefik if key.startswith("traefik.http.services.")]
        if not rules and not other and (served or traefik.get("traefik.enable", "").lower() == "true"):
            label = "traefik.enable" if "traefik.enable" in traefik else served[0]
            yield label, traefik[label], True  # by the proxy's rule for all that has none
    for key, value in labels.items():
        if _SITE.fullmatch(key) and value and not value.startswith("("):
            yield key, value, True


def _named(label: str, rule: str) -> tuple[tuple[str, ...], str]:
    """The host names and the path of a rule, as far as routes can have them."""
    if label == _VIRTUAL:
        hosts, paths = rule.split(","), []
    elif label.startswith("caddy"):
        sites = [each.partition("://")[2] or each for each in re.split(r"[,\s]+", rule) if each]
        parts = [site.partition("/") for site in sites]
        hosts, paths = [host.partition(":")[0] for host, _, _ in parts], [f"/{path}".rstrip("*") for *_, path in parts]
    elif label.startswith("traefik.http.routers.") or label.endswith("frontend.rule"):
        hosts, paths = _arguments(_HOSTS, rule), _arguments(_PATHS, rule)
    else:
        return (), ""
    path = paths[0].rstrip("/") if len({*paths}) == 1 and "{" not in paths[0] else ""  # of several, all of the host
    known = (_in_letters(host.strip().lower()) for host in hosts)
    return tuple(dict.fromkeys(host for host in known if HOST_NAME.fullmatch(host))), path


def _in_letters(host: str) -> str:
    """A name as browsers send it: `xn--…` where it has other letters."""
    try:
        return host.encode("idna").decode()
    except UnicodeError:
        return host


def _arguments(pattern: re.Pattern[str], rule: str) -> list[str]:
    found = [each for groups in pattern.findall(rule) for part in groups for each in part.split(",")]
    return [each.strip(" \t`'\"") for each in found if each.strip(" \t`'\"")]


def _port(labels: Mapping[str, str], service: Mapping[str, Any]) -> int:
    stated = [value for key, value in labels.items() if _PORT.fullmatch(key)]
    stated += [str((service.get("environment") or {}).get("VIRTUAL_PORT"))]
    stated += [port for value in labels.values() for port in _UPSTREAM.findall(value)]
    exposed: Sequence[Any] = service.get("expose") or ()
    stated += [str(each).partition("/")[0] for each in exposed] if len(exposed) == 1 else []
    stated += [str(each.get("target")) for each in service.get("ports") or ()]
    return next((int(each) for each in stated if each.isdecimal()), 0)
