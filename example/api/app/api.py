"""The HTTP API. nginx serves it under `/api/`; here it has no prefix."""

import logging
import socket
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import uvicorn
from fastapi import APIRouter, FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Engine, select
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from app import __version__
from app.database import connect, first_line, wait_for_database
from app.faults import FaultyTraffic
from app.features import Features
from app.health import Health, HealthReport, HealthStatus
from app.jobs import JobKind
from app.models import JobResult, Note
from app.queue import Queue, QueueError
from app.schema import Schema
from app.settings import Settings

__all__ = ["create_app", "serve"]

PORT = 8000
# Longer than the 90 s for which proxies such as Traefik keep an idle connection: the proxy must be the one to close it,
# or a request can meet a connection that is closing.
KEEP_ALIVE_SECONDS = 120
DRAIN_SECONDS = 5

logger = logging.getLogger(__name__)


class NoteIn(BaseModel):
    """A note to add."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    text: str = Field(min_length=1, max_length=500)


class NoteOut(BaseModel):
    """A note, and the job that counts its words; no job while the queue is away."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    text: str
    created_at: datetime
    job: str | None = None


class JobOut(BaseModel):
    """A finished job."""

    model_config = ConfigDict(from_attributes=True)

    id: str
    kind: str
    result: dict[str, Any]
    worker: str
    finished_at: datetime


class Info(BaseModel):
    """What the front page needs to know besides the health."""

    version: str
    commit: str
    host: str
    features: Features


def create_app(*, settings: Settings, engine: Engine, queue: Queue, schema: Schema, features: Features) -> FastAPI:
    """The application over its collaborators; nothing is connected yet."""
    # The interactive documentation would load its scripts from another site; the front page is the one to look at.
    app = FastAPI(title="Slipway example", version=__version__, docs_url=None, redoc_url=None)
    if settings.faults.disturb_traffic:
        app.add_middleware(FaultyTraffic, faults=settings.faults)
    for error in (OperationalError, PoolTimeout):
        app.add_exception_handler(error, answer_database_away)
    health = Health(settings=settings, engine=engine, queue=queue, schema=schema)

    @app.get("/health")
    def read_health(response: Response) -> HealthReport:
        report = health.report()
        if report.status is HealthStatus.UNHEALTHY:
            response.status_code = 503
        return report

    @app.get("/", include_in_schema=False)  # the address that a deployment prints
    @app.get("/info")
    def read_info() -> Info:
        return Info(version=__version__, commit=settings.commit, host=socket.gethostname(), features=features)

    app.include_router(note_routes(engine=engine, queue=queue, features=features))
    app.include_router(job_routes(engine=engine, queue=queue, features=features))
    return app


def answer_database_away(_request: Request, error: Exception) -> JSONResponse:
    """503 instead of a 500 with a traceback: it is not this request's fault, and a later one may succeed."""
    logger.warning("the database does not answer: %s", first_line(error) if isinstance(error, DBAPIError) else error)
    return JSONResponse({"detail": "the database does not answer"}, status_code=503)


def note_routes(*, engine: Engine, queue: Queue, features: Features) -> APIRouter:
    """Notes: list the newest, add one."""
    router = APIRouter(prefix="/notes")

    @router.get("", response_model=list[NoteOut])
    def list_notes() -> Sequence[Note]:
        with Session(engine) as session:
            return session.scalars(select(Note).order_by(Note.id.desc()).limit(features.recent)).all()

    @router.post("", status_code=201)
    def add_note(body: NoteIn) -> NoteOut:
        if not features.notes:
            raise HTTPException(403, "notes are switched off in features.json")
        with Session(engine, expire_on_commit=False) as session, session.begin():
            note = Note(text=body.text)
            session.add(note)
        added = NoteOut.model_validate(note)
        try:
            added.job = queue.enqueue(JobKind.COUNT_WORDS, {"note": note.id})
        except QueueError as error:
            logger.warning("note %s is kept, but not counted: %s", note.id, error)
        return added

    return router


def job_routes(*, engine: Engine, queue: Queue, features: Features) -> APIRouter:
    """Jobs: list the newest results, ask for a report."""
    router = APIRouter(prefix="/jobs")

    @router.get("", response_model=list[JobOut])
    def list_results() -> Sequence[JobResult]:
        newest_first = select(JobResult).order_by(JobResult.finished_at.desc())
        with Session(engine) as session:
            return session.scalars(newest_first.limit(features.recent)).all()

    @router.post("", status_code=202)
    def ask_for_report() -> dict[str, str]:
        try:
            return {"job": queue.enqueue(JobKind.REPORT)}
        except QueueError as error:
            raise HTTPException(503, "the queue does not answer") from error

    return router


def serve() -> None:
    """Serve until SIGTERM."""
    settings = Settings.from_environment()
    features = Features.load(settings.features_file)
    schema = Schema()
    engine = connect(settings, role="api")
    wait_for_database(engine, seconds=settings.wait_seconds)
    if settings.migrate_on_start:
        schema.upgrade(engine)
    settings.faults.delay_start()
    app = create_app(
        settings=settings,
        engine=engine,
        queue=Queue.connect(settings.cache_url),
        schema=schema,
        features=features,
    )
    settings.faults.arm_crash()
    uvicorn.run(
        app,
        host="0.0.0.0",  # noqa: S104 - inside a container; what is published is the Compose file's decision
        port=PORT,
        lifespan="off",
        log_config=None,
        access_log=False,  # nginx writes one
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )
