"""Migrations and one-offs: once per release, before anything live is replaced, and gone afterwards however they end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from simulation import KILLED

if TYPE_CHECKING:
    from simulation import Simulation


def migrating(stack: Simulation, api: str = "1", command: str = "ok", **more: Any) -> dict[str, Any]:
    return stack.shop(api, slipway={"api": {"migrate": {"command": [command], "deadline": 20}}}, **more)


def migrations(stack: Simulation) -> int:
    """How many were started on this host so far."""
    starts = [each for each in stack.host.engine.events if each["Action"] == "start"]
    return sum("-migrate-" in each["Actor"]["Attributes"]["name"] for each in starts)


def test_a_migration_runs_once_per_release_before_anything_is_replaced(stack: Simulation) -> None:
    first = stack.deploy(migrating(stack, "1"))
    assert first.err.index("health db healthy") < first.err.index("migrate api") < first.err.index("start:api")
    assert migrations(stack) == 1
    for version, count in (("2", 2), ("2", 2), ("1", 2)):
        assert stack.deploy(migrating(stack, version)).code == 0
        assert migrations(stack) == count
    assert [each.name for each in stack.containers()] == ["shop-api-1", "shop-db-1"]


def test_a_failed_migration_leaves_everything_untouched(stack: Simulation) -> None:
    first = stack.deploy(stack.shop()).report["release"]
    before = stack.ids()
    ended = stack.deploy(migrating(stack, "2", "fail"))
    assert "the migration of api failed with exit code 3" in ended.error
    assert f"release {first} still serves" in ended.error
    assert "| running fail" in ended.err
    assert stack.ids() == before
    assert "migrated" not in stack.outcomes()


def test_a_migration_that_hangs_is_ended_at_its_deadline_and_removed(stack: Simulation) -> None:
    stack.deploy(stack.shop())
    before = stack.ids()
    ended = stack.deploy(migrating(stack, "2", "hang"))
    assert "the migration of api took longer than 20 s" in ended.error
    assert 20 < ended.seconds < 22
    assert stack.ids() == before


@pytest.mark.parametrize("seconds", [0.3, 0.5, 5.0])
def test_killed_in_the_middle_of_a_migration_it_runs_again_alone(stack: Simulation, seconds: float) -> None:
    stack.deploy(stack.shop())
    process, ended = stack.begin(migrating(stack, "2", "hang"))
    stack.later(seconds)
    stack.world.kill(process)
    assert ended().code == KILLED
    assert stack.deploy(migrating(stack, "2")).code == 0
    assert [each.name for each in stack.containers()] == ["shop-api-1", "shop-db-1"]
    assert stack.versions()["api"] == ["2"]
    stack.later(60)
    assert len(stack.containers()) == 2


def test_what_a_migration_depends_on_is_started_for_it_and_for_good(stack: Simulation) -> None:
    stack.deploy(migrating(stack))
    assert stack.steps()[4:14:2] == [
        f"{step}:started" for step in ("start:db", "await:db", "migrate:api", "start:api", "await:api")
    ]


def test_an_irreversible_migration_is_on_record(stack: Simulation) -> None:
    lasting = {"command": ["ok"], "deadline": 20, "irreversible": True}
    stack.deploy(stack.shop(slipway={"api": {"migrate": lasting}}))
    [line] = [line for line in stack._lines("ledger.jsonl") if line["outcome"] == "migrated"]
    assert (line["service"], line["irreversible"]) == ("api", True)


def test_a_one_off_that_ended_well_is_not_run_again_until_it_changes(stack: Simulation) -> None:
    def with_one_off(version: str) -> dict[str, Any]:
        init = stack.service(environment={"MODE": "done", "VERSION": version})
        del init["healthcheck"]
        needs = {"init": {"condition": "service_completed_successfully"}}
        return stack.release({"init": init, "api": stack.service(depends_on=needs)})

    report = stack.deploy(with_one_off("1")).report
    assert report["services"]["init"]["containers"][0]["state"] == "completed"
    assert stack.probe()["drift"] == []
    init = stack.ids("init")
    assert stack.deploy(with_one_off("1")).report["outcome"] == "unchanged"
    assert stack.ids("init") == init
    assert stack.deploy(with_one_off("2")).report["touched"] == ["init"]
    assert stack.ids("init") != init


def test_a_one_off_that_fails_keeps_what_waits_for_it_from_starting(stack: Simulation) -> None:
    init = stack.service(environment={"MODE": "exit"})
    del init["healthcheck"]
    needs = {"init": {"condition": "service_completed_successfully"}}
    ended = stack.deploy(stack.release({"init": init, "api": stack.service(depends_on=needs)}))
    assert "one-off init failed: it ended with exit code 7" in ended.error
    assert stack.ids() == []
