"""The main job on one host: what a change touches, and what it leaves alone."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack_harness import Run, Stack


@pytest.fixture(scope="module")
def bare(make_stack: Callable[..., Stack]) -> Stack:
    return make_stack()


@pytest.fixture(scope="module")
def first_run(bare: Stack) -> Run:
    return bare.up()


@pytest.fixture(scope="module")
def stack(bare: Stack, first_run: Run) -> Stack:
    """A deployed shop; every test takes what it finds live as its start, and deploys what it changes."""
    assert first_run.code == 0
    return bare


def touched(stack: Stack, before: dict[str, str]) -> set[str]:
    """The services whose containers are others than `before`."""
    return {service for service, identifier in stack.ids().items() if before.get(service) != identifier}


def test_up_deploys_what_was_built_and_serves_it(first_run: Run, stack: Stack) -> None:
    assert set(first_run.changes.values()) == {"create"}
    assert stack.get() == {"status": "ok", "version": "1", "greeting": None}

    outputs = stack.outputs
    assert outputs["urls"] == [f"http://127.0.0.1:{stack.port}/"]
    assert outputs["hosts"]["local"]["release"] == outputs["release"] == stack.ledger()[-1]["release"]
    assert sorted(outputs["hosts"]["local"]["touched"]) == ["side", "web"]
    for service, container in stack.containers().items():
        assert container.running
        assert container.digest == stack.tags(f"shop-{service}")[stack.name]
        assert container.image.startswith(f"{stack.engine.registry}/{stack.name}/shop-{service}")
    assert [update["result"] for update in stack.history()] == ["succeeded"]
    assert stack.get("/data")["migrations"] == "1\n"


def test_second_up_changes_nothing(stack: Stack) -> None:
    before, release = stack.host_state(), stack.outputs["release"]
    run = stack.up()
    assert set(run.steps.values()) == {"same"}
    assert "unchanged" in run.text
    assert f"{stack.name}: nothing to do" in stack.slipway("preview", "--detailed-exitcode").out
    after = stack.host_state()
    assert after["containers"] == before["containers"]
    assert after["volumes"] == before["volumes"]
    assert stack.outputs["release"] == release


def test_preview_shows_the_change_and_makes_none(stack: Stack) -> None:
    stack.application.version("side", "previewed")
    before, tags, runs = stack.host_state(), stack.tags("shop-side"), len(stack.history())
    preview = stack.preview()
    assert preview.changes == {"shop-side": "update", f"{stack.project}-local": "update"}
    assert preview.services == {"local/side": {"image"}}
    plan = preview.text.partition("plan for host local:")[2]
    assert re.search(
        r"web +migration run: if this release has not run it yet\s+side +recreated: image \(to be built\); interrupted",
        plan,
    ), plan
    assert "interrupted for a while: side" in plan
    assert stack.host_state() == before
    assert stack.tags("shop-side") == tags
    assert len(stack.history()) == runs
    stack.application.version("side", "1")


def test_preview_of_a_first_deployment_leaves_nothing_on_the_host(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    before = stack.host_state()
    assert set(stack.preview().changes.values()) == {"create"}
    assert stack.host_state() == before
    assert not stack.tags("shop-web")


def test_changed_service_touches_only_itself(stack: Stack) -> None:
    stack.application.version("web", "changed")
    before = stack.ids()
    run = stack.up()
    assert run.changes.get("shop-web") == run.changes[f"{stack.project}-local"] == "update"
    assert "web" in touched(stack, before)
    assert stack.serves("changed")

    stack.application.version("side", "changed")
    before = stack.ids()
    run = stack.up()
    assert run.changes == {"shop-side": "update", f"{stack.project}-local": "update"}
    assert touched(stack, before) == {"side"}


def test_changed_configuration_file_touches_only_its_reader(stack: Stack) -> None:
    stack.application.write({"config.json": '{"colour": "green"}'})
    before = stack.ids()
    run = stack.up()
    assert run.changes == {f"{stack.project}-local": "update"}
    assert run.services == {"local/web": {"mounts"}}
    assert touched(stack, before) == {"web"}
    assert stack.get("/config")["config"] == '{"colour": "green"}'


def test_changed_variable_touches_only_its_reader(stack: Stack) -> None:
    stack.variables["GREETING"] = "good morning"
    before = stack.ids()
    shown = stack.preview("--diff").text
    assert re.search(r"side +recreated: environment GREETING; interrupted until it is healthy", shown), shown
    assert re.search(r'~ environment *: \{\s+~ GREETING: "hello" => "good morning"\s+\}', shown), shown
    run = stack.up()
    assert run.changes == {f"{stack.project}-local": "update"}
    assert run.services == {"local/side": {"environment"}}
    assert touched(stack, before) == {"side"}
    assert stack.containers()["side"].environment["GREETING"] == "good morning"


def test_rotated_secret_touches_only_its_reader(stack: Stack) -> None:
    release = stack.outputs["release"]
    stack.secrets["TOKEN"] = "another-token-of-the-tests"
    before = stack.ids()
    shown = stack.preview("--diff").text
    assert "web  recreated: secret TOKEN; interrupted until it is healthy" in shown
    assert re.search(r'~ secretValues *: \{\s+~ TOKEN: "[0-9a-f]{16}" => "[0-9a-f]{16}"\s+\}', shown), shown
    run = stack.up()
    assert run.changes == {f"{stack.project}-local": "update"}
    assert run.services == {"local/web": {"secretValues"}}
    assert touched(stack, before) == {"web"}
    assert stack.containers()["web"].environment["TOKEN"] == "another-token-of-the-tests"
    assert stack.outputs["release"] == release


def test_preview_is_a_document_for_programs_and_a_comment_for_people(stack: Stack) -> None:
    stack.variables["GREETING"] = "good evening"
    document = json.loads(stack.slipway("preview", "--json", "--detailed-exitcode", expect=2).out)
    [side] = [each for each in document["hosts"][0]["changes"] if each["service"] == "side"]
    assert (side["action"], side["because"]) == ("recreated", ["environment GREETING"])
    assert side["seconds"] > 0, "it was recreated before"
    assert document["resources"] == []
    assert "| `side` | recreated | `environment GREETING` |" in stack.slipway("preview", "--markdown").out


def test_service_that_left_the_application_goes(stack: Stack) -> None:
    text = (stack.application.folder / "compose.yaml").read_text()
    without = text.replace("  side:", "  other:")
    stack.application.write({"compose.yaml": without})
    try:
        before = stack.ids()
        stack.up()
        assert stack.containers().keys() == {"web", "other"}
        assert touched(stack, before) == {"other"}
    finally:
        stack.application.write({"compose.yaml": text})
