"""Routes, previews and redirects of one host that exclude each other."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING

from slipway.contract.problems import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from slipway.x_slipway.service import ServiceExtension

__all__ = ["clashes"]


def clashes(extensions: Mapping[str, ServiceExtension], domain: str) -> Iterator[Problem]:
    """What two services (or one, twice) want of the edge of the same host."""
    wanted = [
        (name, kind, what)
        for name, extension in sorted(extensions.items())
        for kind, what in [
            *(("route", f"{route.at(domain)}{route.path}") for route in extension.route),
            *(("preview", extension.preview) for _ in range(bool(extension.preview))),
            *(("redirect", host) for redirect in extension.redirect for host in redirect.from_),
        ]
    ]
    for (name, kind, what), (other, other_kind, other_what) in combinations(wanted, 2):
        if _apart(extensions[name], extensions[other]):
            continue
        same = what == other_what if kind == other_kind else what.split("/")[0] == other_what.split("/")[0]
        if same and what:
            yield _clash((name, kind, what), (other, other_kind, other_what))
    for name, extension in extensions.items():
        for redirect in extension.redirect:
            if redirect.to.split("://")[-1].split("/")[0] in redirect.from_:
                yield Problem(
                    f"services.{name}.x-slipway.redirect: {redirect.to} redirects to itself",
                    "a browser would be redirected forever",
                    "correct `to` in the Compose file",
                )


def _apart(one: ServiceExtension, other: ServiceExtension) -> bool:
    """Whether no host runs both."""
    return bool(one.hosts and other.hosts) and not set(one.hosts) & set(other.hosts)


def _clash(one: tuple[str, str, str], other: tuple[str, str, str]) -> Problem:
    (name, kind, what), (other_name, other_kind, other_what) = one, other
    if kind == other_kind == "route":
        shown = what if not what.startswith("/") else f"{what} of any host"
        who = (
            f"services.{name} names the route {shown} twice"
            if name == other_name
            else f"services.{name} and services.{other_name} have the same route: {shown}"
        )
        return Problem(
            who,
            "the edge can send a request to only one of them",
            f"give services.{other_name}.x-slipway.route another host or path",
        )
    host = (what if kind != "route" else other_what).split("/")[0]
    return Problem(
        f"{host} is the {kind} of services.{name} and the {other_kind} of services.{other_name}",
        "the edge can do only one of the two",
        f"name another host in services.{other_name}.x-slipway.{other_kind}",
    )
