"""Routes, redirects and middlewares: their forms, and that no two services want the same."""

from pathlib import Path
from typing import Any

import pytest
from samples import CANARY, LOCAL, REMOTE, application, problems_of, whats

from slipway.x_slipway.service import read_extension


def entry(domain: str = "", **block: Any) -> dict[str, Any]:
    """The service's entry in the release document."""
    extension, found = read_extension("web", {"port": 80, **block})
    assert found == []
    return extension.document(domain=domain)


def said(**block: Any) -> list[str]:
    """What is wrong with a block, without its place."""
    return [
        problem.what.removeprefix("services.web.x-slipway.")
        for problem in read_extension("web", {"port": 80, **block})[1]
    ]


# --- one route


@pytest.mark.parametrize(
    ("route", "host", "path", "strip"),
    [
        ("shop.example.com", "shop.example.com", "/", False),
        ("Shop.Example.com/api", "shop.example.com", "/api", False),
        ("shop.example.com/api/", "shop.example.com", "/api", False),
        ("shop.example.com/", "shop.example.com", "/", False),
        ("/api", "", "/api", False),
        ("/", "", "/", False),
        ("", "", "/", False),  # ${DOMAIN:-} in a stack without one
        ("localhost", "localhost", "/", False),
        ({"host": "a.example"}, "a.example", "/", False),
        ({"path": "/api", "strip": True}, "", "/api", True),
    ],
)
def test_a_route_is_a_host_a_path_or_both(route: object, host: str, path: str, strip: bool) -> None:  # noqa: FBT001
    assert entry(route=route)["routes"] == [{"host": host, "path": path, "strip": strip}]


def test_several_routes_are_a_list() -> None:
    found = entry(route=["a.example", {"host": "b.example", "path": "/x"}, "/y"])["routes"]
    assert [f"{route['host']}{route['path']}" for route in found] == ["a.example/", "b.example/x", "/y"]


def test_a_route_without_a_host_answers_to_the_domain_where_there_is_one() -> None:
    assert entry("Example.com", route="/api")["routes"][0]["host"] == "example.com"
    assert entry("example.com", route="other.example/api")["routes"][0]["host"] == "other.example"


def test_a_service_without_a_route_has_none() -> None:
    assert entry(route=None)["routes"] == entry(route=[])["routes"] == entry()["routes"] == []


@pytest.mark.parametrize(
    ("route", "problem"),
    [
        ("https://a.example", "route: is written without http:// or https://"),
        ("a.example:8080", "route.host: is written without a port (the settings httpPort and httpsPort say which"),
        ("a_b.example", "route.host: is not a host name"),
        ("-a.example", "route.host: is not a host name"),
        ("*.example", "route.host: is not a host name"),
        ("a.example`) || Host(`b", "route.host: is not a host name"),
        ("a" * 64 + ".example", "route.host: is not a host name"),
        ("/a b", "route.path: holds a character that no path has"),
        ("/a`b", "route.path: holds a character that no path has"),
        ("/a?b=c", "route.path: holds a character that no path has"),
        ({"path": "api"}, "route.path: does not begin with a slash"),
        ({"hots": "a"}, "route.hots: unknown key"),
        (["a.example", 3], "route.1: is not a mapping"),
        (["a.example", {"path": "x"}], "route.1.path: does not begin with a slash"),
    ],
)
def test_a_wrong_route_says_where_and_what(route: object, problem: str) -> None:
    [found] = said(route=route)
    assert found.startswith(problem)


def test_a_route_needs_a_port(tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, "services: {web: {image: x, x-slipway: {route: a.example}}}")
    assert problem[:3] == (
        "services.web.x-slipway.route: the service has a route and no port",
        "the edge would not know what to connect to",
        "set `port: CONTAINER-PORT` in services.web.x-slipway",
    )


# --- middlewares


def test_without_middlewares_every_one_is_off() -> None:
    assert entry(route="/")["middlewares"] == {
        "redirects": [], "basic_auth": None, "ip_allow_list": [], "rate_limit": None, "max_body": None,
        "security_headers": False,
    }  # fmt: skip


