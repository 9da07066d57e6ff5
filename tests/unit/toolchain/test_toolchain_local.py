"""The stack `local`: what belongs to this clone is made once, kept private, and removed by name only."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from dev.toolchain import local
from dev.toolchain.__main__ import main
from dev.toolchain.process import ToolchainError
from slipway.releases import local_stack

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import FakeDocker

ROOT = Path(__file__).resolve().parents[3]
STATE = ".pulumi/stacks/slipway/local.json"
DEPLOYMENT = "urn:pulumi:local::slipway::slipway:deployment:ComposeDeployment::shop-local"
VOLUMES = "shop-local_data shop-local data\nshop-local_cache shop-local cache\nother-local_data other-local data\n"


@pytest.fixture
def folder(machine: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """This clone's own .slipway, empty."""
    monkeypatch.setattr(local, "_FOLDER", machine / ".slipway")
    monkeypatch.setattr(local, "SECRETS", machine / ".slipway/secrets.json")
    (machine / ".slipway").mkdir()
    return machine / ".slipway"


@pytest.fixture
def deployed(
    folder: Path, docker: FakeDocker, program: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A clone that has deployed `shop-local`; the log of its engine, whose destroy fails where there is a `stuck`."""
    monkeypatch.setattr(local, "ensure_pulumi", dict)
    docker.put("volume-list", VOLUMES)
    (folder / "state" / STATE).parent.mkdir(parents=True)
    resources = [
        {"type": "pulumi:pulumi:Stack", "urn": "urn:pulumi:local::slipway::pulumi:pulumi:Stack::slipway-local"},
        {"type": "slipway:deployment:ComposeDeployment", "urn": DEPLOYMENT},
        {"type": "docker-build:index:Image", "urn": "any", "inputs": {"tags": ["127.0.0.1:5050/shop-api:local"]}},
    ]
    (folder / "state" / STATE).write_text(json.dumps({"checkpoint": {"latest": {"resources": resources}}}))
    return program("pulumi", f"[ ! -e {folder}/stuck ] || exit 255")


# --- configuration


def test_configuration_is_the_committed_file(folder: Path) -> None:
    assert local.configuration().read_text() == (ROOT / "Pulumi.local.yaml").read_text()
    assert local.configuration().parent == folder


def test_configuration_has_the_name_that_pulumi_new_gave_the_project(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert folder.is_dir()
    before = yaml.safe_load(local.configuration().read_text())["config"]
    monkeypatch.setattr(local, "_project", lambda: "shop-deploy")
    after = yaml.safe_load(local.configuration().read_text())["config"]
    assert after == {key.replace("slipway:", "shop-deploy:"): value for key, value in before.items()}


def test_configuration_adds_this_clones_salt_and_leaves_the_committed_file(folder: Path) -> None:
    committed = (ROOT / "Pulumi.local.yaml").read_bytes()
    (folder / "salt").write_text("v1:abc=:v1:def")
    found = yaml.safe_load(local.configuration().read_text())
    assert found.pop("encryptionsalt") == "v1:abc=:v1:def"
    assert found == yaml.safe_load(committed)
    assert (ROOT / "Pulumi.local.yaml").read_bytes() == committed


# --- secrets


def test_secrets_are_made_once_and_only_their_owner_reads_them(folder: Path) -> None:
    before = os.umask(0)
    try:
        first = local._secrets()
    finally:
        os.umask(before)
    assert (folder / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert len(first["POSTGRES_PASSWORD"]) >= 24
    assert local._secrets() == first


@pytest.mark.usefixtures("folder")
def test_given_secrets_win_and_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made = local._secrets()
    monkeypatch.setenv("SLIPWAY_SECRETS", '{"POSTGRES_PASSWORD": "given", "ADDED": "too"}')
    assert local._secrets() == {"POSTGRES_PASSWORD": "given", "ADDED": "too"}
    assert json.loads(local.SECRETS.read_text()) == made


@pytest.mark.usefixtures("folder")
def test_empty_secrets_are_none_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_SECRETS", "")
    assert list(local._secrets()) == ["POSTGRES_PASSWORD"]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("text", ['{"A": "canary-5f2a"', '["canary-5f2a"]'])
def test_unreadable_secrets_are_refused_and_not_shown(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLIPWAY_SECRETS", text)
    with pytest.raises(ToolchainError, match="SLIPWAY_SECRETS is not a JSON object") as caught:
        local._secrets()
    assert "canary-5f2a" not in str(caught.value)


def test_damaged_secrets_file_is_told_and_kept(folder: Path) -> None:
    (folder / "secrets.json").write_text("")
    with pytest.raises(ToolchainError, match=r"secrets\.json is not a JSON object"):
        local._secrets()
    assert (folder / "secrets.json").read_text() == ""


def another_clone(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a clone that was made now, the first one being gone."""
    monkeypatch.setattr(local, "_FOLDER", machine / "second" / ".slipway")
    monkeypatch.setattr(local, "SECRETS", machine / "second" / ".slipway" / "secrets.json")
    (machine / "second" / ".slipway").mkdir(parents=True)


@pytest.mark.usefixtures("folder")
def test_a_new_clone_has_the_secrets_that_the_volumes_were_made_with(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = local._secrets()
    another_clone(machine, monkeypatch)
    assert local._secrets() == first == json.loads(local.SECRETS.read_text())
    shared = machine / "home" / ".local" / "share" / "slipway" / "local" / "secrets.json"
    assert shared.stat().st_mode & 0o777 == 0o600


def test_a_clone_of_an_earlier_version_keeps_its_secrets_and_hands_on_those_of_its_volumes(
    folder: Path, machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "secrets.json").write_text('{"OWN": "x", "POSTGRES_PASSWORD": "earlier"}')
    assert local._secrets() == {"OWN": "x", "POSTGRES_PASSWORD": "earlier"}
    another_clone(machine, monkeypatch)
    assert local._secrets() == {"POSTGRES_PASSWORD": "earlier"}


@pytest.mark.usefixtures("deployed")
def test_down_in_a_new_clone_knows_the_volumes_of_a_deployment_that_failed(
    machine: Path, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "machine", dict)
    monkeypatch.setattr(local, "_pulumi", lambda *_: 255)
    assert main(["up"]) == 255
    another_clone(machine, monkeypatch)
    monkeypatch.setenv("VOLUMES", "data")
    assert main(["down"]) == 0
    assert docker.called("volume rm") == ["volume rm shop-local_data"]


def test_secrets_added_by_hand_stay(folder: Path) -> None:
    (folder / "secrets.json").write_text('{"OWN": "kept"}')
    assert local._secrets()["OWN"] == "kept"
    assert set(json.loads((folder / "secrets.json").read_text())) == {"OWN", "POSTGRES_PASSWORD"}


# --- env


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("given", ["", '{"ADDED": "it\'s $HOME"}'], ids=["own", "own and given"])
def test_env_prints_no_secret_and_the_shell_still_gets_all(
    given: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(local, "machine", lambda: {"PATH": "/usr/bin:/bin", "ODD": "it's $HOME"})
    monkeypatch.setattr(local, "initialise", lambda _: None)
    monkeypatch.setenv("SLIPWAY_SECRETS", given)
    secrets = local._secrets()
    assert main(["env"]) == 0
    printed = capfd.readouterr().out
    assert not [value for value in secrets.values() if value in printed]
    script = f'{printed}\nprintf "%s\\n" "$ODD" "$SLIPWAY_SECRETS"'
    done = subprocess.run(["/bin/sh", "-euc", script], capture_output=True, text=True, check=True)
    odd, passed = done.stdout.splitlines()
    assert odd == "it's $HOME"
    assert json.loads(passed) == secrets


# --- down


@pytest.mark.usefixtures("folder")
def test_the_command_line_finds_the_tools_and_can_have_the_machine_made_ready_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    found = {"PATH": "/tools", "PULUMI_HOME": "/ours"}
    for name in found:
        monkeypatch.setenv(name, "before")  # what `machine` sets here goes again
    monkeypatch.setattr(local, "ensure_pulumi", lambda: found)
    monkeypatch.setattr(local, "_docker_side", lambda: {"SLIPWAY_REGISTRY": "127.0.0.1:5050"})
    monkeypatch.setattr(local, "initialise", lambda _: (folder / "state").mkdir())
    assert main(["machine"]) == 0
    assert json.loads(capsys.readouterr().out) == {**found, "SLIPWAY_REGISTRY": "127.0.0.1:5050"}
    assert local_stack.is_made(folder.parent)
    assert local_stack.configuration(folder.parent).is_file()
    kept = json.loads((folder / "machine.json").read_text())
    assert kept["environment"] == found
    program, command = kept["prepare"]
    assert (Path(program).is_file(), command) == (True, "machine")


def test_down_without_docker_has_nothing_to_remove(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["down"]) == 0
    assert "nothing to remove" in capsys.readouterr().err


@pytest.mark.usefixtures("folder")
def test_down_without_an_engine_starts_none(docker: FakeDocker, capsys: pytest.CaptureFixture[str]) -> None:
    docker.put("down")
    assert main(["down"]) == 0
    assert "nothing to remove" in capsys.readouterr().err
    assert not (docker.folder / "dockerd.log").exists()


@pytest.mark.usefixtures("folder")
def test_down_of_a_clone_that_deployed_nothing_removes_nothing(
    docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.put("volume-list", VOLUMES)
    monkeypatch.setenv("VOLUMES", "data")
    assert main(["down"]) == 0
    assert not any(docker.called(word) for word in ("rm", "volume rm", "start", "run"))


def test_down_destroys_the_stack_and_keeps_volumes_and_secrets(
    deployed: Path, folder: Path, docker: FakeDocker, capsys: pytest.CaptureFixture[str]
) -> None:
    secrets = local._secrets()
    assert main(["down"]) == 0
    assert deployed.read_text().startswith("destroy --yes --skip-preview --stack local ")
    assert not (folder / "state").exists()
    assert local._secrets() == secrets
    assert not docker.called("volume rm")
    told = capsys.readouterr().err
    assert "kept volume shop-local_data" in told
    assert "other-local" not in told


def test_down_removes_the_volumes_that_are_named_and_are_this_clones(
    deployed: Path, docker: FakeDocker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOLUMES", "data")
    assert main(["down"]) == 0
    assert docker.called("volume rm") == ["volume rm shop-local_data"]
    monkeypatch.setenv("VOLUMES", "cache,shop-local_data")
    docker.put("volume-list", VOLUMES.split("\n", 1)[1])
    assert main(["down"]) == 0
    assert docker.called("volume rm") == ["volume rm shop-local_data", "volume rm shop-local_cache"]
    assert len(deployed.read_text().splitlines()) == 1


@pytest.mark.usefixtures("deployed")
def test_down_removes_the_images_that_the_stack_built(docker: FakeDocker) -> None:
    docker.put("images-of/127.0.0.1:5050/shop-api", "local sha256:d2\n<none> sha256:d1\n")
    docker.put("images-of/127.0.0.1:5050/other-api", "local sha256:d3\n")
    assert main(["down"]) == 0
    assert docker.called("image rm") == [
        "image rm 127.0.0.1:5050/shop-api:local",
        "image rm 127.0.0.1:5050/shop-api@sha256:d1",
    ]


def test_failed_destroy_keeps_state_and_images_for_the_next_try(
    deployed: Path, folder: Path, docker: FakeDocker
) -> None:
    (folder / "stuck").touch()
    assert main(["down"]) == 255
    assert not docker.called("image rm")
    assert (folder / "state" / STATE).is_file()
    (folder / "stuck").unlink()
    assert main(["down"]) == 0
    assert len(deployed.read_text().splitlines()) == 2


def test_down_hands_arguments_on(deployed: Path) -> None:
    main(["down", "--target", "urn"])
    assert "--target urn" in deployed.read_text()


def test_stack_without_a_deployment_can_go_down(deployed: Path, folder: Path) -> None:
    (folder / "state" / STATE).write_text('{"checkpoint": {"latest": null}}')
    assert main(["down"]) == 0
    assert deployed.read_text()
    assert not (folder / "state").exists()
