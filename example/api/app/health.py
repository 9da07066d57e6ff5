"""What `/health` answers: the contract that health checks, smoke checks and the front page read."""

from enum import StrEnum

from pydantic import BaseModel
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from app import __version__
from app.database import first_line
from app.queue import Queue, QueueError
from app.schema import Schema
from app.settings import Settings

__all__ = ["Health", "HealthReport", "HealthStatus"]


class HealthStatus(StrEnum):
    """The verdict."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"
    """Serves (200), but without the queue: notes are kept, nothing is counted."""

    UNHEALTHY = "unhealthy"
    """Must not get traffic (503)."""


class Part(BaseModel):
    """One thing the API depends on: `ok`, or `unreachable` and what was said."""

    status: str
    error: str | None = None


class Migrations(BaseModel):
    """The database's revision beside the one this release needs."""

    current: str | None
    head: str
    up_to_date: bool
    state: str


class HealthReport(BaseModel):
    """The body of `/health`; the same fields whatever the verdict."""

    status: HealthStatus
    reasons: list[str]
    version: str
    commit: str
    database: Part
    migrations: Migrations
    cache: Part


class Health:
    """Asks everything the API depends on, each with a time limit of its own."""

    def __init__(self, *, settings: Settings, engine: Engine, queue: Queue, schema: Schema) -> None:
        self._settings = settings
        self._engine = engine
        self._queue = queue
        self._schema = schema

    def report(self) -> HealthReport:
        """The state right now."""
        database, migrations = self._ask_database()
        cache = self._ask_cache()
        blocking = []
        if database.error is not None:
            blocking.append(f"database: {database.error}")
        elif not migrations.up_to_date:
            blocking.append(f"migrations: at {migrations.current or 'none'}, need {migrations.head}")
        if self._settings.faults.fail_health:
            blocking.append("FAIL_HEALTH: unhealthy on request")
        hindering = [] if cache.error is None else [f"cache: {cache.error}"]

        status = HealthStatus.HEALTHY
        if blocking:
            status = HealthStatus.UNHEALTHY
        elif hindering:
            status = HealthStatus.DEGRADED
        return HealthReport(
            status=status,
            reasons=blocking + hindering,
            version=__version__,
            commit=self._settings.commit,
            database=database,
            migrations=migrations,
            cache=cache,
        )

    def _ask_database(self) -> tuple[Part, Migrations]:
        try:
            with self._engine.connect() as connection:
                schema = self._schema.status(connection)
        except SQLAlchemyError as error:
            unknown = self._schema.compare(None)
            said = first_line(error) if isinstance(error, DBAPIError) else str(error)
            return (
                Part(status="unreachable", error=said),
                Migrations(current=None, head=unknown.head, up_to_date=False, state="unknown"),
            )
        return (
            Part(status="ok"),
            Migrations(
                current=schema.current,
                head=schema.head,
                up_to_date=schema.up_to_date,
                state=schema.state,
            ),
        )

    def _ask_cache(self) -> Part:
        try:
            self._queue.ping()
        except QueueError as error:
            return Part(status="unreachable", error=str(error))
        return Part(status="ok")
