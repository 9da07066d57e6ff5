"""GitHubEnvironment: what it makes of settings and of what is there; no secret in the clear."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from recorded import Recorded, is_secret, open_strings, plain, program
from samples import CANARY, KEY, LOCAL, REMOTE, probe, settings

from components.github import GitHubEnvironment, GitHubEnvironmentArgs
from components.host import Host, HostArgs
from slipway.contract.problems import SlipwayError
from slipway.releases.github_repository import RepositoryView
from slipway.settings.model import HostSettings

PRIVATE = asyncssh.generate_private_key("ssh-ed25519").export_private_key().decode()
Registered = tuple[Recorded, list[list[str]]]


def made(
    folder: Path,
    block: dict[str, Any],
    *,
    given: dict[str, Any] | None = None,
    machines: Sequence[dict[str, Any]] = (),
    **view: Any,
) -> Registered:
    """The engine's record, and what counts as adopted."""
    engine = Recorded(stdout=PRIVATE)
    seen = RepositoryView(**{"owner": "acme", "name": "shop", "api": "https://api.github.com", "admin": True, **view})
    stack = settings(folder, github=block, **(given or {}))

    def build() -> Any:
        described = [HostSettings.model_validate(machine) for machine in machines]
        hosts = [Host(each.name, HostArgs(machine=each, private_key=CANARY, probe=probe())) for each in described]
        return GitHubEnvironment("shop", GitHubEnvironmentArgs(settings=stack, repository=seen, hosts=hosts)).adopted

    return engine, program(engine, build)


def kinds(engine: Recorded) -> set[tuple[str, str]]:
    return {(kind.rpartition(":")[2], name) for kind, name in engine.resources if kind.startswith("github:index")}


def inputs(engine: Recorded, kind: str, name: str) -> dict[str, Any]:
    return next(each for (typ, its), each in engine.resources.items() if typ.endswith(f":{kind}") and its == name)


def test_secrets_are_secret_and_their_values_those_of_the_stack(tmp_path: Path) -> None:
    block = {"secrets": ["TOKEN", "SLIPWAY_SSH_KEY"], "repositorySecrets": ["SHARED"]}
    given = {"secrets": {"TOKEN": CANARY, "SHARED": CANARY}, "ssh_key": CANARY}
    engine, _ = made(tmp_path, block, given=given)
    for kind, name in (
        ("ActionsEnvironmentSecret", "test/TOKEN"),
        ("ActionsEnvironmentSecret", "test/SLIPWAY_SSH_KEY"),
        ("ActionsSecret", "SHARED"),
    ):
        value = inputs(engine, kind, name)["value"]
        assert is_secret(value)
        assert plain(value) == CANARY
    assert not any(CANARY in text for each in engine.resources.values() for text in open_strings(each))


def test_the_provider_is_given_no_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", CANARY)
    engine, _ = made(tmp_path, {"waitTimer": 1})
    given = {"owner": "acme", "baseUrl": "https://api.github.com/"}
    assert engine.resources["pulumi:providers:github", "shop-github"] == given


def test_the_environment_is_named_after_the_stack_and_says_only_what_the_stack_says(tmp_path: Path) -> None:
    engine, adopted = made(tmp_path, {"waitTimer": 0, "variables": {"A": "b"}})
    found = inputs(engine, "RepositoryEnvironment", "test")
    assert found == {"repository": "shop", "environment": "test", "waitTimer": 0}
    assert adopted == []


@pytest.mark.parametrize(
    ("block", "policy"),
    [
        ({"protectedBranches": True}, {"protectedBranches": True, "customBranchPolicies": False}),
        ({"branches": ["main"]}, {"protectedBranches": False, "customBranchPolicies": True}),
        ({"tags": ["v*"]}, {"protectedBranches": False, "customBranchPolicies": True}),
    ],
)
def test_branches_and_tags_become_a_policy(tmp_path: Path, block: dict[str, Any], policy: dict[str, Any]) -> None:
    engine, _ = made(tmp_path, block)
    assert inputs(engine, "RepositoryEnvironment", "test")["deploymentBranchPolicy"] == policy


