"""An undo takes nothing down for an old project that cannot run again, and a way back needs a Docker that answers."""

# ruff: noqa: F811  # a fixture of another module

from __future__ import annotations

import shlex
import shutil
from typing import TYPE_CHECKING

import pytest
from simulation import KILLED
from test_agent_move import ALWAYS, VOLUME, Before, before, command, deploy, shop  # noqa: F401

from slipway.agent.deploy.destroy import destroy
from slipway.agent.state.stack_dir import StackFolder

if TYPE_CHECKING:
    from pathlib import Path

    from simulation import Simulation


def run(before: Before, line: str) -> None:
    """Run a printed command of `docker network` on the host."""
    for part in line.split(" && "):
        docker, network, what, *words = shlex.split(part)
        assert (docker, network) == ("docker", "network")
        options: dict[str, list[str]] = {"--label": [], "--alias": []}
        while words[0].startswith("--"):
            option = words.pop(0)
            if option != "--force":
                options[option].append(words.pop(0))
        if what == "create":
            labels = dict(label.split("=") for label in options["--label"])
            before._ask("POST", "/networks/create", {"Name": words[0], "Labels": labels})
        else:
            body = {"Container": words[1], "EndpointConfig": {"Aliases": options["--alias"]}}
            before._ask("POST", f"/networks/{words[0]}/{what}", body)


def test_a_network_that_was_removed_is_made_anew_by_the_printed_command_and_nothing_is_down_meanwhile(
    stack: Simulation, before: Before
) -> None:
    assert deploy(stack, shop(stack)).code == 0
    assert deploy(stack, shop(stack, "2")).code == 0  # its containers are on the old network no more
    network = before.host.engine.networks["old_default"]
    for each in stack.containers():
        if "old_default" in each.endpoints:
            before._ask("POST", "/networks/old_default/disconnect", {"Container": each.id})
    before._ask("DELETE", "/networks/old_default")
    ended = command(stack, "undo")
    assert "old-web-1 needs the network old_default as it was, and that was removed" in ended.error
    assert "nothing was changed, and the stack runs on" in ended.error
    assert stack.versions() == {"db": ["2"], "web": ["2"], "worker": ["2"]}
    assert stack.visit() == (200, "2")
    assert command(stack, "show").report["state"] == "moved"
    run(before, ended.error.partition("leads back — ")[2].splitlines()[0])
    assert command(stack, "undo").code == 0
    before.as_before()
    assert before.container("db").endpoints["old_default"]["Aliases"] == ["db"]
    again = before.host.engine.networks["old_default"]
    assert again.id != network.id
    assert again.labels == {"com.docker.compose.project": "old", "com.docker.compose.network": "default"}


@pytest.mark.parametrize("kind", ["volume", "folder"])
def test_without_its_data_the_old_project_is_not_started(
    stack: Simulation, before: Before, tmp_path: Path, kind: str
) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    before._ask("POST", "/volumes/create", {"Name": "old_cache", "Labels": {}})
    mount = {"Type": "bind" if kind == "folder" else "volume", "Target": "/cache"}
    mount["Source"] = str(folder) if kind == "folder" else "old_cache"
    before.ids["cache"] = before._run("cache", before.container("web").config["Image"], {"Name": "no"}, Mounts=[mount])
    assert deploy(stack, shop(stack)).code == 0
    shutil.rmtree(folder)
    before.host.engine.volumes.pop("old_cache")
    ended = command(stack, "undo")
    assert f"old-cache-1 needs the {kind} {mount['Source']}, which is gone" in ended.error
    assert stack.visit() == (200, "1")

    assert ended.error.splitlines()[0].endswith("leads back — slipway move undo")


