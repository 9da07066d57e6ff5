"""The job queue: a stream in Valkey that every worker reads through one consumer group.

A job is taken, done and only then removed. What a worker leaves behind when it dies is taken over by another one, so
that a job runs at least once; its result carries its id, so that a repetition changes nothing.
"""

import json
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from redis import Redis, RedisError, ResponseError
from redis.backoff import NoBackoff
from redis.retry import Retry

__all__ = ["Job", "Queue", "QueueError"]

STREAM = "jobs"
GROUP = "workers"
ABANDONED_AFTER_SECONDS = 15
LONGEST_QUEUE = 10_000

QueueError = RedisError
"""What every method raises when Valkey does not answer."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One thing to do; the id is Valkey's."""

    id: str
    kind: str
    payload: dict[str, Any] = field(default_factory=dict)


class Queue:
    """One process's end of the queue."""

    def __init__(self, client: Redis, *, abandoned_after: float = ABANDONED_AFTER_SECONDS) -> None:
        self._client = client
        self._abandoned_after_ms = int(abandoned_after * 1000)

    @classmethod
    def connect(cls, url: str) -> Self:
        """A queue over a new client; no connection is made yet."""
        # One immediate retry replaces a connection that Valkey closed; anything longer would stall a health check.
        client = Redis.from_url(
            url, decode_responses=True, socket_connect_timeout=1, socket_timeout=2, retry=Retry(NoBackoff(), 1)
        )
        return cls(client)

    def ping(self) -> None:
        """Return when Valkey answers."""
        self._client.ping()

    def waiting(self) -> int:
        """Jobs that are not done yet."""
        return int(self._client.xlen(STREAM))

    def enqueue(self, kind: str, payload: dict[str, Any] | None = None) -> str:
        """Add a job; its id."""
        fields: dict[Any, Any] = {"kind": kind, "payload": json.dumps(payload or {})}
        return str(self._client.xadd(STREAM, fields, maxlen=LONGEST_QUEUE, approximate=True))

    def take(self, worker: str, *, wait_ms: int) -> Job | None:
        """An abandoned job or the next new one; None when there is none within `wait_ms`."""
        try:
            return self._abandoned(worker) or self._next(worker, wait_ms)
        except ResponseError as error:
            if not str(error).startswith("NOGROUP"):
                raise
            self._create_group()
            return None

    def done(self, job: Job) -> None:
        """Remove a job whose result is stored."""
        pipeline = self._client.pipeline()
        pipeline.xack(STREAM, GROUP, job.id)
        pipeline.xdel(STREAM, job.id)
        pipeline.execute()

    def leave(self, worker: str) -> None:
        """Forget a worker that ends and holds no job."""
        if not self._client.xpending_range(STREAM, GROUP, "-", "+", 1, consumername=worker):
            self._client.xgroup_delconsumer(STREAM, GROUP, worker)

    def _create_group(self) -> None:
        with suppress(ResponseError):  # another worker was quicker
            self._client.xgroup_create(STREAM, GROUP, id="0", mkstream=True)

    def _abandoned(self, worker: str) -> Job | None:
        reply: Any = self._client.xautoclaim(STREAM, GROUP, worker, self._abandoned_after_ms, count=1)
        return _first(reply[1])

    def _next(self, worker: str, wait_ms: int) -> Job | None:
        reply: Any = self._client.xreadgroup(GROUP, worker, {STREAM: ">"}, count=1, block=wait_ms)
        return _first(reply[0][1]) if reply else None


def _first(entries: list[tuple[str, dict[str, str]]]) -> Job | None:
    for entry_id, fields in entries:
        return Job(id=entry_id, kind=fields["kind"], payload=json.loads(fields["payload"]))
    return None
