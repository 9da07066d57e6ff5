"""A service as a person knows it: every change of the Compose file shows under its own name, no secret does."""

from pathlib import Path
from typing import Any

import pytest
from samples import CANARY, application

from slipway.compose.service_inputs import service_inputs
from slipway.contract.compose_tree import secrets_of

COMPOSE = """
    services:
      web:
        image: nginx
        command: [serve, --port, "80"]
        environment: {LEVEL: info, URL: "postgres://u:${S}@db"}
        volumes: ["./app.conf:/etc/app.conf:ro", "data:/data"]
        healthcheck: {test: [CMD, "true"], interval: 2s}
        depends_on: {db: {condition: service_started, restart: true}}
        secrets: [key]
        x-slipway: {port: 80, route: shop.test/api, strategy: rolling}
      db:
        image: postgres
        ports: ["127.0.0.1:8080:80", "53:53/udp"]
    secrets: {key: {environment: T}}
    volumes: {data: {labels: {a: b}}}
"""
VALUES = {"secrets": {"S": CANARY, "T": CANARY}, "variables": {}}


def inputs(folder: Path, text: str = COMPOSE, *, conf: str = "one", service: str = "web") -> dict[str, Any]:
    (folder / "app.conf").write_text(conf)
    read = application(folder, text, **VALUES)
    return service_inputs(read, service, beside=["db", "web"])


def test_what_a_person_wrote_is_what_is_shown(tmp_path: Path) -> None:
    found = inputs(tmp_path)
    sha = found["mounts"]["/etc/app.conf"].rpartition(":")[2].removesuffix(" read-only")
    assert found["mounts"] == {"/etc/app.conf": f"app.conf sha256:{sha} read-only", "/data": "data"}
    assert len(sha) == 12
    assert inputs(tmp_path, service="db")["ports"] == ["127.0.0.1:8080:80/tcp", "53:53/udp"]
    assert found["environment"] == {"LEVEL": "info", "URL": "postgres://u:${S}@db"}
    assert found["dependsOn"] == {"db": "service_started"}
    assert found["routes"] == ["shop.test/api"]
    assert found["strategy"] == "rolling"
    assert found["interrupts"] == "nothing"
    assert found["uses"] == {"volumes": {"data": {"labels": {"a": "b"}}}, "secrets": {"key": {"environment": "T"}}}
    assert CANARY not in repr(found)


def test_an_interruption_names_who_follows(tmp_path: Path) -> None:
    assert inputs(tmp_path, service="db")["interrupts"] == "db, until its new container is healthy; after it web"


def test_secrets_are_found_wherever_they_stand(tmp_path: Path) -> None:
    (tmp_path / "app.conf").touch()
    read = application(tmp_path, COMPOSE, **VALUES)
    assert [secrets_of(read.document, name, read.entries[name]) for name in ("web", "db")] == [{"S", "T"}, set()]


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("LEVEL: info", "LEVEL: debug", "environment"),
        ('--port, "80"', '--port, "81"', "command"),
        ("8080:80", "8081:80", "ports"),
        ("53:53/udp", "53:53", "ports"),
        ("app.conf:ro", "app.conf", "mounts"),
        ("data:/data", "data:/else", "mounts"),
        ("interval: 2s", "interval: 3s", "healthcheck"),
        (", restart: true", "", "interrupts"),
        ("service_started", "service_healthy", "dependsOn"),
        ("shop.test/api", "shop.test/other", "routes"),
        ("strategy: rolling", "strategy: blue-green", "strategy"),
        ("{port: 80, route", "{port: 81, route", "slipway"),
        ("labels: {a: b}", "labels: {a: c}", "uses"),
        ("command: [", "restart: always\n        command: [", "restart"),
    ],
)
def test_a_change_shows_under_the_key_that_was_changed(tmp_path: Path, old: str, new: str, key: str) -> None:
    service = "db" if key in ("interrupts", "ports") else "web"
    before, after = (inputs(tmp_path, text, service=service) for text in (COMPOSE, COMPOSE.replace(old, new)))
    changed = {name for name in {*before, *after} if before.get(name) != after.get(name)}
    assert key in changed
    assert changed <= {key, "slipway"}  # a strategy brings defaults of its own along


def test_a_shipped_file_shows_by_its_hash(tmp_path: Path) -> None:
    before, after = inputs(tmp_path), inputs(tmp_path, conf="two")
    assert before["mounts"].keys() == after["mounts"].keys()
    assert before["mounts"]["/etc/app.conf"] != after["mounts"]["/etc/app.conf"]


def test_no_text_is_taken_for_a_colour_by_the_engine(tmp_path: Path) -> None:
    assert "<{%" not in repr(inputs(tmp_path, COMPOSE.replace("LEVEL: info", 'LEVEL: "<{%evil%}> 1"')))


def test_another_volume_by_its_name_is_a_change(tmp_path: Path) -> None:
    other = COMPOSE.replace("data: {labels: {a: b}}", "data: {name: prod_data, external: true}")
    assert inputs(tmp_path, other)["uses"]["volumes"]["data"]["name"] == "prod_data"
