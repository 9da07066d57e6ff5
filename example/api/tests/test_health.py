"""The contract of `/health`."""

from collections.abc import Callable
from pathlib import Path

import pytest
from fakeredis import FakeServer
from fastapi.testclient import TestClient
from sqlalchemy import Engine, create_engine, text

from app.schema import Schema, SchemaState


def test_healthy_api_answers_200_with_everything_a_smoke_check_reads(api: Callable[..., TestClient]) -> None:
    answer = api(commit="0a1b2c3").get("/health")
    assert answer.status_code == 200
    assert answer.json() == {
        "status": "healthy",
        "reasons": [],
        "version": "1.0.0",
        "commit": "0a1b2c3",
        "database": {"status": "ok", "error": None},
        "migrations": {"current": "0002", "head": "0002", "up_to_date": True, "state": "current"},
        "cache": {"status": "ok", "error": None},
    }


def test_the_address_that_a_deployment_prints_answers(api: Callable[..., TestClient]) -> None:
    assert api().get("/").json() == api().get("/info").json()


def test_lost_database_is_503_and_says_so(api: Callable[..., TestClient], tmp_path: Path) -> None:
    nowhere = create_engine(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}")
    answer = api(engine=nowhere).get("/health")
    body = answer.json()
    assert answer.status_code == 503
    assert body["status"] == "unhealthy"
    assert body["database"]["status"] == "unreachable"
    assert body["migrations"] == {"current": None, "head": "0002", "up_to_date": False, "state": "unknown"}
    assert body["reasons"] == ["database: unable to open database file"]


def test_request_without_database_is_503_and_says_so(api: Callable[..., TestClient], tmp_path: Path) -> None:
    nowhere = create_engine(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}")
    answer = api(engine=nowhere).get("/notes")
    assert answer.status_code == 503
    assert answer.json() == {"detail": "the database does not answer"}


def test_pending_migrations_keep_traffic_away(api: Callable[..., TestClient], empty_engine: Engine) -> None:
    with empty_engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    answer = api().get("/health")
    assert answer.status_code == 503
    assert answer.json()["migrations"] == {"current": "0001", "head": "0002", "up_to_date": False, "state": "pending"}


def test_release_brought_back_serves_on_a_newer_schema(api: Callable[..., TestClient], engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    answer = api().get("/health")
    assert answer.status_code == 200
    assert answer.json()["migrations"] == {"current": "9999", "head": "0002", "up_to_date": True, "state": "newer"}


def test_lost_cache_degrades_but_serves(api: Callable[..., TestClient], valkey: FakeServer) -> None:
    valkey.connected = False
    answer = api().get("/health")
    assert answer.status_code == 200
    assert answer.json()["status"] == "degraded"
    assert answer.json()["cache"]["status"] == "unreachable"


@pytest.mark.parametrize(
    ("current", "state"),
    [
        (None, SchemaState.PENDING),
        ("0001", SchemaState.PENDING),
        ("0002", SchemaState.CURRENT),
        ("9999", SchemaState.NEWER),
    ],
)
def test_every_revision_relates_to_this_release(schema: Schema, current: str | None, state: SchemaState) -> None:
    assert schema.compare(current).state is state
