"""The way back of a move holds on a full disk, for who shares a namespace, and takes as long as the slowest stop."""

# ruff: noqa: F811  # a fixture of another module

from __future__ import annotations

import contextlib
import errno
import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from test_agent_move import (  # noqa: F401  # fixtures
    ALWAYS,
    Before,
    before,
    command,
    deploy,
    make,
    old_program,
    onlooker,
    shop,
)
from thorough import sample

from slipway.agent.move.old_project import OldProject
from slipway.agent.state import atomic_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simulation import Simulation
    from test_agent_move import Make, Onlooker


class FullDisk:
    """`os`, on whose disk there is room for so many files and lines more."""

    def __init__(self, room: int) -> None:
        self.room = room

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def _take(self) -> None:
        self.room -= 1
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    def write(self, descriptor: int, content: bytes) -> int:
        self._take()
        return os.write(descriptor, content)

    def fdopen(self, descriptor: int, mode: str) -> Any:
        try:
            self._take()
        except OSError:
            os.close(descriptor)
            raise
        return os.fdopen(descriptor, mode)


@pytest.fixture
def fill(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], FullDisk]:
    """Leaves room for so many."""

    def filled(room: int) -> FullDisk:
        disk = FullDisk(room)
        monkeypatch.setattr(atomic_files, "os", disk)
        return disk

    return filled


MANY = 10_000


def hardly_lost(onlooker: Onlooker) -> bool:
    """Whether visitors got answers but for a moment: on ports of its own the edge could not begin without its files."""
    times = [at for at, _ in onlooker.lost]
    return not times or times[-1] - times[0] < 1.5


@pytest.mark.parametrize("mode", ["", "exit", "smoke"])
def test_a_disk_that_fills_anywhere_in_a_move_keeps_nothing_old_from_coming_back(
    make: Make, fill: Callable[[int], FullDisk], mode: str
) -> None:
    disk = fill(MANY)
    stack, _, _ = make()
    deploy(stack, shop(stack, environment={"MODE": mode}))
    for room in sample(list(range(MANY - disk.room))):
        stack, before, onlooker = make()
        fill(room)
        with contextlib.suppress(OSError):  # it could not begin
            ended = deploy(stack, shop(stack, environment={"MODE": mode}))
            assert "bug" not in ended.err, room
        stack.later(60)
        if stack.versions().get("db") != [
            "1"
        ]:  # else it is recorded, and from there on nothing but `undo` turns it back
            before.as_before()
        assert hardly_lost(onlooker), room
        fill(MANY)
        assert deploy(stack, shop(stack)).code == 0, room
        before.stopped()


def test_a_move_is_undone_on_a_full_disk_which_asks_to_run_again_for_what_could_not_be_noted(
    make: Make, fill: Callable[[int], FullDisk]
) -> None:
    for room in range(MANY):
        stack, before, onlooker = make()
        assert deploy(stack, shop(stack)).code == 0
        disk = fill(room)
        ended = command(stack, "undo")
        stack.later(60)
        before.as_before()
        assert hardly_lost(onlooker), room
        if disk.room >= 0:
            break
        assert "old is as it was before the move, and move.json of this stack cannot be written" in ended.error
        fill(MANY)
        assert command(stack, "undo").report["state"] == "undone"
        before.as_before()
        assert deploy(stack, shop(stack)).code == 0, room
        before.stopped()
    assert 2 < room < MANY


def joined(before: Before, name: str, mode: str, project: str) -> None:
    """A side container in a namespace of the old database."""
    image, target = before.container("web").config["Image"], f"container:{before.ids['db']}"
    how = {"NetworkMode": "none", mode: target}
    before.ids[name] = before._run(name, image, ALWAYS, project=project, **how)
    before.container(name).endpoints.clear()


@pytest.mark.parametrize("mode", ["NetworkMode", "PidMode", "IpcMode"])
@pytest.mark.parametrize("project", ["old", "another"])
@pytest.mark.parametrize("back", ["failure", "undo", "killed"])
def test_who_joined_a_namespace_of_an_old_container_joins_that_of_its_next_run(
    stack: Simulation, before: Before, mode: str, project: str, back: str
) -> None:
    joined(before, "exporter", mode, project)
    stack.later(1)
    wanted = shop(stack, environment={"MODE": "exit"} if back == "failure" else {})
    deploy(stack, wanted, **({"kill": "stop-old:db:finished"} if back == "killed" else {}))
    if back != "failure":
        assert command(stack, "undo").code == 0
    exporter, database = before.container("exporter"), before.container("db")
    assert database.running
    assert exporter.running
    assert exporter.started is not None
    assert database.started is not None
    assert exporter.started > database.started
    runs = exporter.run
    if back != "failure":
        assert command(stack, "undo").code == 0
        assert exporter.run == runs, "it is restarted once"


def test_only_who_joined_one_that_was_away_is_restarted(stack: Simulation, before: Before) -> None:
    joined(before, "exporter", "NetworkMode", "old")
    before._run("guest", before.container("web").config["Image"], ALWAYS, project="another", NetworkMode="none")
    run = {name: before.container(name).run for name in before.ids}
    assert "runs again as before" in deploy(stack, stack.web("1", environment={"MODE": "exit"})).error
    assert {name: before.container(name).run for name in before.ids} == run


