"""A proxy of the old project that resolves names once, as nginx does, serves again after whatever ends a move."""

# ruff: noqa: F811  # a fixture of another module

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from programs import NEVER, Program
from test_agent_move import (  # noqa: F401  # fixtures
    ALWAYS,
    BINDINGS,
    PORT,
    SOCKET,
    Before,
    before,
    command,
    deploy,
    make,
    shop,
    undo_killed,
)
from test_agent_move_routed_data import FILES, old_files, wanted
from thorough import sample

from slipway.agent.move.old_project import NOTES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from simulation import Simulation
    from test_agent_move import Make


class Front:
    """Takes the place of the old proxy: passes requests on to `asks`, without which it does not start."""

    def __init__(
        self, before: Before, *, asks: str = "web", depends: str = "", follows: bool = False, name: str = "traefik"
    ) -> None:
        self.before, self.name = before, name
        self.engine, world = before.host.engine, before.host.world
        if name in before.ids:
            before._ask("DELETE", f"/containers/{before.ids[name]}?force=true")

        def behaviour(_environment: Mapping[str, str], _command: list[str]) -> Program:
            there = any(each.running and asks in (on.get("Aliases") or ())
                        for each in self.engine.containers.values() for on in each.endpoints.values())  # fmt: skip
            ends = NEVER if there or follows else 0.2
            return Program(upstream=asks, resolves=0.1 if follows else NEVER, exits=ends, code=1, stops=0.3, ready=0.3)

        image = world.image("1", behaviour, name=f"registry.test/old/{name}")
        self.engine.add(world.registry[image.replace(":1@", "@")])
        more: dict[str, Any] = {"PortBindings": BINDINGS} if name == "traefik" else {}
        before.ids[name] = before._run(name, image, ALWAYS, **more, **({"Mounts": [SOCKET]} if follows else {}))
        self.container = before.container(name)
        self.container.config["Labels"]["com.docker.compose.depends_on"] = depends
        before.policies[name] = ALWAYS
        before.host.world.time.before.append(self._look)
        self.silent: list[float] = []
        world.time.sleep(1.0)

    def _look(self) -> None:
        now = self.before.host.world.time.now
        self.silent += [] if self.serves() or not self.container.running else [now]

    def starts(self) -> int:
        return len(self.container.logs)

    def serves(self) -> bool:
        """Whether a request through it reaches the old application, by whatever names and addresses it has."""
        last = self.engine.passes_on(self.container) if self.engine.answering(self.container) else None
        return last is not None and last.id == self.before.ids["web"]


DEPENDS = {"named": "web:service_started:false", "followed": "web:service_started:true", "unnamed": ""}
depends = pytest.mark.parametrize("depends", DEPENDS.values(), ids=DEPENDS)


@depends
@pytest.mark.parametrize("releases", [1, 3])
def test_undo_leaves_no_proxy_with_the_address_of_a_container_that_is_gone(
    stack: Simulation, before: Before, depends: str, releases: int
) -> None:
    old_files(before, FILES)
    front = Front(before, depends=depends)
    for number in range(releases):
        assert deploy(stack, wanted(stack, FILES, version=f"{number}")).code == 0
    starts = front.starts()
    ended = command(stack, "undo")
    assert ended.report["slow"] == []
    before.as_before()
    assert front.serves()
    assert front.starts() == starts + 2, "beside the new ones, and again"
    assert ended.seconds < 15


def test_a_proxy_that_does_not_start_before_its_upstream_waits_for_it_and_nobody_for_the_proxy(
    stack: Simulation, before: Before
) -> None:
    """The stack has another name for it, so its later releases do not answer to the old one."""
    old_files(before, FILES)
    web = before.container("web")
    web.config["Labels"]["com.docker.compose.service"] = "app"
    web.endpoints["old_default"]["Aliases"] = ["app"]
    front = Front(before, asks="app")
    for number in range(2):
        assert deploy(stack, wanted(stack, FILES, version=f"{number}")).code == 0
    ended = command(stack, "undo")
    assert ended.report["slow"] == []
    before.as_before()
    assert front.serves()
    assert ended.seconds < 15


@depends
def test_wherever_an_undo_is_killed_the_next_one_leaves_a_proxy_that_serves(make: Make, depends: str) -> None:
    for number in sample(list(range(60))):
        stack, before, _ = make()
        stack.world.time.before.pop()  # who looks is not made for a front
        old_files(before, FILES)
        front = Front(before, depends=depends)
        ended = deploy(stack, wanted(stack, FILES))
        assert ended.code == 0, ended.err
        undo_killed(stack, number)
        assert command(stack, "undo").report["slow"] == [], number
        before.as_before()
        assert front.serves(), number


@depends
@pytest.mark.parametrize("mode", ["exit", "smoke"])
def test_a_move_that_fails_leaves_a_proxy_that_serves(
    stack: Simulation, before: Before, depends: str, mode: str
) -> None:
    old_files(before, FILES)
    front = Front(before, depends=depends)
    ended = deploy(stack, wanted(stack, FILES, environment={"MODE": mode}))
    assert "runs again as before —" in ended.error
    assert front.serves()


