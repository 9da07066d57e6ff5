"""Which migration the database is at, which one this release needs, and how to get there."""

import logging
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine

from app.errors import ExampleError

__all__ = ["Schema", "SchemaState", "SchemaStatus"]

CONFIG_FILE = Path(__file__).resolve().parent.parent / "alembic.ini"
RETRY_SECONDS = 0.5

logger = logging.getLogger(__name__)


class SchemaState(StrEnum):
    """How the database's schema relates to the one this release was written for."""

    CURRENT = "current"
    PENDING = "pending"
    NEWER = "newer"
    """A later release has migrated further, which is what a rollback finds. Migrations only add, so this serves."""


@dataclass(frozen=True, kw_only=True)
class SchemaStatus:
    """The database's revision beside the one this release needs."""

    current: str | None
    head: str
    state: SchemaState

    @property
    def up_to_date(self) -> bool:
        """Whether the database has everything this release needs."""
        return self.state is not SchemaState.PENDING


class Schema:
    """The migrations of this release; read from disk once."""

    def __init__(self, config_file: Path = CONFIG_FILE) -> None:
        self._config = Config(config_file)
        script = ScriptDirectory.from_config(self._config)
        head = script.get_current_head()
        if head is None:
            raise ExampleError("There are no migrations in this image: migrations/versions is empty.")
        self._head = head
        self._known = {revision.revision for revision in script.walk_revisions()}

    def status(self, connection: Connection) -> SchemaStatus:
        """Ask the database for its revision."""
        return self.compare(MigrationContext.configure(connection).get_current_revision())

    def compare(self, current: str | None) -> SchemaStatus:
        """Relate a revision to this release."""
        if current == self._head:
            state = SchemaState.CURRENT
        elif current is None or current in self._known:
            state = SchemaState.PENDING
        else:
            state = SchemaState.NEWER
        return SchemaStatus(current=current, head=self._head, state=state)

    def upgrade(self, engine: Engine) -> None:
        """Apply what is pending; `migrations/env.py` holds the lock that lets replicas do this at the same time."""
        with engine.connect() as connection:
            status = self.status(connection)
        if status.state is SchemaState.PENDING:
            self._config.attributes["engine"] = engine
            command.upgrade(self._config, "head")
            logger.info("migrated the database from %s to %s", status.current or "nothing", self._head)
        else:
            logger.info("no migrations to apply: the database is at %s", status.current)

    def wait(self, engine: Engine, *, seconds: float) -> None:
        """Return as soon as nothing is pending.

        Raises:
            ExampleError: when migrations are still pending after the given time.
        """
        deadline = time.monotonic() + seconds
        while True:
            with engine.connect() as connection:
                status = self.status(connection)
            if status.up_to_date:
                return
            if time.monotonic() >= deadline:
                raise ExampleError(
                    f"The database is at revision {status.current or 'none'}, this release needs {status.head}. "
                    "Apply the migrations: docker compose run --rm api alembic upgrade head"
                )
            logger.info("waiting for migrations: at %s, need %s", status.current or "none", status.head)
            time.sleep(RETRY_SECONDS)
