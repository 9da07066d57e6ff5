"""What one host gets on standard input (deployment.schema.json), and where the release answers afterwards."""

from __future__ import annotations

import itertools
import secrets as randomness
from typing import TYPE_CHECKING, Any

from slipway.compose.git import commit_words
from slipway.compose.schema_check import checked
from slipway.contract import CONTRACT
from slipway.contract.canonical import canonical
from slipway.contract.outcomes import FAILED
from slipway.contract.published_ports import published_ports
from slipway.settings.certificates import covers
from slipway.settings.edge_settings import edge_version, watch_document
from slipway.settings.registry_names import address_of
from slipway.settings.values import networks_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from slipway.compose.application import Application
    from slipway.settings.model import HostSettings, Settings

__all__ = ["deployment_document", "drift_of", "edge_document", "port_urls", "route_urls"]

# https://letsencrypt.org/docs/acme-protocol-updates/ and /docs/staging-environment/
_PUBLIC = "https://acme-v02.api.letsencrypt.org/directory"
_STAGING = "https://acme-staging-v02.api.letsencrypt.org/directory"


def deployment_document(
    settings: Settings,
    application: Application,
    release: Mapping[str, Any],
    edge: str,
    *,
    host: str,
    hosts: Sequence[str],
    probe: Mapping[str, Any],
) -> str:
    """The document for `host`, one of `hosts`, as JSON on one line.

    `edge` is the edge's image by digest.

    Raises:
        SlipwayError: when it breaks the contract.
    """
    services, login = application.services_of(host), settings.registry_login()
    beside = [name for name in application.beside if name in services]
    document = {
        "contract": CONTRACT,
        "stack": application.stack,
        "host": host,
        "release": release,
        "services": services,
        "secrets": {name: settings.secrets[name].get_secret_value() for name in application.secrets},
        "registries": [{"address": address_of(settings.registry), **login}] if login else [],
        "options": {
            "deadline": settings.deadline,
            "health_deadline": settings.health_deadline,
            "lock_wait": settings.lock_wait,
            "retention": settings.retention,
            "disk_minimum_mb": settings.disk_minimum_mb,
        },
        "convergence": _token(probe, release["id"]),
        "edge": edge_document(settings, edge, services, application),
        "watch": watch_document(settings, lambda: commit_words(settings.application, str(release["commit"]))),
        **({"move_from": list(settings.move_from), "move_beside": beside} if settings.move_from else {}),
        "fleet": {"hosts": list(hosts), "leader": _leader(application, hosts)} if len(hosts) > 1 else None,
    }
    live = probe["live"]
    if probe.get("owner") or live is None or live["release"] != release["id"]:
        document["owner"] = settings.owner  # what an older Slipway deployed is no other document until it changes
    # one text for one document: a release that comes from the state has its keys in another order
    return canonical(checked("deployment", document)).decode()


def _leader(application: Application, hosts: Sequence[str]) -> str:
    """The host that runs the migrations: the first that runs a service with one, else the first."""
    migrated = {name for name, entry in application.entries.items() if entry["migrate"]}
    return next((host for host in hosts if migrated.intersection(application.services_of(host))), hosts[0])


def drift_of(probe: Mapping[str, Any]) -> list[str]:
    """Where a host differs from the release that it was given, in words; empty when it does not."""
    differences = [f"{entry['service']}: {entry['what']}" for entry in probe["drift"]]
    if returned := probe.get("returned"):
        differences.append(f"the watch rolled back to release {returned['to']} ({returned['reason']})")
    if probe["interrupted"]:
        differences.append(f"a deployment was interrupted ({probe['interrupted']})")
    return differences


def _token(probe: Mapping[str, Any], release: str) -> str:
    """The host's own token while it runs `release` without drift, else a new one that no state can hold yet.

    Also after an update that failed: the host writes down the next success only where the token is another.
    """
    live, failed = probe["live"], (probe["last"] or {}).get("outcome") == FAILED
    if live is not None and live["release"] == release and not (failed or drift_of(probe)):
        return str(probe["convergence"])
    return f"c-{randomness.token_hex(8)}"


def edge_document(settings: Settings, image: str, services: Sequence[str], application: Application) -> Any:  # noqa: ANN401
    """`edge` of the document for a host that runs these services; None when none of them has a route."""
    if not any(application.entries[service]["routes"] for service in services):
        return None
    hosts = {route["host"] for service in services for route in application.entries[service]["routes"]}
    # The stacks of a host share a set of certificates: one for no route of this stack would be for those of others.
    own = (
        settings.https
        and settings.certificate
        and any(not each or covers(settings.certificate, each) for each in hosts)
    )
    acme = {
        "email": settings.acme_email,
        "server": settings.acme_server or (_STAGING if settings.acme_staging else _PUBLIC),
        "ca": settings.acme_ca,
    }
    certificate = {"certificate": settings.certificate, "key": settings.certificate_key.get_secret_value()}
    return {
        "image": image,
        "version": edge_version(image),
        "http_port": settings.http_port,
        "https_port": settings.https_port,
        "https": settings.https,
        "acme": acme if settings.https and settings.acme_email and not own else None,
        "certificates": [certificate] if own else [],
        **({"trusted_proxies": networks_of(settings.trusted_proxies)} if settings.trusted_proxies else {}),
        **({"neighbours": sorted(set(settings.neighbours))} if settings.neighbours else {}),
    }


def route_urls(settings: Settings, application: Application, hosts: Sequence[HostSettings]) -> list[str]:
    """Where the routes answer: by their host name, and without one at every host that runs the service."""
    scheme, port, usual = ("https", settings.https_port, 443) if settings.https else ("http", settings.http_port, 80)
    shown = "" if port == usual else f":{port}"
    routes = [(service, route) for service, entry in sorted(application.entries.items()) for route in entry["routes"]]
    urls = (
        f"{scheme}://{route['host'] or host.authority}{shown}{_page(application, service, route)}"
        for service, route in sorted(routes, key=lambda each: bool(each[1]["path"] != "/"))  # front pages first
        for host in hosts
        if route["host"] or service in application.services_of(host.name)
    )
    return list(dict.fromkeys(urls))


def _page(application: Application, service: str, route: Mapping[str, Any]) -> str:
    """A path of a route that answers: below a prefix that is the page of an HTTP smoke check, where there is one."""
    prefix = route["path"].rstrip("/")
    for check in application.entries[service]["smoke"] or () if prefix else ():
        if check["kind"] == "http" and check["status"] in range(200, 300) and ".." not in check["path"]:
            page = prefix + check["path"] if route["strip"] else check["path"]
            if f"{page}/".startswith(f"{prefix}/"):
                return str(page)
    return str(route["path"])


def port_urls(settings: Settings, application: Application, hosts: Sequence[HostSettings]) -> list[str]:
    """`http://ADDRESS:PORT` of every published port whose service has an HTTP smoke check."""
    urls = []
    for service, entry in sorted(application.document["services"].items()):
        if any(check["kind"] == "http" for check in application.entries[service]["smoke"] or ()):
            running = [host for host in hosts if service in application.services_of(host.name)]
            for port, host in itertools.product(published_ports(entry), running):
                name = settings.domain if settings.domain and len(hosts) == 1 else host.authority
                urls.append(f"http://{name}:{port.first}/".replace(":80/", "/"))
    return urls
