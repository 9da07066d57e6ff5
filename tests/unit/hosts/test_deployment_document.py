"""What a host is told of its edge and of watching, and what is wrong or unwise about it."""

import ipaddress
import json
import re
from pathlib import Path
from typing import Any

import pytest
from certified import certificate
from samples import CANARY, DIGEST, LOCAL, REMOTE, application, load, probe, problems_of_loading, settings, whats

from slipway.compose.git import Revision
from slipway.hosts.deployment_document import deployment_document, edge_document, route_urls
from slipway.hosts.preflight import View
from slipway.settings.edge_settings import (
    edge_faults,
    edge_image,
    edge_problems,
    edge_version,
    edge_warnings,
    newer_edge,
    watch_document,
)

ROUTED = "services: {web: {image: nginx, x-slipway: {route: %s, port: 80}}, db: {image: postgres}}"
IMAGE = f"registry.example/traefik:v3.6.0@{DIGEST}"
MAIL = {"acme_email": "me@example.com"}
PUBLIC = {"https": True, "hosts": [REMOTE]}


def edge(folder: Path, route: str = "shop.example", services: tuple[str, ...] = ("web", "db"), **values: Any) -> Any:
    found = application(folder, ROUTED % route, **values)
    return edge_document(settings(folder, **values), IMAGE, services, found)


# --- the document


@pytest.mark.parametrize(("strategy", "beside"), [("", []), (", strategy: rolling", ["web"])])
def test_a_host_is_told_who_may_work_beside_what_it_takes_over_from(
    tmp_path: Path, strategy: str, beside: list[str]
) -> None:
    values: dict[str, Any] = {"move_from": ["old"]}
    found = application(tmp_path, ROUTED % f"shop.example{strategy}", **values)
    release = found.release(Revision("", ""), dict.fromkeys(found.entries, f"nginx@{DIGEST}"))
    seen = {"live": None, "last": None, "returned": None, "drift": [], "interrupted": ""}
    document = json.loads(
        deployment_document(settings(tmp_path, **values), found, release, IMAGE, host="a", hosts=["a"], probe=seen)
    )
    assert (document["move_from"], document["move_beside"]) == (["old"], beside)


@pytest.mark.parametrize("noted", ["", "q/s"])
@pytest.mark.parametrize("same", [True, False])
def test_who_deploys_is_said_unless_nobody_asked_and_nothing_changes(tmp_path: Path, noted: str, *, same: bool) -> None:
    found = application(tmp_path, ROUTED % "shop.example")
    release = found.release(Revision("", ""), dict.fromkeys(found.entries, f"nginx@{DIGEST}"))
    live = {"release": release["id"] if same else "r-000000000000"}
    seen = {
        "live": live,
        "last": None,
        "returned": None,
        "drift": [],
        "interrupted": "",
        "convergence": "c",
        "owner": noted,
    }
    text = deployment_document(
        settings(tmp_path, owner="p/s"), found, release, IMAGE, host="a", hosts=["a"], probe=seen
    )
    assert json.loads(text).get("owner", "") == ("" if same and not noted else "p/s")


def test_a_host_without_routes_has_no_edge(tmp_path: Path) -> None:
    assert edge(tmp_path, services=("db",)) is None
    assert edge(tmp_path, route="[]") is None


def test_an_edge_without_tls_serves_plain_http(tmp_path: Path) -> None:
    assert edge(tmp_path, http_port=8080, https_port=8443) == {
        "image": IMAGE, "version": "3.6.0", "http_port": 8080, "https_port": 8443, "https": False, "acme": None,
        "certificates": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "server"),
    [
        ({}, "https://acme-v02.api.letsencrypt.org/directory"),
        ({"acme_staging": True}, "https://acme-staging-v02.api.letsencrypt.org/directory"),
        ({"acme_staging": True, "acme_server": "https://ca.example/dir"}, "https://ca.example/dir"),
    ],
)
def test_certificates_come_from_the_authority_that_is_set(tmp_path: Path, values: dict[str, Any], server: str) -> None:
    authority, _ = certificate("ca.example")
    found = edge(tmp_path, **PUBLIC, **MAIL, acme_ca=authority, **values)
    assert (found["https"], found["certificates"]) == (True, [])
    assert found["acme"] == {"email": "me@example.com", "server": server, "ca": authority}