def test_every_middleware_reaches_the_document() -> None:
    found = entry(
        route="a.example", redirect={"from": ["www.a.example", "Old.example"], "to": "a.example"}, basicAuth="USERS",
        ipAllowList=["192.0.2.0/24", "2001:db8::1"], rateLimit={"average": 10, "burst": 20, "period": "1m"},
        maxBody="10MB", securityHeaders=True, sticky=True, preview="next.a.example",
    )  # fmt: skip
    assert found["middlewares"] == {
        "redirects": [
            {"from": "www.a.example", "to": "a.example", "permanent": True},
            {"from": "old.example", "to": "a.example", "permanent": True},
        ],
        "basic_auth": "USERS",
        "ip_allow_list": ["192.0.2.0/24", "2001:db8::1"],
        "rate_limit": {"average": 10, "burst": 20, "period": 60},
        "max_body": 10485760,
        "security_headers": True,
    }
    assert (found["sticky"], found["preview"]) == (True, "next.a.example")


def test_short_forms_mean_the_same() -> None:
    found = entry(
        route="/", rateLimit=5, ipAllowList="192.0.2.7/24", redirect=[{"from": "b.example", "to": "c.example"}]
    )
    assert found["middlewares"]["rate_limit"] == {"average": 5, "burst": 5, "period": 1}
    assert found["middlewares"]["ip_allow_list"] == ["192.0.2.0/24"]


@pytest.mark.parametrize("to", ["a.example", "https://a.example", "http://a.example:8080/there"])
def test_a_redirect_leads_to_a_host_or_an_address(to: str) -> None:
    assert entry(route="/", redirect={"from": "b.example", "to": to, "permanent": False})["middlewares"][
        "redirects"
    ] == [{"from": "b.example", "to": to, "permanent": False}]


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ({"redirect": {"from": "b.example"}}, "redirect.to: is missing"),
        ({"redirect": {"from": [], "to": "a.example"}}, "redirect.from: names no host"),
        ({"redirect": {"from": "b.example", "to": "ftp://a"}}, "redirect.to: is neither a host name nor an http://"),
        ({"redirect": {"form": "b.example", "from": "c", "to": "a"}}, "redirect.form: unknown key"),
        ({"rateLimit": {"average": 0}}, "rateLimit.average: input should be greater than or equal to 1"),
        ({"rateLimit": {"avrage": 1, "average": 1}}, "rateLimit.avrage: unknown key"),
        ({"rateLimit": {"average": 1, "period": "x"}}, "rateLimit.period: is not a duration"),
        ({"ipAllowList": ["192.0.2.0/24", "here"]}, "ipAllowList.1: is neither an address nor a network"),
        ({"ipAllowList": "300.1.1.1"}, "ipAllowList: is neither an address nor a network"),
        ({"maxBody": "big"}, "maxBody: is not a size"),
        ({"basicAuth": "user:hash"}, "basicAuth: is not the name of a secret setting"),
        ({"preview": "a b"}, "preview: is not a host name"),
        ({"drain": "soon"}, "drain: is not a duration"),
    ],
)
def test_a_wrong_middleware_says_where_and_what(block: dict[str, Any], problem: str) -> None:
    [found] = said(route="/", **block)
    assert found.startswith(problem)


@pytest.mark.parametrize(
    ("block", "key"),
    [
        ({"scheme": "h2c"}, "scheme"), ({"sticky": True}, "sticky"),
        ({"preview": "a.example"}, "preview"), ({"basicAuth": "X"}, "basicAuth"),
        ({"redirect": {"from": "a", "to": "b"}}, "redirect"), ({"ipAllowList": "192.0.2.1"}, "ipAllowList"),
        ({"rateLimit": 1}, "rateLimit"), ({"maxBody": "1m"}, "maxBody"), ({"securityHeaders": True}, "securityHeaders"),
        ({"strategy": "canary"}, "strategy: canary"),
    ],
)  # fmt: skip
def test_what_only_the_edge_can_do_needs_a_route(block: dict[str, Any], key: str) -> None:
    assert said(**block) == [f"{key}: the service has no route"]


# --- passwords


PROTECTED = "services: {web: {image: x, x-slipway: {route: /, port: 80, basicAuth: USERS}}}"


def test_the_password_file_is_one_of_the_releases_secrets(tmp_path: Path) -> None:
    found = application(tmp_path, PROTECTED, secrets={"USERS": f"me:{CANARY}", "OTHER": CANARY})
    assert found.secrets == ("USERS",)
    assert CANARY not in str(found)


