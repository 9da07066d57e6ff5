"""What the edge is asked for: rules, weights, priorities, versions; and what Traefik's counters say."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from certified import certificate
from cryptography import x509

from slipway.agent.docker.docker_api import PROJECT_LABEL
from slipway.agent.edge import metrics, network
from slipway.agent.edge.containers import EdgeContainers
from slipway.agent.edge.edge_dir import EdgeFolder
from slipway.agent.edge.metrics import Target
from slipway.agent.edge.rendering import Ports, dynamic, marker, read, text
from slipway.agent.edge.routing import Backend, Preview, Routing, ServiceRouting, from_json, to_json
from slipway.agent.edge.secret_files import (
    accept_certificate,
    check_certificates,
    drop_other_certificates,
    end_of,
    names_of,
    write_certificates,
)
from slipway.agent.edge.static_config import Desired, desired, resolver_name, shared, static
from slipway.agent.output import Output
from slipway.contract.deployment import Acme, Certificate, EdgeRequest, Middlewares, RateLimit, Redirect, Route
from slipway.contract.problems import SlipwayError, UsageError

OLD, NEW = Backend("g1", 75, ("10.0.0.2:80",)), Backend("g2", 25, ("10.0.0.3:80", "10.0.0.4:80"))
PORTS = Ports(80, 443)
EVERYTHING = Routing(
    (
        ServiceRouting(
            "web",
            (Route("a.test", "/x", strip=True), Route("", "/")),
            (OLD, NEW),
            Middlewares((Redirect("b.test", "a.test", permanent=False),), "u:p", ("::/0",), RateLimit(1, 2, 0.5), 9),
            sticky=True,
            preview=Preview("next.test", "g2"),
            https=True,
            resolver="acme-1",
        ),
        ServiceRouting("api", (Route("c.test"),), (OLD,)),
    ),
    "<p>{{ soon }} \x7f\u2028🚧</p>",
)  # fmt: skip


def rendered(service: ServiceRouting, *, ports: Ports = PORTS, **more: Any) -> dict[str, Any]:
    http: dict[str, Any] = dynamic("shop", Routing((service,), **more), ports=ports, users={})["http"]
    return http


def web(*routes: Route, backends: tuple[Backend, ...] = (OLD, NEW), **more: Any) -> ServiceRouting:
    return ServiceRouting("web", routes or (Route("a.test"),), backends, **more)


def test_what_was_written_is_read_back_from_the_file() -> None:
    content = text(dynamic("shop", EVERYTHING, ports=PORTS, users={}), marker("shop", "1"), EVERYTHING)
    found = read(content)
    assert found is not None
    assert (found.marker, found.routing) == ("shop~live-1", EVERYTHING)
    assert from_json(json.loads(json.dumps(to_json(EVERYTHING)))) == EVERYTHING


def test_file_is_yaml_without_templates_and_with_the_marker() -> None:
    content = text(dynamic("shop", EVERYTHING, ports=PORTS, users={}), "shop~live-1", EVERYTHING)
    assert b"{{" not in content
    read_back = yaml.safe_load(content)["http"]["middlewares"]
    assert "shop~live-1" in read_back
    assert read_back["shop~maintenance"] == {"plugin": {"maintenance": {"page": EVERYTHING.maintenance}}}


def test_a_containers_image_cannot_make_it_the_edge() -> None:
    """Labels of an image are its container's too, and an image may be a stranger's; Compose always sets its own."""
    edge = {
        f"{network.EDGE_LABEL}.{name}": value
        for name, value in {"number": "3", "api-port": "8650", "http-port": "80", "configuration": "c", "version": "v",
                            "image": "i"}.items()
    }  # fmt: skip
    listed = [
        {"Id": "real", "Names": ["/slipway-edge-1-3"], "State": "running", "Labels": edge},
        {"Id": "claims", "Names": ["/shop-web-1"], "State": "running",
         "Labels": {**edge, f"{network.EDGE_LABEL}.number": "999", PROJECT_LABEL: "shop"}},
        {"Id": "broken", "Names": ["/shop-db-1"], "State": "running", "Labels": {PROJECT_LABEL: ""}},
    ]  # fmt: skip

    class Api:
        def containers(self, labels: dict[str, str]) -> list[dict[str, Any]]:
            assert list(labels) == [network.EDGE_LABEL]
            return listed

    api: Any = Api()
    assert [each.id for each in EdgeContainers(api, EdgeFolder()).find()] == ["real"]


def test_foreign_file_is_not_read() -> None:
    assert read(b"http: {}\n") is None
    assert read(b"# slipway: {}\n{}") is None


@pytest.mark.parametrize(
    ("route", "rule"),
    [
        (Route("", "/"), "PathPrefix(`/`)"),
        (Route("a.test", "/"), "Host(`a.test`)"),
        (Route("a.test", "/x"), "Host(`a.test`) && (Path(`/x`) || PathPrefix(`/x/`))"),
        (Route("", "/x/"), "(Path(`/x`) || PathPrefix(`/x/`))"),
        (Route("", "/`"), '(Path("/`") || PathPrefix("/`/"))'),
    ],
)
def test_rule_of_a_route(route: Route, rule: str) -> None:
    assert rendered(web(route))["routers"]["shop~web~route-0"]["rule"] == rule


def test_host_outranks_path_and_longer_outranks_shorter() -> None:
    ordered = [Route("", "/"), Route("", "/a"), Route("", "/a/b" * 100), Route("h.test"), Route("h.test", "/a")]
    routers = rendered(web(*ordered))["routers"]
    priorities = [routers[f"shop~web~route-{number}"]["priority"] for number in range(len(ordered))]
    assert priorities == sorted(set(priorities))
    assert min(router["priority"] for name, router in routers.items() if "~probe-" in name) > max(priorities)


def test_generation_without_weight_gets_no_request_but_can_be_probed() -> None:
    http = rendered(web(backends=(OLD, NEW._replace(weight=0))))
    assert http["services"]["shop~web"]["weighted"]["services"] == [{"name": "shop~web~g1", "weight": 75}]
    probe = http["routers"]["shop~web~probe-0-g2"]
    assert (probe["service"], probe["entryPoints"]) == ("shop~web~g2", ["web"])
    assert probe["rule"] == "Header(`X-Slipway-Generation`, `g2`) && ClientIP(`127.0.0.1`) && Host(`a.test`)"


def test_service_without_any_weight_is_still_a_service() -> None:
    assert rendered(web(backends=()))["services"]["shop~web"]["loadBalancer"]["servers"] == []


def test_names_of_two_stacks_never_meet() -> None:
    one = dynamic("a-b", Routing((ServiceRouting("c", (Route("x.test"),), (OLD,)),)), ports=PORTS, users={})
    two = dynamic("a", Routing((ServiceRouting("b-c", (Route("x.test"),), (OLD,)),)), ports=PORTS, users={})
    for kind in ("routers", "services", "middlewares"):
        assert not set(one["http"][kind]) & set(two["http"][kind])


@pytest.mark.parametrize(("ports", "more"), [(PORTS, {}), (Ports(8080, 8443), {"port": "8443"})])
def test_plain_http_leads_to_https(ports: Ports, more: dict[str, str]) -> None:
    http = rendered(web(https=True, resolver="acme-1"), ports=ports)
    assert http["routers"]["shop~web~route-0"]["entryPoints"] == ["websecure"]
    assert http["routers"]["shop~web~route-0"]["tls"] == {"certResolver": "acme-1"}
    plain = http["routers"]["shop~web~route-0-http"]
    assert (plain["entryPoints"], plain["middlewares"]) == (["web"], ["shop~web~https"])
    assert http["middlewares"]["shop~web~https"] == {"redirectScheme": {"scheme": "https", "permanent": True, **more}}


def test_route_for_any_host_asks_for_no_certificate() -> None:
    http = rendered(web(Route("", "/"), https=True, resolver="acme-1"))
    assert http["routers"]["shop~web~route-0"]["tls"] == {}


@pytest.mark.parametrize(
    ("target", "https", "replacement"),
    [
        ("a.test", False, "http://a.test:8080${1}"),
        ("a.test", True, "https://a.test${1}"),
        ("https://x.test/$a/", False, "https://x.test/$$a${1}"),
    ],
)
def test_redirect_of_a_host(target: str, https: bool, replacement: str) -> None:  # noqa: FBT001 - a case's value
    ways = Middlewares(redirects=(Redirect("b.test", target, permanent=True),))
    http = rendered(web(middlewares=ways, https=https), ports=Ports(8080, 443))
    assert http["middlewares"]["shop~web~redirect-0"]["redirectRegex"]["replacement"] == replacement
    assert ("shop~web~redirect-0" in http["routers"]) is https


def test_maintenance_answers_for_every_route_but_not_for_probes() -> None:
    http = rendered(web(preview=Preview("next.test", "g2")), maintenance="<p>")
    for name, router in http["routers"].items():
        assert (router["middlewares"] == ["shop~maintenance"]) is ("~probe-" not in name), name


def test_secret_of_basic_auth_is_in_no_middleware() -> None:
    http = dynamic("shop", EVERYTHING, ports=PORTS, users={"web": "/edge/credentials/shop/web-1"})["http"]
    assert http["middlewares"]["shop~web~auth"]["basicAuth"]["usersFile"] == "/edge/credentials/shop/web-1"
    assert "u:p" not in json.dumps(http)


def test_middlewares_of_the_document_become_ours() -> None:
    wanted = {
        "redirects": [{"from": "b.test", "to": "a.test", "permanent": True}],
        "basic_auth": "USERS",
        "ip_allow_list": ["10.0.0.0/8"],
        "rate_limit": {"average": 1, "burst": 2, "period": 1},
        "max_body": 5,
        "security_headers": True,
    }
    assert Middlewares.from_json(wanted) == Middlewares(
        (Redirect("b.test", "a.test", permanent=True),),
        "USERS",
        ("10.0.0.0/8",),
        RateLimit(1, 2, 1),
        5,
        security_headers=True,
    )


def wish(version: str = "3.6.0", image: str = "", **more: Any) -> EdgeRequest:
    values = {"http_port": 80, "https_port": 443, "https": False, **more}
    return EdgeRequest(image=image or f"traefik@{version}", version=version, **values)


PLAIN = " && !PathRegexp("
GUARDS = [
    Middlewares(ip_allow_list=("::1",)),
    Middlewares(basic_auth="a:b"),
    Middlewares(rate_limit=RateLimit(1, 1, 1)),
]


@pytest.mark.parametrize("guard", GUARDS, ids=["allow list", "password", "limit"])
@pytest.mark.parametrize(
    ("open_route", "guarded_route", "exact"),
    [
        (Route("a.test"), Route("a.test", "/admin"), True),
        (Route("a.test", "/public"), Route("a.test"), True),
        (Route(""), Route("a.test", "/admin"), True),
        (Route("a.test"), Route("", "/admin"), True),
        (Route("b.test"), Route("a.test", "/admin"), False),
    ],
)
def test_an_encoded_path_does_not_lead_around_what_guards_another_service_of_that_host(
    guard: Middlewares, open_route: Route, guarded_route: Route, *, exact: bool
) -> None:
    seen_early = web(open_route, preview=Preview("next.test", "g2"))
    services = (seen_early, ServiceRouting("admin", (guarded_route,), (OLD,), guard))
    routers = dynamic("shop", Routing(services), ports=PORTS, users={})["http"]["routers"]
    rules = [router["rule"] for name, router in routers.items() if name.startswith("shop~web~")]
    assert {PLAIN in rule for rule in rules} == {exact}
    assert not any(PLAIN in router["rule"] for name, router in routers.items() if name.startswith("shop~admin~"))


@pytest.mark.parametrize(
    ("path", "open_path", "guarded_path", "passes"),
    [
        *((path, "", "/admin", False) for path in (
            "/admin%2Fx", "/admin\\x", "/admin\0", "/x/..;/admin", "/x/..;a=b/admin", "/x/..%3B/admin", "/ADMIN",
            "/Admin/x", "/admin;x", "/admin;x/y", "/admin%3bx", "/;x/admin", "/.;x/admin/y", "/admin ", "/admin /x",
            "/admin\n", "/x\r/admin", "/\x7fadmin", "/%2561dmin", "/x/..%252fadmin", "/x/%252e%252e/admin",
        )),
        *((path, "", "/admin", True) for path in (
            "/", "/administrator", "/page;jsessionid=1", "/x/admin", "/a..b", "/admin-x",
            "/a b/c ", "/100%25", "/100%25 off",
        )),
        ("/api;v=1/Keys;x", "/api", "/api/keys", False),
        ("/api/Public", "/api", "/api/keys", True),
        ("/admin/open/x", "/admin/open", "/admin", True),
        ("/ADMIN/open/x", "/admin/open", "/admin", True),
        ("/c++;x", "", "/c++", False),
    ],
)  # fmt: skip
def test_only_a_path_that_no_application_reads_as_the_guarded_one_passes(
    path: str, open_path: str, guarded_path: str, *, passes: bool
) -> None:
    services = (
        web(Route("a.test", open_path)),
        ServiceRouting("admin", (Route("a.test", guarded_path),), (OLD,), GUARDS[0]),
    )
    rule = dynamic("shop", Routing(services), ports=PORTS, users={})["http"]["routers"]["shop~web~route-0"]["rule"]
    assert (re.search(rule.partition(PLAIN)[2][1:-2], path) is None) is passes


@pytest.mark.parametrize(
    ("open_path", "guarded_path", "shown", "hidden"),
    [
        ("", "/admin", ["/", "/a", "/administrator"], ["/admin", "/admin/x", "/ADMIN", "/admin;x", "/a%2fb"]),
        ("/shop", "/admin", ["/shop", "/shop/admin", "/assets"], ["/admin", "/shop/..;/admin"]),
        ("/shop", "/shop/admin", ["/shop/x", "/x"], ["/shop/admin", "/shop/Admin/x"]),
        ("/admin/open", "/admin", ["/admin/open", "/admin/open/x", "/x"], ["/admin", "/admin/x", "/ADMIN/open"]),
        ("/public", "/", ["/public", "/public/x"], ["/", "/x", "/publicity"]),
    ],
)
def test_a_preview_shows_nothing_of_what_another_service_of_that_host_guards(
    open_path: str, guarded_path: str, shown: list[str], hidden: list[str]
) -> None:
    services = (
        web(Route("a.test", open_path), preview=Preview("next.test", "g2")),
        ServiceRouting("admin", (Route("a.test", guarded_path),), (OLD,), GUARDS[0]),
    )
    rule = dynamic("shop", Routing(services), ports=PORTS, users={})["http"]["routers"]["shop~web~preview"]["rule"]
    assert rule.startswith("Host(`next.test`) && (")

    def serves(path: str) -> bool:
        def holds(found: re.Match[str]) -> str:
            kind, wanted = found.groups()
            return str({
                "Host": True, "Path": path == wanted, "PathPrefix": path.startswith(wanted),
                "PathRegexp": re.search(wanted, path) is not None,
            }[kind])  # fmt: skip

        words = re.sub(r"(\w+)\(`([^`]*)`\)", holds, rule)
        return bool(eval(words.replace("&&", "and").replace("||", "or").replace("!", "not ")))  # noqa: S307  # ours

    assert {path: serves(path) for path in (*shown, *hidden)} == {path: path in shown for path in (*shown, *hidden)}


@pytest.mark.parametrize("ways", [Middlewares(max_body=9), Middlewares(security_headers=True), Middlewares()])
def test_encoded_paths_reach_the_application_where_nothing_is_guarded(ways: Middlewares) -> None:
    services = (
        web(Route("a.test"), middlewares=GUARDS[0]),
        ServiceRouting("api", (Route("a.test", "/api"),), (), ways),
    )
    routers = dynamic("shop", Routing(services), ports=PORTS, users={})["http"]["routers"]
    assert PLAIN not in routers["shop~web~route-0"]["rule"]


@pytest.mark.parametrize(
    ("version", "stated"), [("3.6.0", False), ("3.6.3", False), ("3.6.4", True), ("3.7.13", True), ("3.10.0-rc1", True)]
)
def test_what_the_edge_does_with_encoded_characters_is_no_matter_of_its_version(version: str, *, stated: bool) -> None:
    http = static(desired({"a": wish(version)}, "a", []), 1, 8650)["entryPoints"]["web"]["http"]
    assert ("encodedCharacters" in http) is stated
    assert set(http.get("encodedCharacters", {}).values()) <= {True}
    assert http["encodeQuerySemicolons"] is True


@pytest.mark.parametrize(
    ("version", "stated"), [("3.6.21", False), ("3.7.11", False), ("3.7.12", True), ("3.8.0", True)]
)
def test_a_visitor_cannot_say_in_other_spellings_who_he_is(version: str, *, stated: bool) -> None:
    points = static(desired({"a": wish(version, https=True)}, "a", []), 1, 8650)["entryPoints"]
    assert {points[name]["http"].get("aliasHeadersStrategy") for name in ("web", "websecure")} == {
        "delete" if stated else None
    }


def test_proxies_of_all_stacks_are_believed_and_without_any_nobody_is() -> None:
    requests = {"a": wish(trusted_proxies=("10.0.0.1",)), "b": wish(trusted_proxies=("10.0.0.0/24", "10.0.0.1"))}
    points = static(desired({**requests, "c": wish(https=True)}, "c", []), 1, 8650)["entryPoints"]
    assert [points[name]["forwardedHeaders"] for name in ("web", "websecure")] == [
        {"trustedIPs": ["10.0.0.0/24", "10.0.0.1"]}
    ] * 2
    assert "forwardedHeaders" not in static(desired({"a": wish()}, "a", []), 1, 8650)["entryPoints"]["web"]


def test_allow_lists_and_limits_count_the_visitor_that_a_proxy_names_and_else_who_connects() -> None:
    service = web(middlewares=Middlewares(ip_allow_list=("192.0.2.1",), rate_limit=RateLimit(1, 1, 1)))
    http = dynamic("shop", Routing((service,)), ports=PORTS, users={}, proxies=("10.0.0.1",))["http"]
    named, direct = (http["routers"][f"shop~web~route-0{end}"] for end in ("", "-direct"))
    assert named["rule"] == "Host(`a.test`) && HeaderRegexp(`X-Forwarded-For`, `.`)"
    assert direct["rule"] == "Host(`a.test`) && !HeaderRegexp(`X-Forwarded-For`, `.`)"
    strategy = {"ipStrategy": {"excludedIPs": ["10.0.0.1"]}}
    for router, more, criterion in ((named, strategy, {"sourceCriterion": strategy}), (direct, {}, {})):
        allow, rate = (http["middlewares"][name] for name in router["middlewares"][:2])
        assert allow == {"ipAllowList": {"sourceRange": ["192.0.2.1"], **more}}
        assert rate == {"rateLimit": {"average": 1, "burst": 1, "period": "1000ms", **criterion}}
    assert dynamic("shop", Routing((web(),)), ports=PORTS, users={}, proxies=("::1",))["http"] == rendered(web())


def test_what_a_proxy_got_over_tls_is_not_sent_there_again() -> None:
    http = dynamic("shop", Routing((web(https=True),)), ports=PORTS, users={}, proxies=("10.0.0.1",))["http"]
    over_tls = "HeaderRegexp(`X-Forwarded-Proto`, `^(https|wss)$`)"
    served, sent = http["routers"]["shop~web~route-0-proxied"], http["routers"]["shop~web~route-0-http"]
    assert (served["rule"], served["service"]) == (f"Host(`a.test`) && {over_tls}", "shop~web")
    assert (sent["rule"], sent["middlewares"]) == (f"Host(`a.test`) && !{over_tls}", ["shop~web~https"])


@pytest.mark.parametrize(
    ("streams", "way"), [(True, {"plugin": {"body": {"limit": 9}}}), (False, {"buffering": {"maxRequestBodyBytes": 9}})]
)
def test_a_limit_of_bodies_holds_back_no_answer_once_the_edge_can(way: dict[str, Any], *, streams: bool) -> None:
    routing = Routing((web(middlewares=Middlewares(max_body=9)),))
    found = dynamic("shop", routing, ports=PORTS, users={}, streams=streams)
    assert found["http"]["middlewares"]["shop~web~body"] == way


def test_a_service_is_asked_in_its_scheme() -> None:
    assert rendered(web(scheme="h2c"))["services"]["shop~web~g1"]["loadBalancer"]["servers"] == [
        {"url": f"h2c://{OLD.servers[0]}"}
    ]


def test_what_stacks_asked_for_is_kept_as_agents_of_before_can_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = EdgeFolder()
    folder.create(())
    asked = {"a": wish(acme=Acme("a@x.test", "s", "")), "b": wish(trusted_proxies=("10.0.0.1", "::1"))}
    folder.store_requests(asked)
    assert folder.requests() == asked
    kept = json.loads((Path(folder.path) / "wishes.json").read_text())
    assert set(kept["a"]) == {"image", "version", "http_port", "https_port", "https", "acme"}


@pytest.mark.parametrize(
    ("requests", "running", "image"),
    [
        ({"a": wish("3.6.0")}, [], "traefik@3.6.0"),
        ({"a": wish("3.6.0"), "b": wish("3.10.0")}, [], "traefik@3.10.0"),
        ({"a": wish("3.6.0")}, [("3.6.1", "traefik@3.6.1")], "traefik@3.6.1"),
        ({"a": wish("3.6.2")}, [("3.6.1", "traefik@3.6.1")], "traefik@3.6.2"),
        ({"a": wish(image="new")}, [("3.6.0", "old")], "new"),
        ({"a": wish(image="new"), "b": wish(image="old")}, [("3.6.0", "old")], "old"),
    ],
    ids=["alone", "newest-wins", "never-older", "newer", "rebuilt", "rebuilt-for-one-of-two"],
)
def test_image_of_the_edge(requests: dict[str, EdgeRequest], running: list[tuple[str, str]], image: str) -> None:
    assert desired(requests, "a", running).image == image


def test_port_for_tls_is_taken_only_when_somebody_wants_it() -> None:
    assert desired({"a": wish()}, "a", []).https_port is None
    assert desired({"a": wish(), "b": wish(https=True)}, "a", []).https_port == 443
    assert "websecure" not in static(desired({"a": wish()}, "a", []), 1, 8650)["entryPoints"]


def test_other_ports_than_another_stack_has_are_refused() -> None:
    with pytest.raises(SlipwayError, match="HTTP on port 80, but stack b has it on 81"):
        desired({"a": wish(), "b": wish(http_port=81)}, "a", [])
    with pytest.raises(SlipwayError, match="HTTPS"):
        desired({"a": wish(https=True), "b": wish(https=True, https_port=444)}, "a", [])
    assert desired({"a": wish(https=True), "b": wish(https_port=444)}, "a", []).https_port == 443


def test_resolvers_are_the_union_of_all_wishes() -> None:
    one, two = Acme("a@x.test", "https://ca.test/dir", ""), Acme("b@x.test", "https://ca.test/dir", "PEM")
    aim = desired({"a": wish(acme=one), "b": wish(acme=two), "c": wish(acme=one)}, "a", [])
    found = static(aim, 1, 8650)["certificatesResolvers"]
    names = {resolver_name(each) for each in (one, two)}
    assert set(found) == names
    files = [resolver["acme"].get("caCertificates") for resolver in found.values()]
    assert sum(file is not None for file in files) == 1
    assert "PEM" not in json.dumps(found)


def test_bounds_of_durations_are_a_quarter_apart() -> None:
    buckets = static(Desired("", "3.7.13", 80, None, ()), 1, 8650)["metrics"]["prometheus"]["buckets"]
    assert (buckets[0], buckets[-1] >= 30) == (0.001, True)
    assert all(1 < high / low <= 1.26 for low, high in itertools.pairwise(buckets))


def test_only_the_container_that_leaves_closes_connections() -> None:
    found = shared([1, 2], leaving=[1])["http"]["middlewares"]
    assert found["edge~1"]["headers"]["customResponseHeaders"] == {"Connection": "close"}
    assert "customResponseHeaders" not in found["edge~2"]["headers"]


METRICS = """\
# HELP traefik_service_requests_total How many requests
traefik_service_requests_total{code="200",method="GET",protocol="http",service="shop~web~g1@file"} 9
traefik_service_requests_total{code="502",method="GET",protocol="http",service="shop~web~g1@file"} 1
traefik_service_requests_total{code="101",method="GET",protocol="websocket",service="shop~web~g1@file"} 4
traefik_service_requests_total{code="200",method="GET",protocol="http",service="noop@internal"} 7
traefik_service_request_duration_seconds_bucket{code="200",method="GET",protocol="http",service="shop~web~g1@file",le="0.1"} 8
traefik_service_request_duration_seconds_bucket{code="200",method="GET",protocol="http",service="shop~web~g1@file",le="+Inf"} 9
traefik_service_request_duration_seconds_bucket{code="502",method="GET",protocol="http",service="shop~web~g1@file",le="0.1"} 1
traefik_service_request_duration_seconds_bucket{code="502",method="GET",protocol="http",service="shop~web~g1@file",le="+Inf"} 1
traefik_service_request_duration_seconds_bucket{code="101",method="GET",protocol="websocket",service="shop~web~g1@file",le="+Inf"} 4
"""  # noqa: E501 - Traefik's own lines


def test_counters_are_summed_over_codes_and_edges() -> None:
    found = metrics.traffic([METRICS, METRICS])
    assert set(found) == {Target("shop", "web", "g1")}
    traffic = found[Target("shop", "web", "g1")]
    assert (traffic.requests, traffic.errors) == (20, 2)
    assert traffic.buckets == ((0.1, 18), (float("inf"), 20))


def test_addresses_go_round_after_the_last_one() -> None:
    network_of = {"IPAM": {"Config": [{"Subnet": "10.0.0.0/29"}]}}
    assert list(network._after(network_of, "")) == ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"]
    assert list(network._after(network_of, "10.0.0.5")) == [
        *("10.0.0.6", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"),
    ]
    assert next(network._after(network_of, "10.0.0.6")) == "10.0.0.2"
    assert next(network._after(network_of, "192.168.1.1")) in {"10.0.0.2", "10.0.0.3", "10.0.0.4"}


def test_edge_without_a_certificate_names_no_file_of_one() -> None:
    assert shared([1], certificate=True)["tls"]["stores"]["default"]["defaultCertificate"]["keyFile"].endswith(".key")
    assert "tls" not in shared([1], certificate=False)


def test_certificate_is_kept_for_this_user_alone_and_the_first_one_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    for key in ("first", "second"):
        answer = accept_certificate(json.dumps({"certificate": "pem", "key": key}).encode(), Output("host"))
        assert answer["changed"] == (key == "first")
    kept = tmp_path / "edge" / "default.key"
    assert (kept.read_text(), kept.stat().st_mode & 0o777) == ("first", 0o600)
    with pytest.raises(UsageError):
        accept_certificate(b"{}", Output("host"))


@pytest.mark.parametrize(
    "names", [("a.test",), ("*.a.test", "b.test"), tuple(f"host-{number}.test" for number in range(99))]
)
def test_the_names_of_a_certificate_are_read_from_it_whatever_its_size(names: tuple[str, ...]) -> None:
    pem, _ = certificate(*names)
    assert tuple(names_of(pem + certificate("authority.test")[0])) == names


@pytest.mark.parametrize(
    ("names", "refused"),
    [
        (("b.test",), False),
        (("b.test", "a.test"), True),
        (("b.test", "A.test"), True),
        (("*.test", "b.test"), False),
        (("a.test.b.test",), False),
    ],
)
def test_no_stack_shows_its_certificate_to_the_visitors_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, names: tuple[str, ...], *, refused: bool
) -> None:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    folder, own = EdgeFolder(), (Certificate(*certificate(*names)),)
    check_certificates(folder, own, "blog")
    folder.create(())
    folder.store_requests({"shop": wish(), "blog": wish()})
    for stack, host in (("shop", "a.test"), ("blog", "b.test")):
        folder.publish(folder.routes_of(stack), text({}, "live", Routing((web(Route(host)),))))
    if refused:
        with pytest.raises(SlipwayError, match=r"certificate of blog names a\.test, a host name of stack shop"):
            check_certificates(folder, own, "blog")
        folder.store_requests({"shop": wish(neighbours=("blog",)), "blog": wish()})
    check_certificates(folder, own, "blog")
    folder.store_requests({"shop": wish(), "blog": wish()})
    for stack in ("shop", "blog"):
        write_certificates(folder, own, stack)
        check_certificates(folder, own, "blog")
        write_certificates(folder, (), stack)


def test_two_stacks_of_one_certificate_renew_it_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    folder = EdgeFolder()
    folder.create(())
    folder.store_requests({"shop": wish(), "blog": wish()})
    routes = {"shop": [web(Route("a.test"))], "blog": [web(Route("b.test")), web(Route("b2.test"))]}
    shared = ("a.test", "b.test")
    first = (Certificate(*certificate(*shared)),)
    for stack, routed in routes.items():
        check_certificates(folder, first, stack, services=routed)
        write_certificates(folder, first, stack)
        folder.publish(folder.routes_of(stack), text({}, "live", Routing(tuple(routed))))
    for new in (certificate(*shared), certificate(*reversed(shared))):
        for stack in ("blog", "shop"):
            check_certificates(folder, (Certificate(*new),), stack, services=routes[stack])
            write_certificates(folder, (Certificate(*new),), stack)
            drop_other_certificates(folder, stack)
    more = (Certificate(*certificate(*shared, "b2.test")),)
    for _ in range(2):
        with pytest.raises(SlipwayError, match=r"certificate of shop names b2\.test, a host name of stack blog"):
            check_certificates(folder, more, "shop")
    write_certificates(folder, (), "shop")
    with pytest.raises(SlipwayError, match=r"certificate of shop names b\.test"):
        check_certificates(folder, (Certificate(*certificate(*shared)),), "shop")


@pytest.mark.parametrize("days", [-1, 1, 10_000, 40_000])  # the last one is written in another form
def test_until_when_a_certificate_holds_is_read_from_it(days: int) -> None:
    pem, _ = certificate("a.test", ends=days, starts=-2)
    read_by_others = x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc
    assert end_of(pem) == f"{read_by_others:%Y%m%d%H%M%SZ}"


A_B, B_A = ("a.test", "b.test"), ("b.test", "a.test")


@pytest.mark.parametrize(("renewed", "other"), [("blog", "shop"), ("shop", "blog")])
@pytest.mark.parametrize(
    ("theirs", "names", "days", "which"),
    [
        (A_B, A_B, 90, "new"),
        (A_B, B_A, 90, "new"),
        (A_B, (*A_B, "c.test"), 90, "new"),
        (A_B, A_B, 5, "old"),
        (A_B, ("b.test",), 90, "old new"),
        (("*.a.test",), ("a.test",), 90, "old new"),
        ((), A_B, 90, "old new"),  # its name is no DNS name
    ],
)
def test_of_two_stacks_certificates_for_the_same_names_the_one_that_ends_last_is_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, renewed: str, other: str, theirs: tuple[str, ...],
    names: tuple[str, ...], days: int, which: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    folder = EdgeFolder()
    folder.create(())

    def shown() -> list[str]:
        files = [folder.content(folder.certificates_of(stack)) or b"" for stack in (renewed, other)]
        listed = [
            each for file in files for each in yaml.safe_load(file or "{}").get("tls", {}).get("certificates", ())
        ]
        for each in listed:
            assert Path(each["keyFile"].replace("/edge/", f"{folder.path}/")).is_file()
        return [Path(each["certFile"].replace("/edge/", f"{folder.path}/")).read_text() for each in listed]

    for stack in (renewed, other):
        folder.publish(folder.routes_of(stack), text({}, "live", Routing((web(Route(f"{stack}.test")),))))
    old, new = Certificate(*certificate(*theirs, ends=10)), Certificate(*certificate(*names, ends=days))
    publish = EdgeFolder.publish

    def published(folder: EdgeFolder, path: str, content: bytes | None) -> None:
        publish(folder, path, content)
        assert set(theirs) <= {name for pem in shown() for name in names_of(pem)}, "nobody has one for a name"

    write_certificates(folder, (old,), other)
    marked = folder.marker(folder.certificates_of(other))
    monkeypatch.setattr(EdgeFolder, "publish", published)
    write_certificates(folder, (new,), renewed)
    for stack in (other, renewed):
        drop_other_certificates(folder, stack)
    assert sorted(shown()) == sorted({"old": old, "new": new}[each].certificate for each in which.split())
    assert folder.marker(folder.certificates_of(other)) == marked
    write_certificates(folder, (), renewed)
    assert shown() == [old.certificate]


@pytest.mark.parametrize("kind", ["route", "redirect", "preview"])
@pytest.mark.parametrize("first", ["shop", "blog"])
def test_neither_comes_first_with_a_certificate_for_any_host_of_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, first: str
) -> None:
    """The certificate of `blog` names a host that `shop` has, in whichever way, before or after it."""
    monkeypatch.setenv("SLIPWAY_HOME", str(tmp_path))
    redirects = Middlewares(redirects=(Redirect("redirect.test", "shop.test", permanent=True),))
    mine = web(Route("route.test"))._replace(middlewares=redirects, preview_host="preview.test")
    folder, own = EdgeFolder(), (Certificate(*certificate("blog.test", f"{kind}.test")),)
    folder.create(())
    folder.store_requests({"shop": wish(), "blog": wish()})

    def shop_comes(*neighbours: str) -> None:
        check_certificates(folder, (), "shop", services=[mine], neighbours=neighbours)

    folder.publish(folder.routes_of("blog"), text({}, "live", Routing((web(Route("blog.test")),))))
    if first == "shop":
        folder.publish(folder.routes_of("shop"), text({}, "live", Routing((mine,))))
    else:
        write_certificates(folder, own, "blog")
    with pytest.raises(SlipwayError, match=rf"certificate of blog names {kind}\.test, a host name of stack shop"):
        check_certificates(folder, own, "blog") if first == "shop" else shop_comes()
    shop_comes("blog")
    write_certificates(folder, own, "blog")
    check_certificates(folder, own, "shop", services=[mine])  # both have the same one
    folder.publish(folder.routes_of("shop"), text({}, "live", Routing((mine,))))
    shop_comes()  # what is there already stays
