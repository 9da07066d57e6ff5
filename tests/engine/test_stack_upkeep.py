"""What happens to a stack between deployments, and at its end: drift, moved tags, retention, destroy, its data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from applications import Application
from stack_harness import docker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stack_harness import Stack

STOCK = """\
name: stock
services:
  stock:
    image: ${IMAGE:?}
    init: true
    restart: unless-stopped
    command: [python3, -c, "import time; time.sleep(1e6)"]
"""


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack]) -> Stack:
    """A deployed shop."""
    stack = make_stack()
    stack.up()
    return stack


def test_drift_shows_in_preview_and_up_fixes_it(stack: Stack) -> None:
    """What else counts as drift is tried on the simulated machine."""
    release = stack.outputs["release"]
    docker("stop", stack.ids()["side"])

    preview = stack.preview()
    assert preview.changes == {f"{stack.project}-local": "update"}
    assert "host local: side: " in preview.said("warning")

    assert stack.up().changes == {f"{stack.project}-local": "update"}
    assert all(container.running for container in stack.containers().values())
    assert {name: each.digest for name, each in stack.containers().items()} == {
        name: stack.tags(f"shop-{name}")[stack.name] for name in ("side", "web")
    }
    assert stack.outputs["hosts"]["local"]["outcome"] == "repaired"
    assert stack.outputs["release"] == release

    again = stack.preview()
    assert set(again.steps.values()) == {"same"}
    assert not again.said("warning")


def test_foreign_container_in_the_way_is_named_and_left_alone(stack: Stack) -> None:
    container = stack.containers()["side"]
    docker("rm", "--force", container.id)
    foreign = docker("run", "--detach", "--name", container.name, container.image)
    try:
        problem = stack.up(expect_failure=True).problem
        assert container.name in problem
        assert docker("inspect", "--format", "{{.State.Running}}", foreign) == "true"
    finally:
        docker("rm", "--force", foreign)
    stack.up()
    assert stack.containers()["side"].running


@pytest.fixture
def moving_image(make_stack: Callable[..., Stack]) -> Iterator[tuple[Stack, Callable[[str, str], None]]]:
    """A stack of one third-party image, and how its owner pushes a tag of it with some content."""

    def stock(folder: Path) -> Application:
        return Application(folder, {"compose.yaml": STOCK})

    stack = make_stack(stock)
    image = f"{stack.engine.registry}/{stack.name}/vendor"

    def push(tag: str, content: str) -> None:
        stack.application.write({"vendor/Dockerfile": f"FROM python:3.13-slim-trixie\nENV CONTENT={content}\n"})
        docker("build", "--quiet", "--tag", f"{image}:{tag}", str(stack.application.folder / "vendor"))
        docker("push", "--quiet", f"{image}:{tag}")

    stack.variables["IMAGE"] = f"{image}:1"
    return stack, push


def test_moved_tag_of_a_third_party_image_restarts_nothing(
    moving_image: tuple[Stack, Callable[[str, str], None]],
) -> None:
    stack, push = moving_image
    push("1", "first")
    stack.up()
    before = stack.ids()
    assert stack.containers()["stock"].digest == stack.tags("vendor")["1"]

    push("1", "moved")
    assert set(stack.up().steps.values()) == {"same"}
    assert stack.ids() == before

    push("2", "second")
    stack.variables["IMAGE"] = stack.variables["IMAGE"].replace(":1", ":2")
    stack.up()
    assert stack.containers()["stock"].environment["CONTENT"] == "second"


def test_old_images_go_the_last_releases_stay_and_what_history_offers_comes_back(
    make_stack: Callable[..., Stack],
) -> None:
    stack = make_stack(retention=2)
    digests = []
    for version in ("first", "second", "third"):
        stack.application.version("side", version)
        stack.application.write({"config.json": f'{{"version": "{version}"}}'})
        stack.up()
        digests.append(stack.containers()["side"].digest)
    listed = docker("image", "ls", "--all", "--digests", "--format", "{{.Digest}}").split()
    assert [digest in listed for digest in digests] == [False, True, True]
    kept = {path.name for path in (stack.state_folder / "releases").iterdir()}
    assert kept == {entry["release"] for entry in stack.ledger()[-4:]}
    assert len(list((stack.state_folder / "files").iterdir())) == 2
    assert stack.serves("1")

    entries = json.loads(stack.slipway("history", "--json", "--all").out)["entries"]
    assert {entry["number"]: entry["back"]["kind"] for entry in entries} == {3: "live", 2: "warm", 1: "cold"}
    for number, version in ((1, "first"), (2, "second")):
        stack.slipway("rollback", "--to", str(number))
        assert stack.containers()["side"].digest == digests[number - 1]
        assert json.loads(stack.get("/config")["config"]) == {"version": version}


def test_destroy_keeps_data_until_its_volume_is_named(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    stack.up()
    stack.get("/append/precious")
    volumes = stack.volumes()
    assert volumes == [f"{stack.project}_data"]

    for _ in range(2):
        stack.destroy()
        assert (stack.containers(), stack.networks(), stack.volumes()) == ({}, [], volumes)
        assert not stack.state_folder.exists()

    stack.up()
    assert stack.get("/data")["data"] == "precious\n"

    stack.settings["removeVolumes"] = ["data"]
    stack.up()
    assert stack.volumes() == volumes
    stack.destroy()
    assert stack.volumes() == []


def test_destroy_of_what_somebody_removed_already_is_fine(stack: Stack) -> None:
    docker("rm", "--force", *stack.ids().values())
    stack.destroy()
    assert (stack.containers(), stack.networks()) == ({}, [])


def test_destroy_leaves_what_another_stack_has_taken_over(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    stack.up()
    note = next(stack.home.rglob("owner"))
    own, before = note.read_text(), stack.ids()
    note.write_text(f"another/{stack.name} 0123456789abcdef")
    assert "deployed here by the Pulumi stack another/" in stack.preview(expect_failure=True).text
    gone = stack.destroy()
    assert "another/" in gone.text
    assert stack.ids() == before
    note.write_text(own)
    stack.up()
    assert stack.ids() == before
