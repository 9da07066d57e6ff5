"""Everything the example reads from its environment, read once and validated together."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TypeVar

from app.errors import ExampleError
from app.faults import Faults

__all__ = ["Settings"]

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The values one process runs with; its repr never shows the password."""

    commit: str = "unknown"
    """Commit of the running release. From the environment, never from the image: it must not change a digest."""

    database_url: str | None = field(default=None, repr=False)
    """A complete SQLAlchemy address, instead of the four values below; the tests use it."""

    postgres_host: str = "db"
    postgres_database: str = "example"
    postgres_user: str = "example"
    postgres_password: str | None = field(default=None, repr=False)

    cache_url: str = "redis://cache:6379/0"

    wait_seconds: float = 60.0
    """How long to wait at start for the database, its schema or the cache before giving up."""

    migrate_on_start: bool = False
    """Whether the API applies migrations itself; a deployment tool does it as a step of its own."""

    features_file: Path | None = None
    """JSON file with the settings that the front page shows (see `app.features`)."""

    heartbeat_file: Path | None = None
    """File that worker and scheduler touch while all is well; their health check reads its age."""

    schedule_seconds: float = 30.0
    """How often the scheduler enqueues a report."""

    faults: Faults = field(default_factory=Faults)
    """Failures asked for by a test; none by default."""

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Read every setting.

        Raises:
            ExampleError: with all problems, one a line.
        """
        problems: list[str] = []

        def read(key: str, convert: Callable[[str], Value], default: Value) -> Value:
            text = environment.get(key, "").strip()
            if not text:
                return default
            try:
                return convert(text)
            except ValueError as error:
                problems.append(f"{key}={text!r}: {error}")
                return default

        settings = cls(
            commit=read("APP_COMMIT", str, "unknown"),
            database_url=read("DATABASE_URL", str, None),
            postgres_host=read("POSTGRES_HOST", str, "db"),
            postgres_database=read("POSTGRES_DB", str, "example"),
            postgres_user=read("POSTGRES_USER", str, "example"),
            postgres_password=environment.get("POSTGRES_PASSWORD") or None,
            cache_url=read("CACHE_URL", str, "redis://cache:6379/0"),
            wait_seconds=read("WAIT_SECONDS", _seconds, 60.0),
            migrate_on_start=read("MIGRATE_ON_START", _switch, default=False),
            features_file=read("FEATURES_FILE", Path, None),
            heartbeat_file=read("HEARTBEAT_FILE", Path, None),
            schedule_seconds=read("SCHEDULE_SECONDS", _seconds, 30.0),
            faults=Faults(
                fail_health=read("FAIL_HEALTH", _switch, default=False),
                crash_after=read("CRASH_AFTER", _seconds, None),
                start_delay=read("START_DELAY", _seconds, 0.0),
                slow_ms=read("SLOW_MS", _seconds, 0.0),
                error_rate=read("ERROR_RATE", _share, 0.0),
            ),
        )
        if problems:
            raise ExampleError("The environment has values that cannot be used:\n  " + "\n  ".join(problems))
        return settings


def _switch(text: str) -> bool:
    match text.lower():
        case "1" | "true" | "yes" | "on":
            return True
        case "0" | "false" | "no" | "off":
            return False
        case _:
            raise ValueError("expected 1 or 0")


def _seconds(text: str) -> float:
    number = float(text)
    if number < 0:
        raise ValueError("expected zero or more")
    return number


def _share(text: str) -> float:
    number = float(text)
    if not 0 <= number <= 1:
        raise ValueError("expected a share from 0 to 1")
    return number