def test_what_is_there_already_is_adopted_and_stays_so(tmp_path: Path) -> None:
    key = ("RepositoryEnvironment", "test")
    there = {"wait_timer": 7, "reviewers": [{"users": [4], "teams": []}]}
    engine, adopted = made(tmp_path, {"preventSelfReview": True}, existing={key: ""}, environment=there)
    assert adopted == [list(key)]
    assert inputs(engine, *key)["waitTimer"] == 7
    assert inputs(engine, *key)["reviewers"] == [{"users": [4], "teams": []}]
    state = {key: "github:index/repositoryEnvironment:RepositoryEnvironment"}
    assert made(tmp_path, {"waitTimer": 1}, existing={key: ""}, known=state, adopted=frozenset({key}))[1] == [list(key)]
    assert made(tmp_path, {"waitTimer": 1}, existing={key: ""}, known=state)[1] == []


def test_without_admin_what_the_state_has_is_registered_and_nothing_else(tmp_path: Path) -> None:
    known = {("ActionsSecret", "OLD"): "github:index/actionsSecret:ActionsSecret"}
    adopted = frozenset({("ActionsSecret", "OLD")})
    engine, kept = made(tmp_path, {"waitTimer": 5}, admin=False, known=known, adopted=adopted)
    assert kinds(engine) == {("ActionsSecret", "OLD")}
    assert kept == [["ActionsSecret", "OLD"]]


def test_an_empty_block_makes_nothing(tmp_path: Path) -> None:
    for admin in (True, False):
        engine, _ = made(tmp_path, {}, admin=admin)
        assert [kind for kind, _ in engine.resources if "github:" in kind and "GitHubEnvironment" not in kind] == []


def test_a_key_for_the_hosts_is_made_and_only_the_environment_is_given_it(tmp_path: Path) -> None:
    bastion = {"address": "jump.example.com", "user": "jump", "hostKey": KEY}
    machines = [{**REMOTE, "bastion": bastion}, LOCAL]
    engine, _ = made(tmp_path, {"sshKey": True}, machines=machines)
    secret = inputs(engine, "ActionsEnvironmentSecret", "test/SLIPWAY_SSH_KEY")["value"]
    assert is_secret(secret)
    assert plain(secret) == PRIVATE
    keys = {name: each for (_, name), each in engine.resources.items() if name.endswith("-key")}
    assert {name: plain(each["connection"])["user"] for name, each in keys.items()} == {
        "shop-web-1-key": "deploy",
        "shop-web-1_bastion-key": "jump",
    }
    public = asyncssh.import_private_key(PRIVATE).export_public_key().decode().strip()
    assert {plain(each["stdin"]) for each in keys.values()} == {f"{public}\n"}
    pair = inputs(engine, "Command", "shop-pair")
    assert (pair["logging"], "stdin" in pair) == ("none", False)


@pytest.mark.parametrize(
    ("admin", "wanted", "kept"), [(False, False, True), (False, True, False), (True, False, False)]
)
def test_a_key_comes_and_goes_with_a_run_that_may_change_the_repository(
    tmp_path: Path, *, admin: bool, wanted: bool, kept: bool
) -> None:
    engine, _ = made(tmp_path, {"sshKey": wanted}, machines=[REMOTE], admin=admin, ssh_key=not wanted)
    assert (("command:remote:Command", "shop-web-1-key") in engine.resources) == kept


@pytest.mark.parametrize("machines", [(), (LOCAL,)])
def test_no_key_is_made_that_no_host_would_let_in(tmp_path: Path, machines: Sequence[dict[str, Any]]) -> None:
    with pytest.raises(SlipwayError, match="take over the __main__"):
        made(tmp_path, {"sshKey": True}, machines=machines)


def test_what_others_have_is_removed_once_all_else_is_there(tmp_path: Path) -> None:
    removed: list[set[tuple[str, str]]] = []
    engine = Recorded()
    others = {("ActionsEnvironmentSecret", "test/OLD"): lambda: removed.append(kinds(engine))}
    seen = RepositoryView(owner="acme", name="shop", api="https://api.github.com", admin=True, others=others)
    stack = settings(tmp_path, github={"manage": "all", "variables": {"A": "b"}})
    program(engine, lambda: GitHubEnvironment("shop", GitHubEnvironmentArgs(settings=stack, repository=seen)).adopted)
    assert removed == [{("RepositoryEnvironment", "test"), ("ActionsEnvironmentVariable", "test/A")}]