def test_finish_takes_away_only_the_networks_that_the_move_gave(stack: Simulation, before: Before) -> None:
    before._ask("POST", "/networks/create", {"Name": "old_front", "Labels": before._labels("", "network")})
    front = {"Container": before.ids["db"], "EndpointConfig": {"Aliases": ["db"]}}
    before._ask("POST", "/networks/old_front/connect", front)
    wanted = shop(stack)
    wanted["compose"]["networks"]["front"] = {"name": "old_front", "external": True}
    wanted["compose"]["services"]["db"]["networks"] = {"default": None, "front": None}
    assert deploy(stack, wanted).code == 0
    [database] = stack.containers("db")
    assert database.endpoints.keys() == {"shop_default", "old_front", "old_default"}
    answer = command(stack, "finish").report
    assert database.endpoints.keys() == {"shop_default", "old_front"}
    assert answer["networks"] == ["old_default"]  # what is printed to be removed
    for each in stack.containers():
        before._ask("POST", f"/containers/{each.id}/stop")
    assert command(stack, "remove").code == 0
    assert "old_front" in stack.host.engine.networks
    assert "old_default" not in stack.host.engine.networks


@pytest.mark.parametrize("known", ["old_front", "an-id"])
def test_no_network_that_a_new_container_is_made_for_is_given_to_it(tmp_path: Path, known: str) -> None:
    """Compose makes a container with its external networks by id; the engine gives them names once it starts."""
    given: list[str] = []
    api: Any = SimpleNamespace(
        container=lambda _: {"HostConfig": {"NetworkMode": "shop"}, "NetworkSettings": {"Networks": {known: {}}}},
        network=lambda name: {"Id": "an-id" if name == "old_front" else "other", "Scope": "local"},
        connect_network=lambda name, _: given.append(name),
    )
    away: Any = SimpleNamespace(service="db", name="old-db-1", networks={"old_front": ["db"], "old_default": ["db"]})
    folder: Any = SimpleNamespace(stack="shop", path=str(tmp_path))
    OldProject(folder, api, ["old"]).stand_in(["new"], [away])
    assert given == ["old_default"]


def test_an_undo_takes_as_long_as_the_slowest_stop_and_not_all_of_them(stack: Simulation, before: Before) -> None:
    slow = {
        f"slow{number}": stack.service(environment={"MODE": "stubborn"}, stop_grace_period="60s") for number in range(6)
    }
    wanted = shop(stack)
    wanted = {**wanted, "compose": {**wanted["compose"], "services": {**wanted["compose"]["services"]}}}
    more = stack.release({**wanted["compose"]["services"], **slow}, {"web": {
        "strategy": "rolling", "routes": [{"host": "", "path": "/", "strip": False}]}},
        volumes=wanted["compose"]["volumes"])  # fmt: skip
    assert deploy(stack, more).code == 0
    ended = command(stack, "undo")
    assert ended.code == 0
    assert 60 < ended.seconds < 100
    before.as_before()


def test_an_undo_stops_what_visitors_need_once_all_else_has_stopped(
    stack: Simulation, before: Before, onlooker: Onlooker
) -> None:
    wanted = shop(stack)
    deaf = {**wanted["compose"]["services"]["worker"], "environment": {"MODE": "stubborn"}, "stop_grace_period": "30s"}
    services = {**wanted["compose"]["services"], "worker": deaf}
    assert deploy(stack, stack.release(services, wanted["services"], volumes=wanted["compose"]["volumes"])).code == 0
    assert command(stack, "show").report["interrupts"] == ["old-db-1"]
    away = onlooker.without_database
    ended = command(stack, "undo")
    assert ended.seconds > 30
    before.as_before()
    assert (onlooker.lost, ended.report["interrupts"]) == ([], [])
    assert onlooker.without_database - away < 1


def test_old_containers_stop_side_by_side_each_with_its_own_time(stack: Simulation, before: Before) -> None:
    for name in ("worker", "web"):
        each = before.container(name)
        each.config |= {"StopTimeout": 120, "Env": ["STOPS=90"]}
        each.program = old_program(each.environment, [])
    ended = deploy(stack, shop(stack))
    assert ended.code == 0
    before.stopped()
    assert [before.container(name).code for name in ("worker", "web")] == [0, 0]


@pytest.mark.parametrize("kill", ["record:finished", "stop-old::started", "prune:started", ""])
def test_what_fails_after_a_recorded_release_goes_back_to_that_release(
    stack: Simulation, before: Before, monkeypatch: pytest.MonkeyPatch, kill: str
) -> None:
    write = atomic_files.write_atomically

    def full_at_the_end(path: str, content: bytes) -> None:
        if b'"state": "moved"' in content:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, content)

    with monkeypatch.context() as full:
        if not kill:
            full.setattr("slipway.agent.move.old_project.write_atomically", full_at_the_end)
        first = deploy(stack, shop(stack), kill=kill)
    if not kill:
        assert "is recorded and serves, and the next deployment does the rest" in first.error
    assert stack.outcomes() == ["deployed"]
    ended = deploy(stack, shop(stack, "2", environment={"MODE": "exit"}))
    assert ended.code == 1
    assert "rolled back to release" in ended.error
    assert all(each.running for name in ("db", "web", "worker") for each in stack.containers(name))
    assert not before.container("db").running
    assert deploy(stack, shop(stack, "3")).code == 0
    assert command(stack, "undo").report["state"] == "undone"
    assert before.container("db").running
