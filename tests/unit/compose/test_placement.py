"""Services and the hosts that run them: together, apart, and in each other's way."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from samples import REMOTE, application, problems_of, whats

from slipway.compose.placement import check_placement, services_of
from slipway.x_slipway.findings import Findings
from slipway.x_slipway.service import ServiceExtension


def placed(services: dict[str, dict[str, Any]], *hosts: str, **on: list[str]) -> tuple[list[str], list[str]]:
    """What is wrong and what is unwise of services, some of them on hosts of their own."""
    extensions = {
        name: ServiceExtension(hosts=on.get(name, []), **({"route": "/"} if name == "routed" else {}))
        for name in services
    }
    settings: Any = SimpleNamespace(
        hosts=[SimpleNamespace(name=name) for name in hosts or ("here",)],
        stack="test",
        http_port=80,
        https_port=443,
        https="secure" in services,
    )
    found = Findings()
    check_placement(services, extensions, settings, found)
    assert all(part for problem in (*found.problems, *found.warnings) for part in problem[:3])
    return whats(found.problems), whats(found.warnings)


def port(published: str, **more: str) -> dict[str, Any]:
    return {"ports": [{"target": 80, "published": published, "protocol": "tcp", **more}]}


def test_services_run_on_their_hosts_and_everywhere_without_any() -> None:
    placed = {"web": [], "db": ["b"]}
    assert services_of("a", placed) == ["web"]
    assert services_of("b", placed) == ["db", "web"]


@pytest.mark.parametrize(
    ("services", "refused"),
    [
        ({"proxy": port("80"), "routed": {}}, "80/tcp"),
        ({"proxy": port("80", host_ip="127.0.0.1"), "routed": {}}, "80/tcp"),
        ({"proxy": port("443"), "routed": {}, "secure": {}}, "443/tcp"),
        ({"proxy": port("443"), "routed": {}}, ""),
        ({"proxy": port("80", protocol="udp"), "routed": {}}, ""),
        ({"proxy": port("8080"), "routed": {}}, ""),
        ({"proxy": port("80")}, ""),
    ],
)
def test_a_port_of_the_edge_is_nobody_elses(services: dict[str, dict[str, Any]], refused: str) -> None:
    said = f"services.proxy publishes port {refused}, which the edge needs for the routes of this stack"
    assert placed(services)[0] == ([said] if refused else [])
    assert placed(services, "a", "b", proxy=["a"], routed=["b"])[0] == []


def test_an_unknown_host_names_the_nearest() -> None:
    problems, _ = placed({"web": {}}, "web-1", "web-2", web=["web1", "zzz"])
    assert problems == [
        "services.web.x-slipway.hosts: 'web1' is not a host of stack test",
        "services.web.x-slipway.hosts: 'zzz' is not a host of stack test",
    ]


@pytest.mark.parametrize(
    ("one", "other", "conflict"),
    [
        (port("80"), port("80"), True),
        (port("80"), port("81"), False),
        (port("80"), port("80", protocol="udp"), False),
        (port("80", host_ip="127.0.0.1"), port("80", host_ip="10.0.0.1"), False),
        (port("80", host_ip="127.0.0.1"), port("80", host_ip="127.0.0.1"), True),
        (port("80", host_ip="127.0.0.1"), port("80"), True),
        (port("80", host_ip="0.0.0.0"), port("80", host_ip="10.0.0.1"), True),  # noqa: S104  # nothing is bound
        (port("8000-8010"), port("8000-8010"), False),
        (port(""), port(""), False),
    ],
)
def test_two_services_of_a_host_cannot_publish_one_port(
    one: dict[str, Any],
    other: dict[str, Any],
    conflict: bool,  # noqa: FBT001  # what is expected
) -> None:
    problems, _ = placed({"a": one, "b": other})
    assert bool(problems) == conflict
    assert all(problem.startswith("services.b and services.a both publish port 80/") for problem in problems)


@pytest.mark.parametrize(
    ("ports", "problems"),
    [
        (["80:80", "80:81"], ["services.web.ports publishes port 80/tcp twice"]),
        (["80:80", "127.0.0.1:80:81"], ["services.web.ports publishes port 80/tcp twice"]),
        (["80:80", "80:80/udp", "81:80"], []),
        # what stands in for a variable without a value is one port for all of them
        (["${HTTP:?}:80", "${HTTPS:?}:443"], [f"variable {name} of the Compose file has no value" for name in
                                              ("HTTP", "HTTPS")]),
    ],
)  # fmt: skip
def test_a_port_that_one_service_publishes_twice_is_told_of_that_service(
    tmp_path: Path, ports: list[str], problems: list[str]
) -> None:
    text = json.dumps({"services": {"web": {"image": "x", "ports": ports}}})
    found = problems_of(tmp_path, text) if problems else list(application(tmp_path, text).warnings)
    assert whats(found) == problems


def test_on_different_hosts_they_can() -> None:
    assert placed({"a": port("80"), "b": port("80")}, "x", "y", a=["x"], b=["y"]) == ([], [])


def test_a_conflict_on_every_host_is_told_once() -> None:
    assert len(placed({"a": port("80"), "b": port("80")}, "x", "y", "z")[0]) == 1


@pytest.mark.parametrize("many", [{"deploy": {"replicas": 3}}, {"scale": 3}])
def test_replicas_cannot_publish_one_port_but_a_range(many: dict[str, Any]) -> None:
    assert placed({"a": {**port("80"), **many}})[0] == ["services.a: 3 replicas publish port 80"]
    assert placed({"a": {**port("8000-8002"), **many}})[0] == []
    assert placed({"a": many})[0] == []
    assert placed({"a": {**port("80"), "deploy": {"replicas": 1}}})[0] == []


def test_a_dependency_on_a_service_of_other_hosts_is_warned_of_once() -> None:
    services = {"web": {"depends_on": {"db": {}, "cache": {}}}, "db": {}, "cache": {}}
    _, warnings = placed(services, "x", "y", "z", db=["z"])
    assert warnings == ["services.web depends on db, which host x does not run"]


def test_a_host_without_a_service_is_warned_of() -> None:
    assert placed({"web": {}}, "x", "y", web=["x"])[1] == ["host y runs no service"]


def test_a_compose_file_is_looked_at_as_a_whole(tmp_path: Path) -> None:
    """Through Compose itself, whose form of ports and dependencies it is."""
    text = """
        services:
          web: {image: x, ports: ["80:80", "127.0.0.1:443:443/udp"], depends_on: [db], x-slipway: {hosts: [b]}}
          db: {image: x, ports: ["80:5432", "443:443/udp"], deploy: {replicas: 2}, x-slipway: {hosts: [b, c]}}
    """
    hosts = [{**REMOTE, "name": name, "address": f"{name}.example.com"} for name in "bc"]
    assert whats(problems_of(tmp_path, text, hosts=hosts)) == [
        "services.db: 2 replicas publish port 80",
        "services.db: 2 replicas publish port 443",
        "services.web and services.db both publish port 80/tcp",
        "services.web and services.db both publish port 443/udp",
    ]
    apart = "services: {web: {image: x, depends_on: [db]}, db: {image: x, x-slipway: {hosts: [c]}}}"
    assert whats(list(application(tmp_path, apart, hosts=hosts).warnings)) == [
        "services.web depends on db, which host b does not run"
    ]