@pytest.mark.parametrize(
    ("here", "there", "refused"),
    [("", "", True), ("127.0.0.1", "", True), ("127.0.0.1", "10.0.0.1", False), ("127.0.0.1", "127.0.0.1", True)],
)
def test_nothing_is_taken_down_while_somebody_else_has_a_port_of_the_old_project(
    stack: Simulation, before: Before, here: str, there: str, *, refused: bool
) -> None:
    def port(address: str) -> dict[str, object]:
        return {"PortBindings": {"5432/tcp": [{"HostIp": address, "HostPort": "5432"}]}}

    before.container("db").host |= port(here)
    assert deploy(stack, shop(stack)).code == 0
    user = before._run("other", before.container("web").config["Image"], ALWAYS, project="other", **port(there))
    ended = command(stack, "undo")
    assert ("old-db-1 needs port 5432, which other-other-1 has" in ended.error) == refused
    if not refused:
        return
    assert ended.error.splitlines()[0].endswith("docker stop other-other-1")
    assert stack.versions() == {"db": ["1"], "web": ["1"], "worker": ["1"]}
    before._ask("POST", f"/containers/{user}/stop")
    assert command(stack, "undo").code == 0
    before.as_before()


@pytest.mark.parametrize("names", [["old"], ["old-db-1", "old-worker-1", "old-web-1", "old-traefik-1"]])
def test_nothing_is_taken_down_for_who_joins_a_container_that_was_removed(
    stack: Simulation, before: Before, names: list[str]
) -> None:
    vpn = before._run("vpn", before.container("web").config["Image"], ALWAYS)
    before.container("web").host["NetworkMode"] = f"container:{vpn}"
    assert stack.deploy(shop(stack), move_from=names).code == 0
    before._ask("DELETE", f"/containers/{vpn}?force=true")
    ended = command(stack, "undo")
    assert f"old-web-1 joins the container {vpn[:12]}, which was removed" in ended.error
    assert ended.error.splitlines()[0].endswith("docker rm old-web-1")
    assert stack.versions() == {"db": ["1"], "web": ["1"], "worker": ["1"]}
    before._ask("DELETE", f"/containers/{before.ids['web']}")
    ended = command(stack, "undo")
    assert ended.error.splitlines()[0].endswith("docker compose -p old up -d")
    assert before.container("db").running


def test_an_image_that_is_gone_keeps_nobody_from_going_back(stack: Simulation, before: Before) -> None:
    assert deploy(stack, shop(stack)).code == 0
    before.host.engine.images.clear()  # as `docker image prune --all` with force, say
    assert command(stack, "undo").code == 0
    before.as_before()


@pytest.mark.parametrize("kill", ["stand-in:db:finished", "stop-old:db:finished", "take-ports:started"])
@pytest.mark.parametrize("mode", ["", "smoke"])
def test_a_move_that_was_cut_off_ends_also_once_moveFrom_is_gone(  # noqa: N802 - the setting
    stack: Simulation, before: Before, kill: str, mode: str
) -> None:
    assert deploy(stack, shop(stack), kill=kill).code == KILLED
    ended = stack.deploy(shop(stack, environment={"MODE": mode}))
    if mode:
        assert "the project old runs again as before" in ended.error
        before.as_before()
        assert stack.ids() == []
    else:
        assert ended.code == 0
        before.stopped()
        assert stack.visit() == (200, "1")
        assert command(stack, "undo").code == 0
        before.as_before()


@pytest.mark.parametrize("after", [1.5, 2.5, 3.5])
@pytest.mark.parametrize("away", [1.0, 15.0, 3000.0])
def test_a_docker_that_is_restarted_in_a_move_is_waited_for_and_else_the_error_names_the_way_back(
    stack: Simulation, before: Before, after: float, away: float
) -> None:
    _, ended = stack.begin(shop(stack, environment={"READY": "30"}), move_from=["old"])
    stack.later(after)
    stack.host.engine.restart_engine(away)
    found = ended()
    if away > 60:
        assert "it is not certain what serves — slipway move undo" in found.error
        stack.later(away)
        assert command(stack, "undo").code == 0
    elif found.code:
        assert "the project old runs again as before" in found.error
    before.as_before()


def test_destroy_says_that_an_adopted_volume_is_kept(stack: Simulation, before: Before) -> None:
    assert deploy(stack, shop(stack)).code == 0
    assert command(stack, "finish").code == 0
    _, ended = stack.start(lambda out: destroy(StackFolder(stack.stack), [], out))
    assert ended().report["kept_volumes"] == [VOLUME]
    assert VOLUME in before.host.engine.volumes
