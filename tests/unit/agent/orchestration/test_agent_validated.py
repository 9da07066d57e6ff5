"""A failed deployment goes on to the release that was validated last, once what was live is back."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from simulation import KILLED
from thorough import sample

from slipway.compose.schema_check import checked

if TYPE_CHECKING:
    from simulation import Simulation


def broken(stack: Simulation) -> dict[str, Any]:
    return stack.shop("3", api_environment={"MODE": "exit"})


@pytest.fixture
def chain(stack: Simulation) -> tuple[dict[str, Any], dict[str, Any]]:
    """A, validated, and B, which took its place and is not."""
    a, b = stack.shop("1"), stack.shop("2")
    assert stack.deploy(a).code == 0
    assert stack.validate(a["id"]).report["changed"] is True
    assert stack.deploy(b).code == 0
    return a, b


def test_a_failed_update_ends_on_the_release_validated_last(
    stack: Simulation, chain: tuple[dict[str, Any], ...]
) -> None:
    a, b = chain
    db = stack.ids("db")
    ended = stack.deploy(broken(stack))
    assert "service api did not become healthy" in ended.error
    assert f"rolled back to release {a['id']}, the last validated one, which serves" in ended.error
    assert f"(release {b['id']}, live before, is not validated)" in ended.error
    assert stack.versions() == {"api": ["1"], "db": ["1"]}
    assert stack.ids("db") == db, "what did not differ was touched"
    probe = stack.probe()
    checked("probe", probe)
    assert (probe["live"]["release"], probe["validated"]) == (a["id"], a["id"])
    assert (probe["drift"], probe["interrupted"], probe["convergence"]) == ([], None, "")
    assert stack.outcomes()[-2:] == ["returned", "failed"]
    assert "rejected" not in stack.outcomes(), "it is only unproven by tests"
    # What served in between came back first: it was there, so it took the shortest time.
    assert ended.err.index(f"back {b['id']}") < ended.err.index(f"back on to {a['id']}")
    assert stack.deploy(a).report["outcome"] in ("unchanged", "repaired")


def test_without_marks_a_failed_update_ends_on_what_was_live(stack: Simulation) -> None:
    stack.deploy(stack.shop("1"))
    live = stack.deploy(stack.shop("2")).report["release"]
    assert f"rolled back to release {live}, which serves" in stack.deploy(broken(stack)).error
    assert stack.versions()["api"] == ["2"]
    assert stack.probe()["validated"] is None


def test_a_validated_live_release_is_where_a_failed_update_ends(
    stack: Simulation, chain: tuple[dict[str, Any], ...]
) -> None:
    _, b = chain
    stack.validate(b["id"])
    assert f"rolled back to release {b['id']}, which serves" in stack.deploy(broken(stack)).error
    assert stack.versions()["api"] == ["2"]


def test_an_update_that_failed_before_it_touched_anything_ends_there_too(
    stack: Simulation, chain: tuple[dict[str, Any], ...]
) -> None:
    a, _ = chain
    missing = "registry.test/shop/app@sha256:" + "f" * 64
    ended = stack.deploy(stack.shop(api_service={"image": missing}))
    assert f"rolled back to release {a['id']}, the last validated one, which serves" in ended.error
    assert stack.versions() == {"api": ["1"], "db": ["1"]}


def test_what_was_live_serves_when_the_record_of_the_validated_release_is_gone(
    stack: Simulation, chain: tuple[dict[str, Any], ...]
) -> None:
    a, b = chain
    shutil.rmtree(stack.host.home / "stacks" / "shop" / "releases" / a["id"])
    assert f"rolled back to release {b['id']}, which serves" in stack.deploy(broken(stack)).error
    assert stack.versions()["api"] == ["2"]


def test_a_validated_release_that_cannot_start_leaves_what_was_live_and_says_so(stack: Simulation) -> None:
    # Today's value of its secret is what breaks it.
    a = stack.shop("1", api_environment={"MODE": "${MODE_SECRET}"}, secrets=("MODE_SECRET",))
    stack.deploy(a, secrets={"MODE_SECRET": ""})
    stack.validate(a["id"])
    b = stack.deploy(stack.shop("2")).report["release"]
    failing = stack.shop("3", api_environment={"MODE": "exit", "X": "${MODE_SECRET}"}, secrets=("MODE_SECRET",))
    ended = stack.deploy(failing, secrets={"MODE_SECRET": "exit"})
    assert f"rolled back to release {b}, which serves" in ended.error
    assert f"could not roll back to the last validated release {a['id']}" in ended.error
    assert "cannot start: out of luck" in ended.err
    assert stack.versions() == {"api": ["2"], "db": ["1"]}
    probe = stack.probe()
    assert (probe["live"]["release"], probe["drift"], probe["interrupted"]) == (b, [], None)


def test_a_validated_release_comes_back_with_todays_secrets_or_not_at_all(stack: Simulation) -> None:
    a = stack.shop("1", api_environment={"TOKEN": "${TOKEN}"}, secrets=("TOKEN",))
    stack.deploy(a, secrets={"TOKEN": "of-yesterday"})
    stack.validate(a["id"])
    stack.deploy(stack.shop("2"))
    failing = stack.shop("3", api_environment={"MODE": "exit", "T": "${TOKEN}"}, secrets=("TOKEN",))
    ended = stack.deploy(failing, secrets={"TOKEN": "of-today"})
    assert f"rolled back to release {a['id']}, the last validated one" in ended.error
    assert stack.containers("api")[0].environment["TOKEN"] == "of-today"
    assert stack.probe()["drift"] == []
    kept = (stack.host.home / "stacks" / "shop" / "secrets.json").read_text()
    assert json.loads(kept) == {"TOKEN": "of-today"}
    stack.deploy(stack.shop("2"))
    ended = stack.deploy(broken(stack))
    assert "(its secrets TOKEN no longer have a value)" in ended.error
    assert stack.versions()["api"] == ["2"]


def test_killed_anywhere_on_the_way_to_the_validated_release_the_next_run_gets_there(
    stack: Simulation, chain: tuple[dict[str, Any], ...]
) -> None:
    a, b = chain
    stack.deploy(broken(stack))
    every: list[dict[str, Any]] = [{"kill": step} for step in stack.steps() if step.startswith("validated:")]
    every += [{"kill_at": number} for number in range(len(stack.points))]
    for where in sample(every):
        assert stack.deploy(b).code == 0
        killed = stack.deploy(broken(stack), **where)
        assert killed.code == KILLED, (where, killed.err)
        assert stack.probe()["live"]["release"] == b["id"], "it is not recorded before it is proven"
        again = stack.deploy(broken(stack))
        assert f"rolled back to release {a['id']}, the last validated one, which serves" in again.error, where
        probe = stack.probe()
        assert (probe["live"]["release"], probe["drift"], probe["interrupted"]) == (a["id"], [], None), where
        assert stack.versions() == {"api": ["1"], "db": ["1"]}
    assert len(every) > 10


def test_a_mark_is_refused_for_what_failed_and_twice_is_fine(stack: Simulation) -> None:
    a = stack.deploy(stack.shop("1")).report["release"]
    failed = broken(stack)
    stack.deploy(failed)
    assert f"release {failed['id']} was never proven on this host" in stack.validate(failed["id"]).error
    assert stack.validate(a).report["changed"] is True
    assert stack.validate(a).report["changed"] is False
    assert stack.probe()["validated"] == a
