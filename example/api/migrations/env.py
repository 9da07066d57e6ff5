"""How Alembic runs here, for `alembic upgrade head` and for MIGRATE_ON_START alike.

Migrations only add (expand first, contract a release later), so that the release before keeps serving on the new
schema. For the same reason a database that a later release has migrated further is left as it is: that is what a
rollback finds.
"""

import logging
import sys

from alembic import context
from sqlalchemy import Connection, Engine, text

from app.database import connect, wait_for_database
from app.errors import ExampleError
from app.models import Base
from app.schema import Schema, SchemaState
from app.settings import Settings

# Any number, as long as every replica and every release uses the same one.
LOCK = 7_546_001
LOCK_TIMEOUT = "60s"

logger = logging.getLogger("migrations")


def migrate(engine: Engine) -> None:
    """Apply what is pending, one process at a time."""
    with engine.connect() as connection:
        context.configure(connection=connection, target_metadata=Base.metadata)
        with context.begin_transaction():
            wait_for_turn(connection)
            current = context.get_context().get_current_revision()
            if Schema().compare(current).state is SchemaState.NEWER:
                logger.info("left as it is: the database is at %s, which is newer than this release", current)
                return
            context.run_migrations()


def wait_for_turn(connection: Connection) -> None:
    """Hold a lock that PostgreSQL releases with the transaction, also when this process dies."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": LOCK})


def main() -> None:
    """Migrate the engine that the caller gave, or the one of the environment."""
    given: Engine | None = context.config.attributes.get("engine")
    if given is not None:
        migrate(given)
        return
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    try:
        settings = Settings.from_environment()
        engine = connect(settings, role="migrate")
        wait_for_database(engine, seconds=settings.wait_seconds)
    except ExampleError as error:
        sys.exit(f"migrations: {error}")
    migrate(engine)


main()
