"""The record of an operation in a real store: at most one has the stack, whatever dies in between."""

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from obstore.exceptions import NotSupportedError
from obstore.store import LocalStore

from cli.locks.records import Predecessor, Record, Records, new_record
from slipway.contract.problems import SlipwayError

OBJECT = ".slipway/operations/shop/staging.json"


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "state", mkdir=True)


@pytest.fixture
def records(store: LocalStore) -> Records:
    return Records(store, "shop", "staging")


def _new(what: str = "up") -> Record:
    return new_record(what, "", {})


def _objects(store: LocalStore) -> list[str]:
    return sorted(entry["path"] for page in store.list() for entry in page)


def _at_once(count: int, does: Callable[[int], bool]) -> list[int]:
    """The numbers for which it was true, all begun at the same moment."""
    barrier, won = threading.Barrier(count), []

    def begin(number: int) -> None:
        barrier.wait()
        if does(number):
            won.append(number)

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return won


def test_of_many_at_once_exactly_one_begins(store: LocalStore) -> None:
    for stack in range(20):
        records = Records(store, "shop", f"s{stack}")
        new = [_new(str(number)) for number in range(8)]
        won = _at_once(8, lambda number, records=records, new=new: records.begin(new[number]))  # type: ignore[misc]
        assert [records.current()[-1].id] == [new[number].id for number in won]


def test_of_many_who_find_it_dead_exactly_one_takes_over(store: LocalStore) -> None:
    for stack in range(20):
        records = Records(store, "shop", f"s{stack}")
        assert records.begin(_new("dead"))
        found, new = records.current(), [_new(str(number)) for number in range(8)]

        def take(number: int, records: Records = records, found: Any = found, new: list[Record] = new) -> bool:
            return records.take_over(found, new[number])

        won = _at_once(8, take)
        assert [entry.id for entry in records.current()] == [new[number].id for number in won]
        assert len(won) == 1


def test_who_looked_before_a_takeover_does_not_take_from_the_new_one(records: Records, store: LocalStore) -> None:
    records.begin(_new("dead"))
    found, second = records.current(), _new("second")
    assert records.take_over(found, second)
    assert not records.take_over(found, _new("late"))
    assert [entry.id for entry in records.current()] == [second.id]
    records.end(second)
    assert not records.take_over(found, _new("later still"))
    assert _objects(store) == []


def test_one_that_died_while_taking_over_is_taken_over_itself(records: Records, store: LocalStore) -> None:
    dead, half = _new("dead"), _new("half")
    records.begin(dead)
    # what it had written when it died: that it comes next, and not yet the record
    store.put(f".slipway/operations/shop/staging/{dead.id}.next.json", half.model_dump_json().encode())
    found = records.current()
    assert [entry.id for entry in found] == [dead.id, half.id]
    third = _new("third")
    assert records.take_over(found, third)
    assert [entry.id for entry in records.current()] == [third.id]
    records.end(third)
    assert _objects(store) == []


def test_one_that_died_while_giving_up_is_taken_over(records: Records, store: LocalStore) -> None:
    dead = _new()
    records.begin(dead)
    last = dead.model_copy(update={"id": "0" * 32})
    store.put(f".slipway/operations/shop/staging/{dead.id}.next.json", last.model_dump_json().encode())
    following = _new("following")
    assert records.take_over(records.current(), following)
    assert [entry.id for entry in records.current()] == [following.id]


def test_an_operation_learns_that_it_was_taken_over_and_leaves_the_new_ones_record(records: Records) -> None:
    asleep, second = _new("asleep"), _new("second")
    records.begin(asleep)
    assert records.beat(asleep)
    records.take_over(records.current(), second)
    assert not records.beat(asleep)
    records.end(asleep)
    assert [entry.id for entry in records.current()] == [second.id]
    assert records.beat(second)


