"""A routed service with data of its own takes the place of the old one, unless its strategy says that two may run."""

# ruff: noqa: F811  # a fixture of another module

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from simulation import KILLED
from test_agent_move import ALWAYS, VOLUME, Before, Onlooker, before, command, deploy, onlooker, shop  # noqa: F401

if TYPE_CHECKING:
    from pathlib import Path

    from simulation import Simulation

FILES = "old_files"


@pytest.fixture(params=["volume", "folder"])
def files(request: pytest.FixtureRequest, before: Before, tmp_path: Path) -> str:
    return old_files(before, FILES if request.param == "volume" else str(tmp_path))


def old_files(before: Before, found: str) -> str:
    """Have the old web write to that volume or folder."""
    before._ask("POST", "/volumes/create", {"Name": FILES, "Labels": {}})
    kind = "volume" if found == FILES else "bind"
    before._ask("DELETE", f"/containers/{before.ids['web']}?force=true")
    image = before.container("db").config["Image"]
    mount = {"Type": kind, "Source": found, "Target": "/files"}
    before.ids["web"] = before._run("web", image, ALWAYS, Mounts=[mount])
    return found


@pytest.fixture
def together(stack: Simulation, before: Before) -> list[float]:
    return look(stack, before)


def look(stack: Simulation, before: Before) -> list[float]:
    """Moments at which two write to the files, as they come."""
    found: list[float] = []

    def seen() -> None:
        old = before.container("web").running
        found.extend([stack.world.time.now] if old and any(each.running for each in stack.containers("web")) else [])

    stack.world.time.before.append(seen)
    return found


def wanted(stack: Simulation, files: str, **more: Any) -> dict[str, Any]:
    volumes = {"data": {"name": VOLUME, "external": True, "x-adopted": True},
               "files": {"name": FILES, "external": True, "x-adopted": True}}  # fmt: skip
    own = {"deploy": more.pop("deploy")} if "deploy" in more else {}
    found = shop(stack, volumes=volumes, **more)
    volume = files == FILES
    found["compose"]["services"]["web"].update(own)
    mount = {"type": "volume" if volume else "bind", "source": "files" if volume else files, "target": "/files"}
    found["compose"]["services"]["web"]["volumes"] = [mount]
    return found


def said_of_web(stack: Simulation, release: dict[str, Any], **more: Any) -> tuple[str, bool, str]:
    [change] = [each for each in stack.plan(release, move_from=["old"], **more)["changes"] if each["service"] == "web"]
    return change["action"], change["interrupts"], ", ".join(change["because"])


@pytest.mark.parametrize("mode", ["", "smoke"])
def test_a_routed_service_that_states_no_strategy_never_writes_beside_the_old_one(
    stack: Simulation, before: Before, files: str, together: list[float], mode: str
) -> None:
    release = wanted(stack, files, environment={"MODE": mode})
    assert said_of_web(stack, release) == ("taken over", True, f"in place of old-web-1, on {files}")
    assert deploy(stack, release).code == (1 if mode else 0)
    if not mode:
        before.stopped()
        assert stack.visit() == (200, "1")
        assert stack.versions()["web"] == ["1"]
        assert command(stack, "undo").code == 0
    before.as_before()
    assert together == []


@pytest.mark.parametrize("replicas", [1, 3])
@pytest.mark.parametrize("step", ["create:web", "stop-old:web", "grow:web", "await:web", "take-ports"])
@pytest.mark.parametrize("then", ["up", "undo"])
def test_killed_anywhere_it_goes_on_or_back_with_one_writer_and_as_many_as_there_should_be(
    stack: Simulation, before: Before, step: str, then: str, replicas: int
) -> None:
    files, together = old_files(before, FILES), look(stack, before)
    release = wanted(stack, files, deploy={"replicas": replicas})
    assert deploy(stack, release, kill=f"{step}:started").code == KILLED
    stack.later(20)
    if then == "undo":
        assert command(stack, "undo").code == 0
        before.as_before()
    assert deploy(stack, release).code == 0
    assert stack.versions()["web"] == ["1"] * replicas
    before.stopped()
    assert together == []


def test_one_whose_strategy_is_stated_runs_beside_the_old_one_and_the_preview_says_so(
    stack: Simulation, before: Before, files: str, onlooker: Onlooker, together: list[float]
) -> None:
    stack.later(1.0)  # the old one is ready
    onlooker.lost.clear()
    release = wanted(stack, files)
    assert said_of_web(stack, release, move_beside=["web"]) == ("created", False, "first deployment")
    said = f"old-web-1 works on {files} beside web until then; `strategy: recreate` of web stops it first"
    plan = stack.plan(release, move_from=["old"], move_beside=["web"])
    assert said in [because for each in plan["changes"] for because in each["because"]]
    assert deploy(stack, release, move_beside=["web"]).code == 0
    assert together != []
    assert onlooker.lost == []
    before.stopped()


@pytest.mark.parametrize("needs", [["db"], ["worker"]])
def test_a_worker_that_shares_its_data_and_starts_first_leaves_the_old_one_running(
    stack: Simulation, before: Before, files: str, onlooker: Onlooker, needs: list[str]
) -> None:
    stack.later(1.0)  # the old one is ready
    onlooker.lost.clear()
    release = wanted(stack, files)
    services = release["compose"]["services"]
    services["worker"]["volumes"] = services["web"]["volumes"]
    services["web"]["depends_on"] = {name: {"condition": "service_healthy"} for name in needs}
    said = f"old-web-1 works on {files} beside worker until then; `strategy: recreate` of web stops it first"
    plan = stack.plan(release, move_from=["old"], move_beside=["web"])
    assert said in [because for each in plan["changes"] for because in each["because"]]
    assert deploy(stack, release, move_beside=["web"]).code == 0
    assert onlooker.lost == []
    before.stopped()