def test_a_certificate_of_ones_own_takes_the_authoritys_place(tmp_path: Path) -> None:
    pem, key = certificate("shop.example")
    found = edge(tmp_path, **PUBLIC, **MAIL, certificate=pem, certificate_key=key)
    assert found["acme"] is None
    assert found["certificates"] == [{"certificate": pem, "key": key}]
    assert edge(tmp_path, hosts=[REMOTE], certificate=pem, certificate_key=key)["certificates"] == []
    other = edge(tmp_path, route="blog.example", **PUBLIC, **MAIL, certificate=pem, certificate_key=key)
    assert (other["certificates"], other["acme"]["email"]) == ([], "me@example.com"), "it is for none of its routes"


def test_the_edges_image_comes_through_the_mirror(tmp_path: Path) -> None:
    assert edge_image(settings(tmp_path)) == "traefik:v3.7.13"
    assert edge_image(settings(tmp_path, mirror="m.example")) == "m.example/library/traefik:v3.7.13"
    assert edge_image(settings(tmp_path, mirror="m.example", edge_image="ghcr.io/a/t:3.7.1")) == "ghcr.io/a/t:3.7.1"


# --- watching


@pytest.mark.parametrize(
    ("values", "seconds"),
    [({}, 0), ({"production": True}, 3600), ({"watch": "15m"}, 900), ({"production": True, "watch": "0"}, 0),
     ({"watch": "10"}, 10)],
)  # fmt: skip
def test_production_is_watched_for_an_hour_unless_said_otherwise(
    tmp_path: Path, values: dict[str, Any], seconds: int
) -> None:
    found = watch_document(settings(tmp_path, **values), dict)
    assert (found["seconds"] if found else 0) == seconds


def test_the_limits_of_the_watch_are_the_settings(tmp_path: Path) -> None:
    found = settings(
        tmp_path, watch="1h", watch_error_rate="5%", watch_latency="50%", watch_minimum_requests=100, watch_restarts=2,
        notify_url=f"https://hooks.example/{CANARY}",
    )  # fmt: skip
    told = {"commit": "c0ffee", "subject": "Faster", "author": "Ada"}
    target = {"to": "webhook", "url": f"https://hooks.example/{CANARY}", "events": ("failed", "rolled-back"),
              "name": "notifyUrl", "sender": "", "recipients": ()}  # fmt: skip
    assert watch_document(found, lambda: told) == {
        "seconds": 3600, "minimum": 100, "error_relative": 0.05, "error_floor": 0.01, "latency_relative": 0.5,
        "latency_floor": 0.05, "restarts": 2, "notify": {"targets": [target], "stack": "test", **told},
    }  # fmt: skip
    assert CANARY not in str(found)


def test_a_host_gets_the_targets_that_want_what_it_does_by_itself(tmp_path: Path) -> None:
    notify = {
        "quiet": {"to": "slack", "url": f"https://hooks.example/{CANARY}", "events": ["succeeded"]},
        "ops": {"to": "discord", "url": f"https://hooks.example/{CANARY}"},
    }
    found = watch_document(settings(tmp_path, watch="1h", notify=notify), dict)
    assert found is not None
    assert [each["name"] for each in found["notify"]["targets"]] == ["ops"]
    assert watch_document(settings(tmp_path, watch="1h"), lambda: pytest.fail("nobody is told"))["notify"] is None  # type: ignore[index]


# --- settings


@pytest.mark.parametrize(
    ("configuration", "https"),
    [
        ({"acmeEmail": "a@b.c"}, False),  # the host of these is local
        ({"acmeEmail": "a@b.c", "hosts": "remote"}, True),
        ({"acmeEmail": "a@b.c", "hosts": "remote", "https": "false"}, True),  # the engine's own default
        ({"hosts": "remote"}, False),
        ({"https": "true"}, True),
    ],
)
def test_tls_is_on_where_a_certificate_can_be_had(
    tmp_path: Path,
    configuration: dict[str, str],
    https: bool,  # noqa: FBT001
) -> None:
    if configuration.get("hosts"):
        host = f'[{{"name": "web-1", "address": "203.0.113.10", "hostKey": "{REMOTE["hostKey"]}"}}]'
        configuration = {**configuration, "hosts": host}
    key = {"SLIPWAY_SSH_KEY": "-----BEGIN OPENSSH PRIVATE KEY-----"}
    assert load(tmp_path, configuration, environment=key).https is https


def test_tls_that_somebody_turned_off_stays_off(tmp_path: Path) -> None:
    pem, key = certificate("shop.example")
    environment = {"SLIPWAY_CERTIFICATE": pem, "SLIPWAY_CERTIFICATE_KEY": key}
    assert load(tmp_path, environment=environment).https is True
    assert load(tmp_path, environment={**environment, "SLIPWAY_HTTPS": "false"}).https is False
    (tmp_path / "Pulumi.test.yaml").write_text("config: {'slipway:https': false}")
    assert load(tmp_path, {"https": "false"}, environment=environment).https is False