def test_a_missing_password_file_is_a_problem_with_its_command(tmp_path: Path) -> None:
    [problem] = problems_of(tmp_path, PROTECTED)
    assert problem.what == "secret USERS is missing (services.web.x-slipway.basicAuth needs it)"
    assert problem.fix == "htpasswd -nB USER | pulumi config set --secret --path 'secrets.USERS' --stack test"


@pytest.mark.parametrize("value", [CANARY, f":{CANARY}", f"me:{CANARY}\n{CANARY}", "\n"])
def test_a_secret_that_is_no_password_file_is_told_without_its_value(tmp_path: Path, value: str) -> None:
    [problem] = problems_of(tmp_path, PROTECTED, secrets={"USERS": value})
    assert problem.what.startswith("secrets.USERS: these are not lines of htpasswd")
    assert CANARY not in str(problem)


# --- two services


def clash(folder: Path, one: str, other: str, **values: Any) -> list[str]:
    service = "{{image: x, x-slipway: {{port: 1, {}}}}}"
    text = f"services:\n  a: {service.format(one)}\n  b: {service.format(other)}\n"
    return whats(problems_of(folder, text, **values))


@pytest.mark.parametrize(
    ("one", "other", "what"),
    [
        ("route: s.example", "route: S.example/", "services.a and services.b have the same route: s.example/"),
        ("route: /x", "route: /x/", "services.a and services.b have the same route: /x of any host"),
        ("route: [s.example, t.example/y]", "route: t.example/y",
         "services.a and services.b have the same route: t.example/y"),
        ("route: s.example, redirect: {from: t.example, to: s.example}", "route: t.example/x",
         "t.example is the redirect of services.a and the route of services.b"),
        ("route: s.example, preview: t.example", "route: t.example",
         "t.example is the preview of services.a and the route of services.b"),
        ("route: s.example, preview: p.example", "route: t.example, preview: p.example",
         "p.example is the preview of services.a and the preview of services.b"),
        ("route: s.example, redirect: {from: r.example, to: s.example}",
         "route: t.example, redirect: {from: r.example, to: t.example}",
         "r.example is the redirect of services.a and the redirect of services.b"),
    ],
)  # fmt: skip
def test_two_services_that_want_the_same_are_a_problem(tmp_path: Path, one: str, other: str, what: str) -> None:
    assert clash(tmp_path, one, other) == [what]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("route: s.example", "route: s.example/api"),
        ("route: /", "route: s.example"),
        ("route: s.example, redirect: {from: www.s.example, to: s.example}", "route: t.example"),
    ],
)
def test_services_may_share_a_host_name(tmp_path: Path, one: str, other: str) -> None:
    assert clash(tmp_path, one, other) == []


def test_the_domain_decides_whether_two_routes_are_the_same(tmp_path: Path) -> None:
    assert clash(tmp_path, "route: /", "route: s.example", domain="s.example") == [
        "services.a and services.b have the same route: s.example/"
    ]


def test_services_on_different_hosts_may_have_the_same_route(tmp_path: Path) -> None:
    hosts = [LOCAL, REMOTE]
    assert clash(tmp_path, "route: /, hosts: [here]", "route: /, hosts: [web-1]", hosts=hosts) == []
    assert len(clash(tmp_path, "route: /, hosts: [here]", "route: /, hosts: [web-1, here]", hosts=hosts)) == 1
    assert len(clash(tmp_path, "route: /", "route: /, hosts: [web-1]", hosts=hosts)) == 1


@pytest.mark.parametrize(
    ("block", "what"),
    [
        ("route: [s.example, s.example/]", "services.a names the route s.example/ twice"),
        ("route: s.example, preview: s.example", "s.example is the route of services.a and the preview of services.a"),
        ("route: s.example, redirect: {from: s.example, to: t.example}",
         "s.example is the route of services.a and the redirect of services.a"),
        ("route: s.example, redirect: {from: [r.example, t.example], to: 'https://t.example/x'}",
         "services.a.x-slipway.redirect: https://t.example/x redirects to itself"),
    ],
)  # fmt: skip
def test_one_service_may_not_contradict_itself(tmp_path: Path, block: str, what: str) -> None:
    assert clash(tmp_path, block, "route: /elsewhere") == [what]
