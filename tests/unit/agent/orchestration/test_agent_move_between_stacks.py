"""A stack that another one took over from: its containers are the other's way back, and its data is the other's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from simulation import Simulation
from test_agent_move import command

from slipway.agent.deploy.destroy import destroy
from slipway.agent.state.stack_dir import StackFolder

if TYPE_CHECKING:
    from simulation import Ended

DATA = "shop-one_data"
RULES = {"seconds": 600, "minimum": 50, "error_relative": 0.1, "error_floor": 0.01, "latency_relative": 0.2,
         "latency_floor": 0.05, "restarts": 2, "notify": None}  # fmt: skip


class Stacks:
    """Stack `one` with a database, and `two`, which takes over from it."""

    def __init__(self, stack: Simulation) -> None:
        self.one, self.two = Simulation(stack.host, "shop-one"), Simulation(stack.host, "shop-two")
        self.seen = 0
        stack.world.time.before.append(self._look)
        assert self.one.deploy(self.release("1"), watch=RULES).code == 0
        self.first = self.one.ids()

    def release(self, version: str, **more: Any) -> dict[str, Any]:
        return self._release(self.one, {"name": DATA}, version, **more)

    def move(self, names: tuple[str, ...] = ("shop-one",), **more: Any) -> Ended:
        return self.two.deploy(
            self._release(self.two, {"name": DATA, "external": True, "x-adopted": True}, "1"), move_from=names, **more
        )

    def _release(self, stack: Simulation, volume: dict[str, Any], version: str, **more: Any) -> dict[str, Any]:
        mount = {"type": "volume", "source": "data", "target": "/data"}
        db = stack.service(environment={"VERSION": version, **more}, volumes=[mount])
        return {
            **stack.release({"db": db}, {"db": {"strategy": "recreate"}}, volumes={"data": volume}),
            "application": "shop",
        }

    def destroy_one(self) -> Ended:
        _, ended = self.one.start(lambda out: destroy(StackFolder(self.one.stack), [], out))
        return ended()

    def _look(self) -> None:
        users = [each for each in self.one.host.engine.containers.values() if DATA in each.volumes and each.running]
        self.seen = max(self.seen, len(users))


@pytest.fixture
def stacks(stack: Simulation) -> Stacks:
    return Stacks(stack)


@pytest.mark.parametrize("names", [("shop-one",), ("shop-one-db-1",)], ids=str)
@pytest.mark.parametrize("kill", ["", "stop-old:db:started", "record:started"])
def test_a_stack_that_another_took_over_from_is_refused_and_keeps_the_way_back(
    stacks: Stacks, names: tuple[str, ...], kill: str
) -> None:
    ended = stacks.move(names, kill=kill)
    assert ended.code == 0 or kill
    stacks.one.later(20)
    [refused] = stacks.one.plan(stacks.release("2"))["refused"]
    assert refused["what"] == "stack shop-two of this host takes over from shop-one, or has done so, and may go back"
    assert refused["fix"].startswith("slipway move show --stack ")
    for what in (stacks.one.deploy(stacks.release("2")), stacks.one.deploy(stacks.release("1")), stacks.destroy_one()):
        assert refused["what"] in what.error
    assert stacks.one.ids() == stacks.first
    assert command(stacks.two, "undo").code == 0
    assert stacks.one.versions() == {"db": ["1"]}
    assert stacks.one.deploy(stacks.release("2")).code == 0
    assert stacks.seen == 1


def test_the_command_names_the_other_stack_as_its_own_project_does(stacks: Stacks) -> None:
    assert stacks.move().code == 0
    [refused] = stacks.one.plan(stacks.release("2"))["refused"]
    assert refused["fix"] == "slipway move show --stack two"
    ended = stacks.one.deploy(stacks.release("2"))
    assert "the project shop-two runs, and not this stack" in ended.error


def test_once_the_move_is_finished_the_stack_is_over_and_can_be_taken_off(stacks: Stacks) -> None:
    assert stacks.move().code == 0
    assert command(stacks.two, "finish").code == 0
    [refused] = stacks.one.plan(stacks.release("2"))["refused"]
    assert "stack shop-two of this host took over from shop-one for good" in refused["what"]
    assert refused["fix"] == "slipway move finish --stack two"
    ended = stacks.destroy_one()
    assert ended.code == 0, ended.error
    assert DATA in stacks.one.host.engine.volumes
    assert "is used by shop-two-db-1" in stacks.one.deploy(stacks.release("2")).error
    assert stacks.two.versions() == {"db": ["1"]}
    assert stacks.seen == 1


def test_the_watch_of_a_stack_that_was_taken_over_ends(stacks: Stacks) -> None:
    assert stacks.one.deploy(stacks.release("2"), watch=RULES).code == 0
    kept = stacks.one.ids()
    stacks.one.later(5)
    assert stacks.one.probe()["watch"]["alive"]
    assert stacks.move().code == 0
    stacks.one.later(120)
    assert stacks.one.probe()["watch"]["state"] == "over"
    assert stacks.two.versions() == {"db": ["1"]}
    assert stacks.one.ids() == kept
    assert command(stacks.two, "undo").code == 0
    assert stacks.one.versions() == {"db": ["2"]}
    assert stacks.seen == 1