@pytest.mark.parametrize(
    ("values", "what"),
    [
        (PUBLIC, "https: on, with neither acmeEmail nor certificate"),
        ({"edge_image": "traefik"}, "edgeImage: the image has no tag with a full version"),
        ({"edge_image": "traefik:v3"}, "edgeImage: the image has no tag with a full version"),
        ({"edge_image": "traefik:latest"}, "edgeImage: the image has no tag with a full version"),
        ({"edge_image": f"traefik@{DIGEST}"}, "edgeImage: the image has no tag with a full version"),
        ({"edge_image": "traefik:v2.11.0"}, "edgeImage: version 2.11.0 is not one of Traefik 3"),
        ({"http_port": 443}, "httpsPort: the same as httpPort"),
    ],
)
def test_an_edge_that_cannot_be_is_a_problem(tmp_path: Path, values: dict[str, Any], what: str) -> None:
    assert whats(edge_problems(settings(tmp_path, **values))) == [what]


@pytest.mark.parametrize(
    ("version", "refused", "faults"),
    [
        ("3.0.0", True, 3), ("3.6.0", True, 3), ("3.6.3", True, 3), ("3.6.4", True, 2), ("3.6.6", True, 2),
        ("3.6.7", False, 1), ("3.6.18", False, 1), ("3.6.19", False, 0), ("3.7.0", False, 1), ("3.7.2-rc1", False, 1),
        ("3.7.3", False, 0), ("3.7.13", False, 0), ("3.10.0", False, 0),
    ],
)  # fmt: skip
def test_an_edge_with_known_faults_is_warned_of_and_one_that_is_too_old_refused(
    tmp_path: Path, version: str, *, refused: bool, faults: int
) -> None:
    given = settings(tmp_path, edge_image=f"traefik:v{version}", hosts=[REMOTE], https=True, **MAIL)
    entries = {"web": {"routes": [{"host": "shop.example"}]}}
    found = [*edge_problems(given), *edge_warnings(given, entries)]
    assert len(edge_faults(version)) == faults
    assert [problem.fix for problem in found] == [newer_edge(given)] * (refused + bool(faults))
    assert all("known faults" in problem.what for problem in found)
    assert not edge_faults(edge_version(settings(tmp_path).edge_image))


@pytest.mark.parametrize(
    ("proxies", "networks"),
    [
        (["10.0.0.7"], ["10.0.0.7"]),
        (["10.0.0.7/24", "::1"], ["10.0.0.0/24", "::1"]),
        (["Cloudflare"], ["103.21.244.0/22", "2c0f:f248::/32"]),
        (["fastly", "10.0.0.7"], ["10.0.0.7", "103.244.50.0/24", "2a04:4e42::/32"]),
    ],
)
def test_trusted_proxies_are_addresses_or_what_a_provider_publishes(
    tmp_path: Path, proxies: list[str], networks: list[str]
) -> None:
    found = edge(tmp_path, trusted_proxies=proxies)["trusted_proxies"]
    assert set(networks) <= set(found)
    assert found == sorted(found)
    assert all(ipaddress.ip_network(each) for each in found)
    assert "trusted_proxies" not in edge(tmp_path)


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        ("akamai", "is neither an address nor a network such as 192.0.2.0/24, nor a provider: cloudflare, fastly"),
        ("10.0.0.0/33", "is neither an address"),
        ("", "is neither an address"),
        ("0.0.0.0/0", "is every address: any visitor could claim another one"),
        ("::/0", "is every address"),
    ],
)
def test_a_proxy_that_is_none_or_everybody_is_refused(tmp_path: Path, proxy: str, said: str) -> None:
    [problem] = problems_of_loading(tmp_path, {"trustedProxies": json.dumps([proxy])})
    assert problem.what.startswith(f"trustedProxies[0]: {said}")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"https": True, "hosts": [LOCAL]},
        {**PUBLIC, **MAIL},
        {"edge_image": f"r.example:5000/t:3.7.1-alpine@{DIGEST}"},
    ],
)
def test_an_edge_that_can_be_is_none(tmp_path: Path, values: dict[str, Any]) -> None:
    assert not list(edge_problems(settings(tmp_path, **values)))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("watch", "soon", "watch: is not a duration"),
        ("watchErrorRate", "10", "watchErrorRate: is neither a percentage"),
        ("acmeEmail", "me", "acmeEmail: is not an e-mail address"),
        ("acmeServer", "ca.example", "acmeServer: is not an http:// or https:// address"),
        ("notifyUrl", CANARY, "notifyUrl: is not an http:// or https:// address"),
        ("httpPort", "0", "httpPort: input should be greater than or equal to 1"),
    ],
)
def test_a_wrong_setting_is_told_by_its_key_and_never_by_its_value(
    tmp_path: Path, key: str, value: str, said: str
) -> None:
    name = "SLIPWAY_" + re.sub(r"(?=[A-Z])", "_", key).upper()
    [problem] = problems_of_loading(tmp_path, environment={name: value})
    assert problem.what.startswith(said)
    assert CANARY not in str(problem)


