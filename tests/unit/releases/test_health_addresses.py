"""Which addresses `slipway health` asks, and what it wants of their answers: what was deployed says it."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from slipway.hosts.deployment_document import port_urls, route_urls
from slipway.releases.health.addresses import ANSWERS, GUARDED, REDIRECTS, SERVES, targets_in
from slipway.settings.model import HostSettings, Settings
from slipway.x_slipway.service import read_extension

HOSTS = [HostSettings(name=f"web-{each}", address=f"203.0.113.{each}") for each in (1, 2)]


def outputs(
    services: dict[str, Any], ports: dict[str, Any] | None = None, hosts: int = 2, **options: Any
) -> dict[str, Any]:
    """The outputs of a deployment of services with these `x-slipway` blocks, as the state has them."""
    settings = Settings(stack="staging", hosts=HOSTS[:hosts], **options)
    entries = {}
    for name, block in services.items():
        extension, problems = read_extension(name, block)
        assert not problems
        entries[name] = extension.document(domain=settings.domain)
    compose = {name: {"ports": (ports or {}).get(name, [])} for name in services}
    application: Any = SimpleNamespace(
        entries=entries, document={"services": compose}, services_of=lambda _: list(services)
    )
    urls = [*route_urls(settings, application, settings.hosts), *port_urls(settings, application, settings.hosts)]
    return {"urls": urls, "document": json.dumps({"services": entries, "compose": {"services": compose}})}


def asked(found: dict[str, Any], *, login: bool = False) -> dict[str, list[Any]]:
    """Address → what its answer must be: the kind; of an HTTP check the status and what else."""
    return {
        target.url: [
            each["kind"] if each["kind"] != "http" else (each["status"], each.get("contains") or each.get("json") or "")
            for each in target.checks
        ]
        for target in targets_in(found, login=login)
    }


HEALTHZ = {"http": {"path": "/healthz?deep=1", "contains": "well"}}
ANY, SERVING = [ANSWERS["kind"]], [SERVES["kind"]]
TLS: dict[str, Any] = {"https": True, "domain": "shop.example.com"}


@pytest.mark.parametrize(
    ("block", "options", "wanted"),
    [
        ({"route": "/", "port": 80}, TLS, {"https://shop.example.com/": SERVING}),
        ({"route": "/", "port": 80}, {}, {"http://203.0.113.1/": SERVING, "http://203.0.113.2/": SERVING}),
        ({"route": "/", "port": 80, "smoke": "off"}, TLS, {"https://shop.example.com/": ANY}),
        (
            {"route": "/", "port": 80, "smoke": [HEALTHZ, {"tcp": {}}]},
            {**TLS, "https_port": 8443},
            {"https://shop.example.com:8443/healthz?deep=1": [(200, "well")]},
        ),
        (
            {"route": "/", "port": 80, "smoke": [HEALTHZ, {"http": {"path": "/healthz?deep=1", "json": {"a": 1}}}]},
            TLS,
            {"https://shop.example.com/healthz?deep=1": [(200, "well"), (200, {"a": 1})]},
        ),
        # of another port, of another route's host name, or not below the route's path: nothing that visitors reach
        ({"route": "/", "port": 80, "smoke": [{"http": {"port": 81}}]}, TLS, {"https://shop.example.com/": SERVING}),
        ({"route": "/api", "port": 80, "smoke": [HEALTHZ]}, TLS, {"https://shop.example.com/api": SERVING}),
        (
            {"route": ["a.example.com", "b.example.com"], "port": 80, "smoke": [{"http": {"host": "b.example.com"}}]},
            TLS,
            {"https://a.example.com/": SERVING, "https://b.example.com/": [(200, "")]},
        ),
        (
            {"route": {"path": "/api", "strip": True}, "port": 80, "smoke": [HEALTHZ]},
            TLS,
            {"https://shop.example.com/api/healthz?deep=1": [(200, "well")]},
        ),
        (
            {"route": "/", "port": 80, "redirect": [{"from": ["www.example.com"], "to": "https://shop.example.com/x"}]},
            TLS,
            {"https://shop.example.com/": SERVING, "https://www.example.com/": [REDIRECTS]},
        ),
        (
            {"route": "/", "port": 80, "smoke": [HEALTHZ], "ipAllowList": ["203.0.113.0/24"]},
            TLS,
            {"https://shop.example.com/healthz?deep=1": SERVING},
        ),
    ],
)
def test_what_is_asked_is_what_visitors_reach_of_a_service(
    block: dict[str, Any], options: dict[str, Any], wanted: dict[str, Any]
) -> None:
    assert asked(outputs({"web": block}, **options)) == wanted


def test_a_page_that_another_services_route_takes_is_not_asked_in_its_name() -> None:
    found = outputs(
        {
            "web": {"route": "/", "port": 80, "smoke": [{"http": {"path": "/api/web", "contains": "web"}}]},
            "api": {"route": "/api", "port": 81, "smoke": [{"http": {"path": "/api/health", "contains": "api"}}]},
        },
        **TLS,
    )
    assert asked(found) == {
        "https://shop.example.com/": SERVING,
        "https://shop.example.com/api/health": [(200, "api")],
    }


def test_a_service_behind_a_password_is_asked_for_it_or_with_it() -> None:
    block = {"route": "/", "port": 80, "smoke": [HEALTHZ], "basicAuth": "USERS"}
    redirect = {"redirect": {"from": "www.example.com", "to": "shop.example.com"}}
    found = outputs({"web": {**block, **redirect}}, **TLS)
    page, www = "https://shop.example.com/healthz?deep=1", "https://www.example.com/"
    assert asked(found) == {page: [(GUARDED["status"], "")], www: [REDIRECTS]}
    assert asked(found, login=True) == {page: [(200, "well")], www: [REDIRECTS]}
    assert {each.url: each.login for each in targets_in(found, login=True)} == {page: True, www: False}
    assert not any(each.login for each in targets_in(found))


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ({"published": "8080"}, ["http://203.0.113.1:8080/healthz?deep=1", "http://203.0.113.2:8080/healthz?deep=1"]),
        ({"published": "8080", "host_ip": "127.0.0.1"}, []),
        ({"published": "8080", "target": 9000}, []),
        ({"published": ""}, []),
    ],
)
def test_a_published_port_is_asked_where_a_check_says_that_it_speaks_http(
    entry: dict[str, Any], wanted: list[str]
) -> None:
    blocks = {"web": {"port": 80, "smoke": [HEALTHZ]}, "db": {}}
    found = outputs(blocks, {"web": [{"target": 80, **entry}], "db": [{"target": 5432, "published": "5432"}]})
    assert asked(found) == {url: [(200, "well")] for url in wanted}


def test_a_port_beside_a_route_is_not_taken_for_it() -> None:
    blocks = {"web": {"route": "/", "port": 80}, "admin": {"port": 90, "smoke": [{"http": {"status": 401}}]}}
    found = outputs(blocks, {"admin": [{"target": 90, "published": "9090"}]})
    assert {url: checks for url, checks in asked(found).items() if "113.1" in url} == {
        "http://203.0.113.1/": SERVING,
        "http://203.0.113.1:9090/": [(401, "")],
    }
    found = outputs(blocks, {"admin": [{"target": 90, "published": "9090"}]}, hosts=1, domain="shop.example.com")
    assert asked(found) == {"http://shop.example.com/": SERVING, "http://shop.example.com:9090/": [(401, "")]}
