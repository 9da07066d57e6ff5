"""What a stack says of its repository on GitHub: what GitHub would refuse is refused before anything is asked."""

import json
from pathlib import Path
from typing import Any

import pytest
from samples import CANARY, REMOTE, load, problems_of_loading, settings

from slipway.contract.problems import Problem
from slipway.settings.blocks.github import NOTHING
from slipway.settings.rules.github import github_secret

REPOSITORY = {"githubRepository": "acme/shop"}
ADMIN = {**REPOSITORY, "githubAdmin": "true"}


def problems(root: Path, block: dict[str, Any], given: dict[str, str], **more: Any) -> list[Problem]:
    return problems_of_loading(root, {"github": json.dumps(block), **given}, **more)


def test_it_is_off_by_default(tmp_path: Path) -> None:
    found = load(tmp_path)
    assert (found.github_repository, found.github, found.github_admin) == ("", NOTHING, False)


@pytest.mark.parametrize(
    ("block", "what"),
    [
        ({"environment": "a/b"}, "github.environment: has a slash, or more than 255 characters"),
        ({"secrets": ["GITHUB_TOKEN"]}, "github.secrets[0]: is not a name that GitHub takes"),
        ({"repositorySecrets": ["a-b"]}, "github.repositorySecrets[0]: is not a name that GitHub takes"),
        ({"variables": {"GITHUB_X": "1"}}, "github.variables.GITHUB_X: is not a name that GitHub takes"),
        ({"repositoryVariables": {"1A": "1"}}, "github.repositoryVariables.1A: is not a name that GitHub takes"),
        ({"reviewers": {"users": list("abcd"), "teams": list("efg")}}, "github.reviewers: there are more than 6"),
        ({"protectedBranches": True, "tags": ["v*"]}, "github.protectedBranches: set, though branches or tags are"),
        ({"waitTimer": 43201}, "github.waitTimer: "),
        ({"shaPinning": True}, "github.shaPinning: set, though actionsPermissions is not"),
        ({"workflowPermissions": "none"}, "github.workflowPermissions: "),
        ({"sshKey": True}, "github.sshKey: set, though no host is reached over SSH"),
        ({"reviewer": {}}, "github.reviewer: unknown key"),
        ({"ruleset": {"checks": []}}, "github.ruleset.checks: unknown key"),
    ],
)
def test_what_github_would_refuse_is_refused(tmp_path: Path, block: dict[str, Any], what: str) -> None:
    [problem] = problems(tmp_path, block, REPOSITORY)
    assert problem.what.startswith(what)


def test_the_secret_of_a_key_that_is_made_is_not_another_one(tmp_path: Path) -> None:
    block = {"sshKey": True, "secrets": ["SLIPWAY_SSH_KEY"]}
    found = problems(tmp_path, block, {**REPOSITORY, "hosts": json.dumps([REMOTE])})
    whats = [each.what for each in found if each.what.startswith("github.")]
    assert whats == ["github.sshKey: set, though secrets name SLIPWAY_SSH_KEY"]


def test_a_block_without_a_repository_says_how_to_name_it(tmp_path: Path) -> None:
    [problem] = problems(tmp_path, {"waitTimer": 5}, {})
    assert problem.what == "githubRepository: not set, though github is"
    assert problem.fix == "pulumi config set githubRepository OWNER/NAME --stack test"


@pytest.mark.parametrize("name", ["acme", "acme/shop/x", "https://github.com/acme/shop"])
def test_a_repository_has_an_owner_and_a_name(tmp_path: Path, name: str) -> None:
    [problem] = problems_of_loading(tmp_path, {"githubRepository": name})
    assert problem.what == "githubRepository: is not OWNER/NAME"


@pytest.mark.parametrize("section", ["secrets", "repositorySecrets"])
def test_a_secret_without_a_value_or_with_too_long_a_one_is_refused_where_it_would_be_set(
    tmp_path: Path, section: str
) -> None:
    block, long = {section: ["LONG", "NONE"]}, {"SLIPWAY_SECRETS__LONG": "x" * (48 * 1024 + 1)}
    found = problems(tmp_path, block, ADMIN, environment=long)
    assert [problem.what for problem in found] == [
        f"github.{section}: LONG has 49,153 bytes",
        f"github.{section}: NONE has no value",
    ]
    assert problems(tmp_path, block, REPOSITORY, environment=long) == [], "a run that sets none needs none"
    fits = {"SLIPWAY_SECRETS__LONG": "x" * 48 * 1024}
    assert problems(tmp_path, {section: ["LONG"]}, ADMIN, environment=fits) == []


def test_more_than_a_hundred_secrets_are_refused(tmp_path: Path) -> None:
    names = [f"S{number}" for number in range(101)]
    given = {f"SLIPWAY_SECRETS__{name}": CANARY for name in names}
    [problem] = problems(tmp_path, {"secrets": names}, ADMIN, environment=given)
    assert problem.what == "github.secrets: names 101 secrets"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKEN", "of the stack"),
        ("SLIPWAY_REGISTRY_PASSWORD", "of a setting"),
        ("SLIPWAY_DOMAIN", "shop.example.com"),
        ("REGION", "a variable"),
        ("PULUMI_CONFIG_PASSPHRASE", "of the run"),
        ("SLIPWAY_HOSTS", ""),
        ("ABSENT", ""),
    ],
)
def test_a_secrets_value_is_the_stacks_else_the_runs(tmp_path: Path, name: str, value: str) -> None:
    found = settings(
        tmp_path,
        secrets={"TOKEN": "of the stack"},
        registry_password="of a setting",
        domain="shop.example.com",
        variables={"REGION": "a variable"},
    )
    assert github_secret(found, name, {"PULUMI_CONFIG_PASSPHRASE": "of the run", "TOKEN": "not this"}) == value
