"""Waiting for a new server: until it can be deployed to, or with what cloud-init says is wrong."""

from __future__ import annotations

import asyncio
import contextlib
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import asyncssh
import pulumi
import pytest
import yaml
from samples import settings

from slipway.contract.problems import SlipwayError
from slipway.hosts.hetzner import birth
from slipway.hosts.key_pair import new_key_pair
from slipway.settings.model import HostSettings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

HOST = HostSettings(name="web", address="192.0.2.7", user="deploy")
AWAY = SlipwayError(
    "host web: root@192.0.2.7:22 cannot be reached (refused)", "its state is unknown", "ssh root@192.0.2.7"
)


LOST = asyncssh.ConnectionLost("gone")


@pytest.fixture(name="users")
def _users() -> list[str]:
    """Whom it was asked as."""
    return []


@pytest.fixture(name="answers")
def _answers(monkeypatch: pytest.MonkeyPatch, users: list[str]) -> list[Any]:
    """What the server says, one after the other: an error, or what a command prints."""
    script: list[Any] = []

    @contextlib.asynccontextmanager
    async def reached(host: HostSettings, _key: str) -> AsyncIterator[Any]:
        users.append(host.user)
        if isinstance(script[0], SlipwayError):
            raise script.pop(0)

        async def start(_command: str) -> Any:
            said = script.pop(0)
            if isinstance(said, Exception):
                raise said

            async def read() -> bytes:
                return str(said).encode()

            return SimpleNamespace(stdout=SimpleNamespace(read=read))

        yield SimpleNamespace(start=start)

    async def at_once(_seconds: float) -> None:
        pass

    monkeypatch.setattr(birth, "reached", reached)
    monkeypatch.setattr(birth.asyncio, "sleep", at_once)
    monkeypatch.setattr(pulumi.log, "info", lambda _: None)
    return script


@pytest.mark.parametrize(
    "said",
    [
        ["status: done\nextended_status: done", ""],
        [AWAY, AWAY, "status: not started", "status: running", "status: done", ""],
        ["status: done", "Docker does not answer", "status: done", ""],
        ["", ""],  # an image without cloud-init
        [LOST, "status: running", LOST, "status: done", LOST, "status: done", ""],  # sshd starts again meanwhile
    ],
)
def test_a_new_server_is_ready_once_cloud_init_is_done_and_docker_answers(
    answers: list[Any], users: list[str], said: list[Any]
) -> None:
    answers += said
    asyncio.run(birth.ready(HOST, "", new=True))
    assert answers == []
    assert {*users} == {"root"}, "the other one is made by what is waited for"


def test_one_that_was_only_switched_off_is_not_prepared_again(answers: list[Any], users: list[str]) -> None:
    answers += [AWAY, LOST, "Docker does not answer", ""]
    asyncio.run(birth.ready(HOST, "", new=False))
    assert answers == []
    assert {*users} == {"deploy"}, "root need not be let in there"


@pytest.mark.parametrize("status", ["error", "done", "running"])  # done: somebody has started it again
def test_what_failed_is_said_in_its_own_words_with_the_way_out(answers: list[Any], status: str) -> None:
    answers += ["status: running", f"status: {status}\nslipway: error: docker: there is no Docker", ""]
    with pytest.raises(SlipwayError, match=r"docker: there is no Docker(.|\n)*hetzner.rebuild web && slipway up"):
        asyncio.run(birth.ready(HOST, "", new=True))


@pytest.mark.parametrize(("said", "words"), [(AWAY, "cannot be reached"), ("status: running", "did not become ready")])
def test_the_wait_has_an_end(answers: list[Any], monkeypatch: pytest.MonkeyPatch, said: Any, words: str) -> None:
    monkeypatch.setattr(birth, "_BOOT_SECONDS", -1)
    answers.append(said)
    with pytest.raises(SlipwayError, match=words):
        asyncio.run(birth.ready(HOST, "", new=True))


def test_one_that_was_only_switched_off_is_not_built_anew(answers: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(birth, "_BOOT_SECONDS", -1)
    answers.append("Docker does not answer")
    with pytest.raises(SlipwayError, match=r"ssh deploy@192\.0\.2\.7 systemctl status docker") as raised:
        asyncio.run(birth.ready(HOST, "", new=False))
    assert "rebuild" not in str(raised.value)


def test_user_data_has_the_host_key_the_login_key_and_the_volume(tmp_path: Path) -> None:
    key = new_key_pair()
    stack = settings(tmp_path, hetzner={"sshFrom": ["::/0"], "network": "10.10.0.0/16"})
    text = birth.first_configuration(stack, "web", key, "ssh-ed25519 LOGIN", {"/dev/disk/by-id/x": "/data"})
    document = yaml.safe_load(text)
    assert document["hostname"] == "web"
    assert document["ssh_keys"]["ed25519_public"] == key.public
    [script] = [file["content"] for file in document["write_files"]]
    for word in ("ssh-ed25519 LOGIN", "/dev/disk/by-id/x", "/data", "10.10.0.0/16", "deploy"):
        assert word in script
