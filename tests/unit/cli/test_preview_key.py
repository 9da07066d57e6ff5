"""The line of authorized_keys for previews: what a shell and sshd make of it, and which keys are refused."""

from __future__ import annotations

import itertools
import json
import os
import re
import subprocess
from fnmatch import fnmatchcase
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import asyncssh
import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

from slipway.cli.init.preview_key import _ADD, authorized_line
from slipway.cli.main import app
from slipway.contract.problems import SlipwayError
from slipway.settings.model import Settings

if TYPE_CHECKING:
    from pathlib import Path

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"


def key(folder: Path) -> asyncssh.SSHKey:
    made = asyncssh.generate_private_key("ssh-ed25519", comment='me@laptop" ,pty')
    (folder / "key.pub").write_bytes(made.export_public_key())
    return made


def test_the_line_runs_the_look_of_its_stack_and_nothing_else(tmp_path: Path) -> None:
    key(tmp_path)
    line = authorized_line(tmp_path / "key.pub", "shop-staging", Settings(stack="staging"))
    assert len(line.splitlines()) == 1
    found = re.fullmatch(r'command="((?:[^"\\]|\\.)*)",restrict (ssh-ed25519 \S+) slipway-preview-shop-staging', line)
    assert found
    assert "laptop" not in line
    command = re.sub(r"\\(.)", r"\1", found[1])  # as sshd reads it
    agent = tmp_path / "stacks/shop-staging/agent.pyz"
    agent.parent.mkdir(parents=True)
    agent.write_text("import sys; print(sys.argv[1:])")

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False, cwd=tmp_path,
                              env={"SLIPWAY_HOME": str(tmp_path), "PATH": "/usr/bin:/bin",
                                   "SSH_ORIGINAL_COMMAND": "touch /tmp/x"})  # fmt: skip

    assert run().stdout == "['look', '--stack', 'shop-staging']\n"
    agent.rename(tmp_path / "__main__.py")  # after `destroy`: nothing in the user's home is run instead
    gone = run()
    assert (gone.returncode, gone.stdout, gone.stderr) == (1, "", "nothing is deployed here\n")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is not a public key"),
        ("ssh-ed25519 AAAA", "is not a public key"),
        (
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaA==\n-----END OPENSSH PRIVATE KEY-----\n",
            "is not a public key",
        ),
        (
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl\n" * 2,
            "is not a public key",
        ),
        (None, "cannot be read"),
    ],
)
def test_what_is_no_public_key_is_refused(tmp_path: Path, content: str | None, said: str) -> None:
    if content is not None:
        (tmp_path / "key.pub").write_text(content)
    with pytest.raises(SlipwayError, match=said):
        authorized_line(tmp_path / "key.pub", "shop-staging", Settings(stack="staging"))


def test_a_line_added_twice_at_once_stands_once(tmp_path: Path) -> None:
    started = [
        subprocess.Popen(
            ["/bin/sh", "-c", _ADD],
            env={"HOME": str(tmp_path), "PATH": os.environ["PATH"]},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for _ in range(8)
    ]
    line = b'restrict,command="x" restrict ssh-ed25519 AAAA someone\n'
    for each in started:
        assert each.stdin
        each.stdin.write(line)
        each.stdin.flush()
    assert sorted(each.communicate()[0] for each in started) == [b"added\n", *[b"there\n"] * 7]
    assert (tmp_path / ".ssh/authorized_keys").read_bytes() == line


def test_the_deploy_key_is_refused(tmp_path: Path) -> None:
    own = key(tmp_path).export_private_key().decode()
    with pytest.raises(SlipwayError, match="is the key that deploys"):
        authorized_line(tmp_path / "key.pub", "shop-staging", Settings(stack="staging", ssh_key=SecretStr(own)))


@pytest.mark.parametrize("given", [["key"], ["key", "--preview"], ["key", "a.pub"], ["key", "--rotate", "--add"],
                                   ["key", "--rotate", "--preview", "a.pub"]])  # fmt: skip
def test_it_is_a_key_for_previews_or_another_one_for_github(given: list[str]) -> None:
    said = CliRunner().invoke(app, ["host", *given])
    assert said.exit_code == 2
    assert "key needs FILE --preview" in re.sub(r"[^\w-]+", " ", said.output)


@pytest.mark.parametrize("host", ["web-1", "key", "web-key"])
@pytest.mark.parametrize(
    ("wanted", "made", "fix"),
    [
        (
            False,
            False,
            "pulumi config set --path 'github.sshKey' true --stack live && export SLIPWAY_GITHUB_ADMIN=true && ",
        ),
        (True, False, "export SLIPWAY_GITHUB_ADMIN=true && pulumi up --stack live"),
        (True, True, ""),
    ],
)
def test_a_key_that_was_made_is_replaced_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, *, wanted: bool, made: bool, fix: str, host: str
) -> None:
    github = {"sshKey": wanted, "manage": "all", "variables": {"A": "b"}}
    settings = Settings.model_validate({"stack": "live", "github": github})
    updates: list[tuple[list[str], dict[str, Any]]] = []

    def deploy(_: object, given: list[str], **how: Any) -> int:
        updates.append((given, how))
        return 0

    prefix = "urn:pulumi:live::shop::slipway:"
    key = [
        f"{prefix}github:GitHubEnvironment$slipway:ssh_key:SshKey$command:local:Command::shop-live-pair",
        f"{prefix}host:Host$command:remote:Command::shop-live-{host}-key",
        f"{prefix}github:GitHubEnvironment$github:index/secret:ActionsEnvironmentSecret::live/SLIPWAY_SSH_KEY",
    ]
    others = [
        f"{prefix}host:Host$command:remote:Command::shop-live-{host}-removal",
        f"{prefix}deployment:ComposeDeployment$command:remote:Command::shop-live-{host}",
    ]
    state = json.dumps({"deployment": {"resources": [{"urn": each} for each in [*others, *(key if made else ())]]}})
    exported = SimpleNamespace(returncode=0, stdout=state)
    engine = SimpleNamespace(stack="live", ask=lambda *_: exported)
    monkeypatch.setattr("slipway.releases.engine.engine_of", lambda *_, **__: engine)
    monkeypatch.setattr("slipway.releases.engine.settings_of", lambda _: settings)
    monkeypatch.setattr("slipway.releases.locks.waiting.when_free", lambda _, update: update(""))
    monkeypatch.setattr("slipway.cli.deploy.update.deploy", deploy)
    said = CliRunner().invoke(app, ["host", "key", "--rotate"])
    if fix:
        assert fix in str(said.exception)
        assert updates == []
        return
    [(given, how)] = updates
    assert how["announced"] is False
    assert how["settings"]["SLIPWAY_GITHUB_ADMIN"] == "true"
    assert json.loads(how["settings"]["SLIPWAY_GITHUB"]) == {**github, "manage": "own"}, "nothing of others is removed"
    assert given[0] == "--replace"
    targets = [glob for word, glob in itertools.pairwise(given) if word == "--target"]
    assert [each for each in [*key, *others] if any(fnmatchcase(each, glob) for glob in targets)] == key
    assert [each for each in [*key, *others] if fnmatchcase(each, given[1])] == key[:1]
