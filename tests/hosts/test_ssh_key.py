"""A key for the hosts that Slipway makes: the hosts let it in, GitHub alone is given it, another takes its place."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import pytest
from github_fake import TOKEN, serving_github
from github_repository_fake import FakeRepository

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from remote_stack import RemoteStack

    from dev.testhosts.server import TestHost

HOSTS = 2
AUTHORIZED = "/home/deploy/.ssh/authorized_keys"


@pytest.fixture(scope="module")
def github() -> Iterator[FakeRepository]:
    with serving_github(FakeRepository) as fake:
        yield fake


@pytest.fixture(scope="module")
def stack(deployable: Callable[..., RemoteStack], hosts: list[TestHost]) -> Iterator[RemoteStack]:
    """A stack on one host behind the other, whose authorized keys end without a line end."""
    before = [host.path(AUTHORIZED).read_text() for host in hosts]
    stack = deployable(hosts[1], githubRepository="acme/shop", github={"environment": "live", "sshKey": True})
    bastion = {"address": hosts[0].address, "user": "deploy", "hostKey": hosts[0].host_key}
    stack.settings["hosts"][0]["bastion"] = bastion
    for host in hosts:
        host.path(AUTHORIZED).write_text(host.path(AUTHORIZED).read_text().rstrip("\n"))
    yield stack
    for host, text in zip(hosts, before, strict=True):
        host.path(AUTHORIZED).write_text(text)


def logs_in(key: str, host: TestHost, folder: Path) -> bool:
    file = folder / "key"
    file.touch(0o600)
    file.write_text(key)
    options = (
        "IdentitiesOnly=yes",
        "BatchMode=yes",
        "StrictHostKeyChecking=no",
        f"UserKnownHostsFile={folder / 'known'}",
    )
    given = [word for each in options for word in ("-o", each)]
    argv = ["ssh", "-F", "none", "-i", file, *given, f"deploy@{host.address}", "id"]
    return subprocess.run(argv, capture_output=True, check=False, timeout=30).returncode == 0


def test_the_key_lives_on_the_hosts_and_at_github_and_is_replaced_by_one_command(
    stack: RemoteStack, hosts: list[TestHost], github: FakeRepository, tmp_path: Path
) -> None:
    admin = {"SLIPWAY_GITHUB_ADMIN": "true", "GITHUB_TOKEN": TOKEN, "GITHUB_API_URL": f"{github.url}/api/v3"}
    others = [host.path(AUTHORIZED).read_text().splitlines() for host in hosts]
    printed = [stack.preview("--diff", **admin).text, stack.up("--diff", **admin).text]
    first = github.opened("live")["SLIPWAY_SSH_KEY"]
    assert all(logs_in(first, host, tmp_path) for host in hosts)
    lines = [host.path(AUTHORIZED).read_text().splitlines() for host in hosts]
    assert [each[:-1] for each in lines] == others
    assert oct(hosts[1].path(AUTHORIZED).stat().st_mode & 0o777) == "0o600"
    assert set(stack.up(**admin).steps.values()) == {"same"}

    own, stack.private_key = stack.private_key, first  # a job on GitHub
    stack.variables["VERSION"] = "2"
    del admin["SLIPWAY_GITHUB_ADMIN"]
    stack.up(**admin)
    stack.private_key = own
    assert stack.version_on(hosts[1]) == "2"

    stack.variables["VERSION"] = "3"
    rotated = stack.slipway("host", "key", "--rotate", **admin)
    assert stack.version_on(hosts[1]) == "2", "it deploys nothing"
    second = github.opened("live")["SLIPWAY_SSH_KEY"]
    assert second != first
    for host, before in zip(hosts, others, strict=True):
        assert logs_in(second, host, tmp_path)
        assert not logs_in(first, host, tmp_path)
        assert logs_in(own, host, tmp_path)
        assert host.path(AUTHORIZED).read_text().splitlines()[:-1] == before

    stack.private_key = second
    stack.up(**admin)
    printed += [rotated.text, json.dumps(stack.pulumi("stack", "history", "--json"))]
    stack.run("destroy", "--yes", "--skip-preview", **admin)
    for host, before in zip(hosts, others, strict=True):
        assert host.path(AUTHORIZED).read_text().splitlines() == before
    assert github.environments == {}
    state = "".join(file.read_text() for file in (stack.folder / "state").rglob("*.json*") if file.is_file())
    for key in (first, second):
        own_lines = key.splitlines()[2:-2]  # every key begins with the same
        assert own_lines
        assert not any(line in text for line in own_lines for text in [*printed, state])