def test_a_record_removed_by_hand_is_made_again(records: Records, store: LocalStore) -> None:
    record = _new()
    records.begin(record)
    store.delete(OBJECT)
    assert records.beat(record)
    assert [entry.id for entry in records.current()] == [record.id]


def test_nothing_stays_behind(records: Records, store: LocalStore) -> None:
    record = _new()
    assert records.begin(record)
    assert records.beat(record)
    assert records.now() >= records.current()[0].seen
    records.end(record)
    assert _objects(store) == []


def test_a_sign_of_life_is_the_last_that_is_seen_of_it(records: Records) -> None:
    record = _new()
    records.begin(record)
    before = records.current()[0].seen
    records.beat(record)
    assert records.current()[0].seen > before


def test_what_took_over_still_says_from_whom_when_it_is_read_again(records: Records) -> None:
    first = _new("first")
    records.begin(first)
    [entry] = records.current()
    second = _new("second").model_copy(update={"took_over": Predecessor(record=first, seen=entry.seen)})
    records.take_over([entry], second)
    read = records.current()[-1].record
    assert read == second
    assert [each.record.what for each in read.predecessors()] == ["first"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b'{"id": "../../up"}', b'{"id": 7}', b"{}"])
def test_rubbish_in_the_place_of_a_record_can_be_taken_over(
    records: Records, store: LocalStore, content: bytes
) -> None:
    store.put(OBJECT, content)
    [entry] = records.current()
    assert entry.record is None
    assert entry.id.isalnum()
    new = _new()
    assert not records.begin(new)
    assert records.take_over([entry], new)
    assert [each.id for each in records.current()] == [new.id]
    records.end(new)
    assert _objects(store) == []


def test_a_record_of_a_later_version_is_read_as_far_as_it_goes(records: Records, store: LocalStore) -> None:
    record = _new()
    more = {**json.loads(record.model_dump_json()), "mood": "good"}
    store.put(OBJECT, json.dumps(more).encode())
    assert records.current()[0].record == record
    del more["since"]
    store.put(OBJECT, json.dumps(more).encode())
    [entry] = records.current()
    assert (entry.id, entry.record) == (record.id, None)  # its signs of life count all the same


class _Unconditional:
    """A store that cannot make an object only where there is none, as some that speak like S3."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def put(self, name: str, content: bytes, *, mode: str = "overwrite") -> None:
        if mode == "create":
            raise NotSupportedError("A header you provided implies functionality that is not implemented")
        self._store.put(name, content)


def test_a_store_without_conditions_is_looked_at_before_and_after(store: LocalStore) -> None:
    records = Records(_Unconditional(store), "shop", "staging")  # type: ignore[arg-type]
    first = _new("first")
    assert records.begin(first)
    assert not records.begin(_new("second"))
    assert records.current()[0].id == first.id


def test_a_store_that_cannot_be_written_is_told_with_what_it_means(tmp_path: Path, records: Records) -> None:
    (tmp_path / "state" / ".slipway").write_text("a file where a folder should be")
    with pytest.raises(SlipwayError) as refused:
        records.begin(_new())
    [problem] = refused.value.problems
    assert problem.what.startswith("the backend's objects cannot be written (")
    assert "Debug source" not in problem.what
    assert "was not begun" in problem.meaning


def test_the_record_of_a_ci_run_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {
        "GITHUB_RUN_ID": "123",
        "GITHUB_RUN_ATTEMPT": "2",
        "GITHUB_REPOSITORY": "acme/shop",
        "GITHUB_ACTOR": "ann",
        "GITHUB_SERVER_URL": "https://github.com",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    record = new_record("up", "two\nlines", given)
    assert record.actor == "ann (run 123 of acme/shop)"
    assert record.run is not None
    assert record.run.model_dump() == {
        "url": "https://github.com/acme/shop/actions/runs/123",
        "repository": "acme/shop",
        "id": 123,
        "attempt": 2,
    }
    assert record.does == "up, two lines"
