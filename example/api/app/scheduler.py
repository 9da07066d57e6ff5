"""The scheduler: enqueues a report from time to time."""

import logging
import time

from app.heartbeat import Heartbeat
from app.queue import Queue, QueueError
from app.settings import Settings

__all__ = ["Scheduler", "run"]

TICK_SECONDS = 1.0
REPORT = "report"  # app.jobs.JobKind.REPORT; not imported, because that would load SQLAlchemy for one word

logger = logging.getLogger(__name__)


class Scheduler:
    """Keeps the time of the next report. One is due at once, so that a fresh deployment has something to show."""

    def __init__(self, *, queue: Queue, heartbeat: Heartbeat, every: float) -> None:
        self._queue = queue
        self._heartbeat = heartbeat
        self._every = every
        self._due = 0.0

    def tick(self, now: float) -> None:
        """Enqueue what is due; the heartbeat is written only while the queue answers."""
        try:
            if now >= self._due:
                job = self._queue.enqueue(REPORT)
                self._due = now + self._every
                logger.info("enqueued %s (%s)", job, REPORT)
            else:
                self._queue.ping()
        except QueueError as error:
            logger.warning("the queue does not answer: %s", error)
        else:
            self._heartbeat.beat()


def run() -> None:
    """Schedule until SIGTERM, which ends the sleep (see `app.__main__`)."""
    settings = Settings.from_environment()
    scheduler = Scheduler(
        queue=Queue.connect(settings.cache_url),
        heartbeat=Heartbeat(settings.heartbeat_file),
        every=settings.schedule_seconds,
    )
    logger.info("scheduling a report every %g s", settings.schedule_seconds)
    try:
        while True:
            scheduler.tick(time.monotonic())
            time.sleep(TICK_SECONDS)
    finally:
        logger.info("stopped")
