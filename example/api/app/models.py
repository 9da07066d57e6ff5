"""The two tables of the example."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, DateTime, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = ["Base", "JobResult", "Note"]


def _now() -> datetime:
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """The schema that the newest migration produces."""


class Note(Base):
    """A line of text that somebody left on the front page."""

    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(500))
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=_now)


class JobResult(Base):
    """What the worker found out; its id is the job's id in the queue, so that a repeated job leaves one row."""

    __tablename__ = "job_results"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    result: Mapped[dict[str, Any]] = mapped_column(JSON)
    worker: Mapped[str] = mapped_column(String(120))
    finished_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=_now, index=True)
