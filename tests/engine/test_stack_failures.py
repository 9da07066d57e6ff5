"""Releases that fail: the old one keeps serving, the reason is told, and the fixed one deploys without a hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack_harness import Stack

# What goes wrong → what the error names: what was probed or run, what it answered, and the log.
FAILURES = {
    "crash": ["web did not become healthy", "exit code 1", "cannot start: the configuration names no database"],
    "wrong": ["smoke check of web failed", ":8000/", 'field status is "confused"', '{"status": "confused"'],
    "migration-fails": ["migration of web failed", "app.py migrate", "the migration met a table that it does not know"],
}


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack]) -> Stack:
    """A deployed shop."""
    stack = make_stack()
    stack.up()
    return stack


@pytest.mark.parametrize("mode", FAILURES)
def test_release_that_fails_leaves_the_old_one_serving_with_its_data_and_says_why(stack: Stack, mode: str) -> None:
    live, before = stack.get()["version"], stack.containers()
    stack.get(f"/append/{mode}")
    data, volumes = stack.get("/data")["data"], stack.volumes()
    assert data.split()[-1] == mode
    stack.application.version("web", f"{live}-{mode}")
    stack.variables["MODE"] = mode

    run = stack.up(expect_failure=True)
    for words in FAILURES[mode]:
        assert words in run.text, f"{words!r} is not told:\n{run.text}"
    assert f"release {stack.outputs['release']}" in run.problem
    assert stack.serves(live)
    assert (stack.get("/data")["data"], stack.volumes()) == (data, volumes)
    after = stack.containers()
    assert after["web"].digest == before["web"].digest
    assert after["web"].environment == before["web"].environment
    assert after["side"].id == before["side"].id
    if mode == "migration-fails":
        assert after["web"].id == before["web"].id
    assert stack.ledger()[-1]["outcome"] == "failed"
    if mode == "crash":
        assert stack.preview().services == {"local/web": {"image", "environment"}}, (
            "it was not proven: it is to be made"
        )

    stack.variables.pop("MODE")
    if mode == list(FAILURES)[-1]:
        stack.up()
        assert stack.serves(f"{live}-{mode}")
        assert (stack.get("/data")["data"], stack.volumes()) == (data, volumes)


def test_image_that_does_not_build_shows_the_failing_steps_own_output(stack: Stack) -> None:
    live, before = stack.get()["version"], stack.host_state()["containers"]
    good = (stack.application.folder / "web/Dockerfile").read_text()
    stack.application.write({"web/Dockerfile": f"{good}RUN echo the compiler found no main >&2; exit 42\n"})
    run = stack.up(expect_failure=True)
    assert "the compiler found no main" in run.text
    assert "exit code: 42" in run.text
    assert stack.host_state()["containers"] == before
    assert stack.serves(live)

    stack.application.write({"web/Dockerfile": good})
    stack.application.version("web", "fixed")
    stack.up()
    assert stack.serves("fixed")


def test_first_deployment_that_fails_leaves_nothing_running_and_nothing_to_destroy_by_hand(
    make_stack: Callable[..., Stack],
) -> None:
    stack = make_stack(variables={"MODE": "wrong"}, removeVolumes=["data"])
    run = stack.up(expect_failure=True)
    assert "nothing was live before" in run.problem
    assert not stack.containers()
    assert not stack.networks()
    assert stack.volumes()

    stack.destroy()
    assert not stack.volumes()
    assert not stack.state_folder.exists()

    stack.variables.pop("MODE")
    stack.up()
    assert stack.serves("1")