# --- warnings


def warnings(folder: Path, route: str = "shop.example", **values: Any) -> list[str]:
    return whats(list(application(folder, ROUTED % route, **values).warnings))


def test_production_in_the_clear_is_warned_of(tmp_path: Path) -> None:
    assert warnings(tmp_path, hosts=[REMOTE], production=True) == ["https: off, and web can be reached from outside"]
    assert warnings(tmp_path, hosts=[REMOTE]) == warnings(tmp_path, hosts=[LOCAL], production=True) == []
    assert warnings(tmp_path, route="[]", hosts=[REMOTE], production=True) == []


def test_a_name_that_no_certificate_is_for_is_warned_of(tmp_path: Path) -> None:
    pem, key = certificate("shop.example")
    own = {**PUBLIC, "certificate": pem, "certificate_key": key}
    assert warnings(tmp_path, **own) == []
    assert warnings(tmp_path, "[shop.example, other.example]", **own) == [
        "services.web: the certificate is not for other.example"
    ]
    assert warnings(tmp_path, "/", **PUBLIC, **MAIL) == ["services.web: a route names no host, and domain is empty"]
    assert warnings(tmp_path, "/", **PUBLIC, **MAIL, domain="shop.example") == []


# --- addresses


@pytest.mark.parametrize(
    ("route", "values", "urls"),
    [
        ("shop.example", {}, ["http://shop.example/"]),
        ("shop.example/a", {"http_port": 8080}, ["http://shop.example:8080/a"]),
        ("shop.example", {**PUBLIC, **MAIL}, ["https://shop.example/"]),
        ("shop.example", {**PUBLIC, **MAIL, "https_port": 8443}, ["https://shop.example:8443/"]),
        ("/", {}, ["http://127.0.0.1/"]),
        ("/", {"domain": "shop.example"}, ["http://shop.example/"]),
        ("/a", {"hosts": [REMOTE, {**REMOTE, "name": "b", "address": "2001:db8::1"}]},
         ["http://203.0.113.10/a", "http://[2001:db8::1]/a"]),
        ("[b.example, a.example/x]", {}, ["http://b.example/", "http://a.example/x"]),
        ("[a.example/x, b.example]", {}, ["http://b.example/", "http://a.example/x"]),  # front pages first
        ("[]", {}, []),
        # A prefix may be no page itself: one that a smoke check asks for is.
        ("shop.example/a, smoke: [{http: {path: /a/health}}]", {}, ["http://shop.example/a/health"]),
        ("shop.example/a, smoke: [{http: {path: /a}}]", {}, ["http://shop.example/a"]),
        ("shop.example/a, smoke: [{http: {path: /a/gone, status: 404}}, {http: {path: /a/b}}]", {},
         ["http://shop.example/a/b"]),
        ("shop.example/a, smoke: [{http: {path: /a/../b}}]", {}, ["http://shop.example/a"]),
        ("shop.example/a, smoke: [{http: {path: /about}}]", {}, ["http://shop.example/a"]),
        ("{path: /a, strip: true}, smoke: [{http: {path: /health}}]", {}, ["http://127.0.0.1/a/health"]),
        ("shop.example, smoke: [{http: {path: /health}}]", {}, ["http://shop.example/"]),
        ("shop.example/a, smoke: [{tcp: {}}]", {}, ["http://shop.example/a"]),
    ],
)  # fmt: skip
def test_routes_have_addresses(tmp_path: Path, route: str, values: dict[str, Any], urls: list[str]) -> None:
    found = settings(tmp_path, **values)
    assert route_urls(found, application(tmp_path, ROUTED % route, **values), found.hosts) == urls


# --- the edge that is there


def test_the_live_edge_is_the_first_hosts_that_has_one() -> None:
    probes = {
        "a": probe(),
        "b": probe(edge={"version": "3.6.0", "image": IMAGE}),
        "c": probe(edge={"version": "3.6.0", "image": f"other@{DIGEST}"}),
    }
    assert View(machines={}, probes=probes, settled=None).live_edge == IMAGE
    assert View(machines={}, probes={"a": probe()}, settled=None).live_edge == ""
