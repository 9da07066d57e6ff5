"""The connection to PostgreSQL, and the bounded wait for it."""

import logging
import time

from sqlalchemy import URL, Engine, create_engine
from sqlalchemy.exc import DBAPIError

from app.errors import ExampleError
from app.settings import Settings

__all__ = ["connect", "first_line", "wait_for_database"]

RETRY_SECONDS = 0.5

logger = logging.getLogger(__name__)


def connect(settings: Settings, *, role: str) -> Engine:
    """An engine for this process; no connection is made yet.

    Raises:
        ExampleError: when the password is not set.
    """
    if settings.database_url is not None:
        return create_engine(settings.database_url)
    if settings.postgres_password is None:
        raise ExampleError(
            "POSTGRES_PASSWORD is not set, so the database cannot be reached. "
            "Set it in the environment or in .env beside compose.yaml."
        )
    url = URL.create(
        "postgresql+psycopg",
        username=settings.postgres_user,
        password=settings.postgres_password,
        host=settings.postgres_host,
        database=settings.postgres_database,
    )
    return create_engine(
        url,
        pool_pre_ping=True,  # a restarted database must not fail the first requests after it
        pool_timeout=3,
        connect_args={"connect_timeout": 2, "application_name": f"example-{role}"},
    )


def wait_for_database(engine: Engine, *, seconds: float) -> None:
    """Return as soon as the database answers.

    Raises:
        ExampleError: when it does not within the given time.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            with engine.connect():
                return
        except DBAPIError as error:
            if time.monotonic() >= deadline:
                raise ExampleError(
                    f"The database did not answer within {seconds:g} s: {first_line(error)}. "
                    "See `docker compose ps db` and `docker compose logs db`."
                ) from error
            logger.info("waiting for the database: %s", first_line(error))
            time.sleep(RETRY_SECONDS)


def first_line(error: DBAPIError) -> str:
    """The driver's own words, without SQLAlchemy's statement and link."""
    return next(iter(str(error.orig).splitlines()), type(error.orig).__name__)
