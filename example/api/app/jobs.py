"""The work itself: what each kind of job finds out."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from app.models import JobResult, Note
from app.queue import Job

__all__ = ["JobKind", "perform"]

RESULTS_KEPT = timedelta(days=7)


class JobKind(StrEnum):
    """What the queue carries."""

    COUNT_WORDS = "count-words"
    """Asked for by every new note."""

    REPORT = "report"
    """Asked for by the scheduler; also drops results that are older than `RESULTS_KEPT`."""


def perform(job: Job, session: Session) -> dict[str, Any]:
    """Do one job; the result to store. A job that makes no sense results in an error, so that it is not tried again."""
    match job.kind:
        case JobKind.COUNT_WORDS:
            note = session.get(Note, job.payload.get("note"))
            if note is None:
                return {"error": "the note is gone"}
            return {"note": note.id, "words": len(note.text.split()), "characters": len(note.text)}
        case JobKind.REPORT:
            session.execute(delete(JobResult).where(JobResult.finished_at < datetime.now(UTC) - RESULTS_KEPT))
            return {
                "notes": session.scalar(select(func.count(Note.id))),
                "jobs": session.scalar(select(func.count(JobResult.id))),
            }
        case _:
            return {"error": f"unknown kind of job: {job.kind}"}
