"""A database per test (SQLite, migrated by the real migrations), a queue, and the API over both."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakeredis import FakeRedis, FakeServer
from fastapi.testclient import TestClient
from sqlalchemy import Engine

from app.api import create_app
from app.database import connect
from app.faults import Faults
from app.features import Features
from app.queue import Queue
from app.schema import Schema
from app.settings import Settings

ApiFactory = Callable[..., TestClient]


@pytest.fixture(autouse=True)
def _quiet_migrations() -> None:
    logging.getLogger("alembic").setLevel(logging.WARNING)


@pytest.fixture
def empty_engine(tmp_path: Path) -> Iterator[Engine]:
    settings = Settings(database_url=f"sqlite:///{tmp_path / 'example.db'}")
    engine = connect(settings, role="test")
    yield engine
    engine.dispose()


@pytest.fixture
def schema() -> Schema:
    return Schema()


@pytest.fixture
def engine(empty_engine: Engine, schema: Schema) -> Engine:
    schema.upgrade(empty_engine)
    return empty_engine


@pytest.fixture
def valkey() -> FakeServer:
    """What stands in for the Valkey server; `connected = False` takes it away."""
    return FakeServer()


@pytest.fixture
def queue(valkey: FakeServer) -> Queue:
    return Queue(FakeRedis(server=valkey, decode_responses=True), abandoned_after=0.05)


@pytest.fixture
def api(engine: Engine, queue: Queue, schema: Schema) -> ApiFactory:
    def build(
        *,
        faults: Faults | None = None,
        features: Features | None = None,
        commit: str = "unknown",
        engine: Engine = engine,
    ) -> TestClient:
        app = create_app(
            settings=Settings(commit=commit, faults=faults or Faults()),
            engine=engine,
            queue=queue,
            schema=schema,
            features=features or Features(),
        )
        return TestClient(app)

    return build
