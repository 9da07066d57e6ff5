"""Labels of the previous proxy, and which of them no route replaces."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.x_slipway.proxy_labels import is_proxy_label, is_proxy_variable, unguarded, unreplaced_labels

RULE = "traefik.http.routers.web.rule"
PORT = {"traefik.http.services.web.loadbalancer.server.port": "3000"}
ROUTE = "set `x-slipway: {{route: {}, port: {}}}` in services.web of the Compose file"


def service(labels: dict[str, str], **more: Any) -> dict[str, Any]:
    return {"image": "nginx", "labels": labels, **more}


@pytest.mark.parametrize(
    ("variables", "route", "port"),
    [
        ({"VIRTUAL_HOST": "shop.test"}, "shop.test", "CONTAINER-PORT"),
        ({"VIRTUAL_HOST": "Shop.test, b.test", "VIRTUAL_PORT": "3000"}, '["shop.test", "b.test"]', "3000"),
        ({"VIRTUAL_HOST": "~^shop\\..*"}, "HOST", "CONTAINER-PORT"),
    ],
)
def test_a_variable_of_nginx_proxy_is_named_like_a_label(variables: dict[str, str], route: str, port: str) -> None:
    web = {"image": "nginx", "environment": variables}
    [found] = unreplaced_labels({"web": web}, "")
    assert found.fix == ROUTE.format(route, port)
    assert found.problem().what.startswith("services.web has the variable VIRTUAL_HOST=")
    assert list(unreplaced_labels({"web": {**web, "x-slipway": {"route": "/", "port": 1}}}, "")) == []


@pytest.mark.parametrize("variables", [{}, {"VIRTUAL_HOST": ""}, {"VIRTUAL_ENV": "/venv"}, {"VIRTUAL_PORT": "80"}])
def test_variables_that_no_proxy_acts_on_are_no_reason_to_stop(variables: dict[str, str]) -> None:
    assert list(unreplaced_labels({"web": {"image": "nginx", "environment": variables}}, "")) == []


@pytest.mark.parametrize(
    ("labels", "route", "port"),
    [
        ({RULE: "Host(`shop.test`)", **PORT}, "shop.test", "3000"),
        ({RULE: "Host(`shop.test`)"}, "shop.test", "CONTAINER-PORT"),
        ({RULE: "Host(`Shop.test`) && PathPrefix(`/api/`)", **PORT}, "shop.test/api", "3000"),
        ({RULE: "Host(`a.test`) || Host(`b.test`)", **PORT}, '["a.test", "b.test"]', "3000"),
        ({RULE: "Host(`a.test`, `b.test`)", **PORT}, '["a.test", "b.test"]', "3000"),
        ({RULE: 'Host("a.test") && !Host(`no.test`)', **PORT}, "a.test", "3000"),
        ({RULE: "Host(`münchen.test`)", **PORT}, "xn--mnchen-3ya.test", "3000"),
        ({RULE: f"Host(`{'a' * 70}.test`)" + "Host(" * 3000, **PORT}, "HOST", "3000"),
        ({RULE: "PathPrefix(`/api`)", **PORT}, "/api", "3000"),
        ({RULE: "HostRegexp(`.+\\.shop.test`)", **PORT}, "HOST", "3000"),
        ({RULE: "Host(`${HIDDEN}`)", **PORT}, "HOST", "3000"),
        ({RULE: "", **PORT}, "HOST", "3000"),
        ({RULE.upper(): "Host(`shop.test`)"}, "shop.test", "CONTAINER-PORT"),
        ({"traefik.enable": "true"}, "HOST", "CONTAINER-PORT"),
        ({"traefik.enable": "true", "traefik.http.routers.web.tls": "true", **PORT}, "HOST", "3000"),
        (PORT, "HOST", "3000"),
        ({"traefik.frontend.rule": "Host:a.test,b.test", "traefik.port": "80"}, '["a.test", "b.test"]', "80"),
        ({"caddy": "shop.test", "caddy.reverse_proxy": "{{upstreams 3000}}"}, "shop.test", "3000"),
        ({"caddy_1": "https://a.test:8443/x/*, b.test", "caddy_1.reverse_proxy": "{{upstreams http 80}}"},
         '["a.test", "b.test"]', "80"),
        ({"caddy": "http://a.test/x/*", "caddy.route": ""}, "a.test/x", "CONTAINER-PORT"),
        ({RULE: "Host(`a.test`) && (PathPrefix(`/a`) || PathPrefix(`/b`))", **PORT}, "a.test", "3000"),
    ],
)  # fmt: skip
def test_a_label_without_a_route_is_named_with_the_route_that_replaces_it(
    labels: dict[str, str], route: str, port: str
) -> None:
    [found] = unreplaced_labels({"web": service(labels)}, "")
    assert found.fix == ROUTE.format(route, port)
    assert not found.routed
    what, meaning, fix = found.problem()[:3]
    assert what.startswith("services.web has the label ")
    assert "visitors would get 404" in meaning
    assert fix == found.fix
    assert list(unreplaced_labels({"web": service(labels, **{"x-slipway": {"route": "/", "port": 1}})}, "")) == []


@pytest.mark.parametrize(
    ("ports", "port"),
    [({"expose": ["9000"]}, "9000"), ({"ports": [{"target": 80, "published": "8080"}]}, "80"), ({}, "CONTAINER-PORT")],
)
def test_the_port_is_the_one_that_the_file_knows(ports: dict[str, Any], port: str) -> None:
    [found] = unreplaced_labels({"web": service({RULE: "Host(`a.test`)"}, **ports)}, "")
    assert found.fix == ROUTE.format("a.test", port)


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {"team": "a", "traefikish": "x"},
        {"traefik.enable": "false", RULE: "Host(`shop.test`)"},
        {"traefik.enable": "False", RULE: "Host(`shop.test`)"},
        {"traefik.docker.network": "proxy"},
        {"traefik.http.middlewares.auth.basicauth.users": "x"},
        {RULE: "Host(`shop.test`)", "traefik.http.routers.web.service": "api@internal"},
        {"caddy": "(snippet)"},
        {"caddy.reverse_proxy": "{{upstreams 80}}"},
    ],
)
def test_labels_that_lead_nobody_to_the_service_are_no_reason_to_stop(labels: dict[str, str]) -> None:
    assert list(unreplaced_labels({"web": service(labels)}, "")) == []


@pytest.mark.parametrize(
    ("block", "domain", "missing"),
    [
        ({"route": "a.test", "port": 1}, "", ("b.test",)),
        ({"route": ["a.test", "b.test"], "port": 1}, "", ()),
        ({"route": "/", "port": 1}, "", ()),
        ({"route": "/", "port": 1}, "a.test", ("b.test",)),
        ({"route": "a.test", "redirect": {"from": "b.test", "to": "a.test"}, "port": 1}, "", ()),
    ],
)
def test_a_route_for_only_some_of_the_names_is_said(
    block: dict[str, Any], domain: str, missing: tuple[str, ...]
) -> None:
    labels = {RULE: "Host(`a.test`) || Host(`b.test`)"}
    found = list(unreplaced_labels({"web": service(labels, **{"x-slipway": block})}, domain))
    assert [each.hosts for each in found] == [missing] * bool(missing)
    for each in found:
        assert each.routed
        assert each.fix == "add b.test to `route` in services.web.x-slipway of the Compose file"
        assert "no route takes its place for b.test" in each.problem().meaning


@pytest.mark.parametrize(
    ("rule", "route", "refused"),
    [
        ("Host(`a.test`)", "a.test", False),
        ("Host(`a.test`)", "b.test", True),
        ("Host(`a.test`) && PathPrefix(`/api`)", "a.test", True),
        ("Host(`a.test`) && PathPrefix(`/api`)", "a.test/api", False),
        ("PathPrefix(`/api`)", "/api", False),
        ("HostRegexp(`.+`)", "/", False),
    ],
)
def test_the_route_of_another_service_counts_where_it_is_the_same(rule: str, route: str, *, refused: bool) -> None:
    front = {"image": "nginx", "x-slipway": {"route": route, "port": 80}}
    assert bool(list(unreplaced_labels({"web": service({RULE: rule}), "front": front}, ""))) is refused


@pytest.mark.parametrize("label", ["traefik.tcp.routers.db.rule", "traefik.udp.routers.dns.entrypoints"])
def test_what_is_no_http_needs_a_port_of_its_own(label: str) -> None:
    [found] = unreplaced_labels({"web": service({label: "HostSNI(`*`)", "traefik.enable": "true"})}, "")
    assert "passes on HTTP alone" in found.problem().meaning
    assert found.fix == "set `ports` in services.web of the Compose file"
    assert (
        list(unreplaced_labels({"web": service({label: "x"}, ports=[{"target": 5432, "published": "5432"}])}, "")) == []
    )


@pytest.mark.parametrize(
    ("label", "key"),
    [
        ("traefik.http.middlewares.auth.basicauth.users", "basicAuth"),
        ("traefik.http.middlewares.auth.BasicAuth.usersFile", "basicAuth"),
        ("traefik.http.middlewares.auth.digestauth.users", "basicAuth"),
        ("traefik.http.middlewares.vpn.ipallowlist.sourcerange", "ipAllowList"),
        ("traefik.http.middlewares.vpn.ipwhitelist.sourcerange", "ipAllowList"),
        ("traefik.http.middlewares.sso.forwardauth.address", ""),
        ("traefik.frontend.auth.basic.users", "basicAuth"),
        ("caddy.basic_auth.admin", "basicAuth"),
    ],
)
def test_a_guard_that_nothing_replaces_is_said_without_its_value(label: str, key: str) -> None:
    block = {"route": "/", "port": 80}
    [problem] = unguarded({"web": service({label: "admin:$apr1$x"}, **{"x-slipway": block})})
    assert label.lower() in problem.what
    assert "apr1" not in str(problem)
    given = {"basicAuth": "PASSWORDS", "ipAllowList": ["10.0.0.0/8"]}
    replaced = {**block, **({key: given[key]} if key else {"basicAuth": "PASSWORDS"})}
    assert list(unguarded({"web": service({label: "x"}, **{"x-slipway": replaced})})) == []
    assert list(unguarded({"web": service({label: "x"})})) == []  # nobody reaches it


def test_every_spelling_is_a_label_of_a_proxy() -> None:
    assert list(map(is_proxy_label, ["traefik.enable", "Traefik.Enable", "caddy", "caddy_0.tls", "team"])) == [
        True, True, True, True, False,
    ]  # fmt: skip


def test_a_variable_is_no_label() -> None:
    named = ["CADDY_GLOBAL_OPTIONS", "caddy_admin", "traefik.x", "VIRTUAL_HOST", "LETSENCRYPT_HOST"]
    assert list(map(is_proxy_variable, named)) == [False, False, False, True, True]


def test_a_route_of_another_service_for_every_name_does_not_hide_a_lost_one() -> None:
    services = {
        "web": service({RULE: "Host(`shop.com`) || Host(`www.shop.com`)"},
                       **{"x-slipway": {"route": "www.shop.com", "port": 80}}),
        "status": service({}, **{"x-slipway": {"route": "/status", "port": 80}}),
    }  # fmt: skip
    [found] = unreplaced_labels(services, "")
    assert (found.hosts, found.routed) == (("shop.com",), True)
