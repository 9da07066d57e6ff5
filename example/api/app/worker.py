"""The worker: takes jobs from the queue and writes their results to PostgreSQL."""

import logging
import signal
import socket
import threading

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.database import connect, first_line, wait_for_database
from app.heartbeat import Heartbeat
from app.jobs import perform
from app.models import JobResult
from app.queue import Job, Queue, QueueError
from app.schema import Schema
from app.settings import Settings

__all__ = ["Worker", "run"]

TAKE_MS = 500  # also the longest time that an idle worker needs to notice SIGTERM
PAUSE_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Worker:
    """Does one job after the other until it is asked to stop; a job that has begun is finished."""

    def __init__(self, *, engine: Engine, queue: Queue, heartbeat: Heartbeat, name: str) -> None:
        self._engine = engine
        self._queue = queue
        self._heartbeat = heartbeat
        self._name = name
        self._stop = threading.Event()

    def stop(self) -> None:
        """Take no further job."""
        self._stop.set()

    def work(self) -> None:
        """Run until stopped. While PostgreSQL or Valkey is away there is no heartbeat, and the job stays queued."""
        logger.info("working as %s", self._name)
        while not self._stop.is_set():
            try:
                self.work_once(wait_ms=TAKE_MS)
            except QueueError as error:
                logger.warning("the queue does not answer: %s", error)
                self._stop.wait(PAUSE_SECONDS)
            except DBAPIError as error:
                logger.warning("the database does not answer: %s", first_line(error))
                self._stop.wait(PAUSE_SECONDS)
        self._leave()

    def work_once(self, *, wait_ms: int) -> bool:
        """Do the next job, if one comes in time; whether one came."""
        with self._engine.connect():  # no job is taken, and no heartbeat given, while its result could not be stored
            pass
        job = self._queue.take(self._name, wait_ms=wait_ms)
        if job is not None:
            self._store(job)
            self._queue.done(job)
            logger.info("job %s (%s) done", job.id, job.kind)
        self._heartbeat.beat()
        return job is not None

    def _store(self, job: Job) -> None:
        with Session(self._engine) as session, session.begin():
            result = perform(job, session)
            session.merge(JobResult(id=job.id, kind=job.kind, result=result, worker=self._name))

    def _leave(self) -> None:
        try:
            self._queue.leave(self._name)
        except QueueError as error:
            logger.warning("left without a word to the queue: %s", error)
        logger.info("stopped")


def run() -> None:
    """Work until SIGTERM."""
    settings = Settings.from_environment()
    engine = connect(settings, role="worker")
    wait_for_database(engine, seconds=settings.wait_seconds)
    Schema().wait(engine, seconds=settings.wait_seconds)
    worker = Worker(
        engine=engine,
        queue=Queue.connect(settings.cache_url),
        heartbeat=Heartbeat(settings.heartbeat_file),
        name=socket.gethostname(),
    )
    signal.signal(signal.SIGTERM, lambda *_: worker.stop())
    signal.signal(signal.SIGINT, lambda *_: worker.stop())
    worker.work()
