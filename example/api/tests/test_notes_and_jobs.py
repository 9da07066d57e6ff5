"""From a note to the worker's result."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from fakeredis import FakeServer
from fastapi.testclient import TestClient
from sqlalchemy import Engine, create_engine, func, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from app.features import Features
from app.heartbeat import Heartbeat
from app.models import JobResult
from app.queue import Queue, QueueError
from app.scheduler import REPORT, Scheduler
from app.worker import Worker


@pytest.fixture
def worker(engine: Engine, queue: Queue) -> Worker:
    made = Worker(engine=engine, queue=queue, heartbeat=Heartbeat(None), name="worker-1")
    made.work_once(wait_ms=1)  # makes the consumer group
    return made


def results(engine: Engine) -> int:
    with Session(engine) as session:
        return session.scalar(select(func.count(JobResult.id))) or 0


def test_note_is_kept_and_its_words_are_counted(api: Callable[..., TestClient], worker: Worker) -> None:
    client = api()
    added = client.post("/notes", json={"text": "  two words "})
    assert added.status_code == 201
    assert added.json()["text"] == "two words"
    assert worker.work_once(wait_ms=1)
    [job] = client.get("/jobs").json()
    assert job["id"] == added.json()["job"]
    assert job["result"] == {"note": added.json()["id"], "words": 2, "characters": 9}
    assert job["worker"] == "worker-1"
    assert [note["text"] for note in client.get("/notes").json()] == ["two words"]


@pytest.mark.parametrize("text", ["", "   ", "x" * 501])
def test_unusable_note_is_refused(api: Callable[..., TestClient], text: str) -> None:
    assert api().post("/notes", json={"text": text}).status_code == 422


def test_note_is_kept_while_the_queue_is_away(api: Callable[..., TestClient], valkey: FakeServer) -> None:
    valkey.connected = False
    added = api().post("/notes", json={"text": "kept"})
    assert added.status_code == 201
    assert added.json()["job"] is None


def test_notes_can_be_switched_off(api: Callable[..., TestClient]) -> None:
    assert api(features=Features(notes=False)).post("/notes", json={"text": "no"}).status_code == 403


def test_only_as_many_as_configured_are_listed(api: Callable[..., TestClient]) -> None:
    client = api(features=Features(recent=2))
    for text in ("one", "two", "three"):
        client.post("/notes", json={"text": text})
    assert [note["text"] for note in client.get("/notes").json()] == ["three", "two"]


def test_job_of_a_worker_that_died_is_done_by_another(engine: Engine, worker: Worker, queue: Queue) -> None:
    queue.enqueue("report")
    assert queue.take("worker-that-dies", wait_ms=1) is not None
    assert not worker.work_once(wait_ms=1)
    time.sleep(0.06)
    assert worker.work_once(wait_ms=1)
    assert results(engine) == 1
    assert queue.waiting() == 0


def test_repeated_job_leaves_one_result(
    engine: Engine, worker: Worker, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue.enqueue("report")
    with monkeypatch.context() as patch:
        patch.setattr(queue, "done", lambda _: None)
        worker.work_once(wait_ms=1)
    time.sleep(0.06)
    assert worker.work_once(wait_ms=1)
    assert results(engine) == 1


def test_job_that_makes_no_sense_is_not_tried_for_ever(
    api: Callable[..., TestClient], worker: Worker, queue: Queue
) -> None:
    queue.enqueue("paint-the-shed")
    assert worker.work_once(wait_ms=1)
    assert queue.waiting() == 0
    assert api().get("/jobs").json()[0]["result"] == {"error": "unknown kind of job: paint-the-shed"}


def test_report_can_be_asked_for(api: Callable[..., TestClient], worker: Worker) -> None:
    client = api()
    assert client.post("/jobs").status_code == 202
    assert worker.work_once(wait_ms=1)
    assert client.get("/jobs").json()[0]["result"] == {"notes": 0, "jobs": 0}


def test_stopped_worker_leaves_nothing_behind(worker: Worker, queue: Queue) -> None:
    queue.enqueue("report")
    worker.stop()
    worker.work()
    assert queue.waiting() == 1


def test_no_job_is_taken_while_the_database_is_away(queue: Queue, tmp_path: Path) -> None:
    nowhere = create_engine(f"sqlite:///{tmp_path / 'no' / 'such' / 'folder.db'}")
    heartbeat = tmp_path / "heartbeat"
    worker = Worker(engine=nowhere, queue=queue, heartbeat=Heartbeat(heartbeat), name="worker-1")
    queue.enqueue("report")
    with pytest.raises(DBAPIError):
        worker.work_once(wait_ms=1)
    assert queue.waiting() == 1
    assert not heartbeat.exists()


def test_scheduler_enqueues_at_once_and_then_when_due(queue: Queue, tmp_path: Path) -> None:
    heartbeat = tmp_path / "heartbeat"
    scheduler = Scheduler(queue=queue, heartbeat=Heartbeat(heartbeat), every=30)
    for now in (100, 101, 129, 130):
        scheduler.tick(now)
    assert queue.waiting() == 2
    assert heartbeat.exists()
    job = queue.take("nobody", wait_ms=1) or queue.take("nobody", wait_ms=1)
    assert job is not None
    assert job.kind == REPORT


def test_no_heartbeat_while_the_queue_is_away(engine: Engine, queue: Queue, valkey: FakeServer, tmp_path: Path) -> None:
    heartbeat = tmp_path / "heartbeat"
    worker = Worker(engine=engine, queue=queue, heartbeat=Heartbeat(heartbeat), name="worker-1")
    valkey.connected = False
    Scheduler(queue=queue, heartbeat=Heartbeat(heartbeat), every=30).tick(100)
    with pytest.raises(QueueError):
        worker.work_once(wait_ms=1)
    assert not heartbeat.exists()