@pytest.mark.parametrize("releases", [1, 3])
@pytest.mark.parametrize("follows", [False, True])
def test_a_proxy_whose_upstream_started_before_it_loses_no_request_to_what_starts_later(
    stack: Simulation, before: Before, releases: int, *, follows: bool
) -> None:
    front = Front(before, depends="" if follows else DEPENDS["named"], follows=follows)
    for number in range(releases):
        assert deploy(stack, shop(stack, f"{number}")).code == 0
    front.silent.clear()
    starts = front.starts()
    assert command(stack, "undo").report["slow"] == []
    assert front.serves()
    assert front.starts() == starts + 1
    assert not front.silent or front.silent[-1] - front.silent[0] < 0.5, "but for its own start"


def test_a_proxy_behind_the_one_that_has_the_port_is_restarted_once_that_does_not_answer(
    stack: Simulation, before: Before
) -> None:
    old_files(before, FILES)
    Front(before, asks="front", follows=True)
    front = Front(before, name="front", depends=DEPENDS["named"])
    assert deploy(stack, wanted(stack, FILES)).code == 0
    ended = command(stack, "undo")
    assert ended.report["slow"] == []
    assert front.serves()
    assert "old-front-1 was restarted" in ended.err


def test_an_undo_does_not_say_that_all_is_well_while_the_port_answers_502(stack: Simulation, before: Before) -> None:
    front = Front(before)
    assert deploy(stack, shop(stack)).code == 0
    before.container("web").image.behaviour = lambda *_: Program(ready=NEVER)
    ended = command(stack, "undo")
    assert ended.report["slow"] == [f"port {PORT} does not answer requests for http://localhost/: 502 Bad Gateway"]
    assert not front.serves()
    assert ended.seconds < 120


@depends
@pytest.mark.parametrize("how", ["HTTPS alone", "HTTP too", "as before the move"])
def test_what_was_not_answered_before_the_move_is_not_asked_for_after_its_undo(
    stack: Simulation, before: Before, monkeypatch: pytest.MonkeyPatch, depends: str, how: str
) -> None:
    """As by a proxy without port 80, and one that answers none of the stack's host names, or 503 on purpose."""
    bindings = {"443/tcp": [{"HostIp": "", "HostPort": "2"}], **(BINDINGS if how == "HTTP too" else {})}
    monkeypatch.setattr("test_agent_move_fronts.BINDINGS", bindings)
    nobody = {"asks": "nobody", "follows": True} if how == "as before the move" else {}
    front = Front(before, depends=depends, **nobody)
    for name in ("web", "worker"):
        before.container(name).config["Labels"]["com.docker.compose.depends_on"] = "db:service_started:false"
    assert deploy(stack, shop(stack), edge=stack.edge(https=True)).code == 0
    starts, runs = front.starts(), {name: before.container(name).run for name in ("db", "web", "worker")}
    ended = command(stack, "undo")
    assert ended.report["slow"] == []
    assert ended.seconds < 16
    assert front.starts() <= starts + (2 if how != "as before the move" and not depends else 1)
    assert {name: before.container(name).run for name in runs} == {name: number + 1 for name, number in runs.items()}


def test_an_undo_asks_over_https_where_the_old_proxy_has_that_port_alone(
    stack: Simulation, before: Before, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("test_agent_move_fronts.BINDINGS", {"443/tcp": [{"HostIp": "", "HostPort": "2"}]})
    Front(before)
    assert deploy(stack, shop(stack), edge=stack.edge(https=True)).code == 0
    before.container("web").image.behaviour = lambda *_: Program(ready=NEVER)
    slow = command(stack, "undo").report["slow"]
    assert slow == ["port 2 does not answer requests for https://localhost/: 502 Bad Gateway"]


@pytest.mark.parametrize("depends", [DEPENDS["named"], DEPENDS["followed"]])
def test_a_move_that_fails_leaves_a_proxy_alone_whose_upstream_it_did_not_stop(
    stack: Simulation, before: Before, depends: str
) -> None:
    """Somebody restarted the upstream long ago."""
    front = Front(before, depends=depends)
    for action in ("stop", "start"):
        before._ask("POST", f"/containers/{before.ids['web']}/{action}")
    stack.later(5)
    starts, runs = front.starts(), before.container("web").run
    ended = deploy(stack, shop(stack, environment={"MODE": "exit"}))
    assert "runs again as before" in ended.error
    assert before.container("web").run == runs
    assert front.starts() == starts
    assert front.serves()


def test_a_move_that_a_former_version_began_leaves_a_proxy_that_serves(stack: Simulation, before: Before) -> None:
    """It noted neither what was answered nor when anybody had started."""
    old_files(before, FILES)
    front = Front(before, depends=DEPENDS["named"])
    assert deploy(stack, wanted(stack, FILES)).code == 0
    path = Path(stack.folder.path) / NOTES
    noted = json.loads(path.read_text())
    del noted["answered"]
    for each in noted["containers"]:
        del each["started"]
    path.write_text(json.dumps(noted))
    assert command(stack, "undo").report["slow"] == []
    stack.later(1)
    assert front.serves()


def test_a_container_that_ends_again_and_again_is_not_said_to_run(stack: Simulation, before: Before) -> None:
    front = Front(before)
    assert deploy(stack, shop(stack)).code == 0
    front.container.image.behaviour = lambda *_: Program(exits=0.2, code=1)
    assert "old-traefik-1" in command(stack, "undo").report["slow"][0]
    stack.later(10)
    shown = {each["name"]: each["restarting"] for each in command(stack, "show").report["containers"]}
    assert shown == {"old-db-1": False, "old-worker-1": False, "old-web-1": False, "old-traefik-1": True}
