"""What to ask of a stack: the addresses of the release in its state, with what their answers must be.

The state says what is deployed. The files of a checkout may be ahead of it: a route that production does not have yet
is not down. Neither passphrase nor hosts are needed.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import SplitResult, urlsplit, urlunsplit

from slipway.contract.published_ports import published_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["ANSWERS", "GUARDED", "REDIRECTS", "SERVES", "Target", "targets_in"]

ANSWERS: Mapping[str, Any] = {"kind": "answers"}
"""Anything counts: `smoke: off` says that nobody knows what a good answer is."""
SERVES: Mapping[str, Any] = {"kind": "serves"}
"""Anything counts that is not an error of the server's (5xx)."""
GUARDED: Mapping[str, Any] = {"kind": "http", "status": 401}
"""Without the password it is asked for; what is behind stays unknown."""
REDIRECTS = "redirects"
"""Kind of the check that a request is sent to the host `to`."""


class Target(NamedTuple):
    """One address, and what its answer must be."""

    url: str
    service: str
    checks: tuple[Mapping[str, Any], ...]
    """As in a release (deployment.schema.json, `smoke`), or of the kinds here."""
    login: bool = False
    """Whether it asks for a password that is known."""


def targets_in(outputs: Mapping[str, Any], *, login: bool = False) -> list[Target]:
    """The addresses of a deployment, from its outputs in the state; `login`: whether there is a password for it."""
    release = json.loads(outputs["document"])
    return _Addresses(release["services"], release["compose"]["services"], outputs["urls"]).targets(login=login)


class _Addresses(NamedTuple):
    services: Mapping[str, Any]
    compose: Mapping[str, Any]
    urls: Sequence[str]

    def targets(self, *, login: bool) -> list[Target]:
        found: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
        for url, service, check in (*self._pages(), *self._redirects()):
            found.setdefault(url, []).append((service, check))
        return [self._target(url, checks, login=login) for url, checks in found.items()]

    def _target(self, url: str, checks: list[tuple[str, Mapping[str, Any]]], *, login: bool) -> Target:
        service, wanted = checks[0][0], tuple(check for _, check in checks)
        routed = self._route(urlsplit(url))[1] is not None and wanted[0]["kind"] != REDIRECTS
        ways = self.services[service]["middlewares"] if routed else {}  # the edge's, which others do not pass
        if ways.get("ip_allow_list"):  # who asks may not be on it
            return Target(url, service, (SERVES,))
        if ways.get("basic_auth"):
            return Target(url, service, wanted if login else (GUARDED,), login=login)
        return Target(url, service, wanted)

    def _pages(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """What to ask for at every address: the HTTP smoke checks of its service, as far as they reach it there."""
        hosts = {route["host"] for entry in self.services.values() for route in entry["routes"]} - {""}
        for url in self.urls:
            parts = urlsplit(url)
            service, route = self._route(parts)
            if not service:
                yield url, service, SERVES
                continue
            entry = self.services[service]
            target, bound = (entry["port"], "") if route else self._published(service, parts)
            if bound.startswith(("127.", "::1")) and parts.hostname != "127.0.0.1":
                continue
            pages = []
            for check in entry["smoke"] or ():
                if check["kind"] != "http" or check.get("host", parts.hostname) in hosts - {parts.hostname}:
                    continue
                path, _, query = check["path"].partition("?")
                path = route["path"].rstrip("/") + path if route and route["strip"] else path
                page = parts._replace(path=path, query=query)
                if check["port"] == target and self._route(page) == (service, route):
                    pages.append((urlunsplit(page), service, check))
            if route and not pages:  # a port without a check of its own need not speak HTTP
                pages = [(url, service, ANSWERS if entry["smoke"] is None else SERVES)]
            yield from pages

    def _redirects(self) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        fronts = [parts for parts in map(urlsplit, self.urls) if self._route(parts)[1]][:1]
        for (name, entry), front in itertools.product(self.services.items(), fronts):
            port = f":{front.port}" if front.port else ""
            for each in entry["middlewares"]["redirects"]:
                to = urlsplit(each["to"] if "://" in each["to"] else f"//{each['to']}").hostname
                yield f"{front.scheme}://{each['from']}{port}/", name, {"kind": REDIRECTS, "to": to}

    def _route(self, parts: SplitResult) -> tuple[str, Mapping[str, Any] | None]:
        """Service and route that an address leads to; no route where a port of the service is published."""
        fitting = [
            (name, route)
            for name, entry in self.services.items()
            for route in entry["routes"]
            if f"{parts.path}/".startswith(f"{route['path'].rstrip('/')}/") and route["host"] in ("", parts.hostname)
        ]
        by_port = next((name for name in self.compose if self._published(name, parts)[0]), "")
        named = [each for each in fitting if each[1]["host"]]
        if by_port and (parts.port or not named):
            return by_port, None
        return max(named or fitting, key=lambda each: len(each[1]["path"]), default=("", None))

    def _published(self, service: str, parts: SplitResult) -> tuple[int, str]:
        """The container's port behind an address, and where on the host it is bound; 0 without one."""
        entries = self.compose[service].get("ports") or ()
        found = [each for each in published_ports({"ports": entries}) if each.first == (parts.port or 80)]
        return (entries[found[0].entry]["target"], found[0].address) if found else (0, "")
