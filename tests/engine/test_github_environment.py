"""A stack's side of its repository on GitHub: the component, through the provider's own code, against GitHub's API."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from github_fake import TOKEN, serving_github
from github_repository_fake import FakeRepository

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pulumi_project import Outcome, Project

ROOT = Path(__file__).resolve().parents[2]
CANARY = "canary-7f3Q9zKpL2vX"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl"

PROGRAM = """
from pathlib import Path
from slipway.settings.engine_errors import reported_to_pulumi
with reported_to_pulumi():
    from components.github import GitHubEnvironment, GitHubEnvironmentArgs
    from slipway.releases.github_repository import look_at_repository
    from slipway.settings.model import Settings
    given = {"github_repository": "acme/shop", "github_admin": True, **given}
    settings = Settings(stack="test", application=Path("."), **given)
    repository = look_at_repository(settings)
    if repository:
        GitHubEnvironment("shop-test", GitHubEnvironmentArgs(settings=settings, repository=repository))
"""
WANTED: dict[str, Any] = {
    "environment": "staging",
    "reviewers": {"users": ["ann"], "teams": ["ops"]},
    "waitTimer": 5,
    "preventSelfReview": True,
    "branches": ["main"],
    "tags": ["v*"],
    "secrets": ["DATABASE_PASSWORD"],
    "variables": {"REGION": "fsn1"},
    "repositorySecrets": ["REGISTRY_TOKEN"],
    "repositoryVariables": {"SLIPWAY_ENABLED": "true"},
    "deployKeys": {"mirror": KEY},
    "ruleset": {"requiredChecks": ["test", "preview"], "requiredLinearHistory": True},
    "actionsPermissions": "local_only",
    "shaPinning": True,
    "workflowPermissions": "read",
}
SECRETS = {"DATABASE_PASSWORD": CANARY, "REGISTRY_TOKEN": f"{CANARY}-registry"}
GIVEN: dict[str, Any] = {"github": WANTED, "secrets": SECRETS}


@pytest.fixture
def github() -> Iterator[FakeRepository]:
    with serving_github(FakeRepository) as fake:
        yield fake


@pytest.fixture
def stack(project: Project, github: FakeRepository) -> Project:
    given = {"PYTHONPATH": str(ROOT), "GITHUB_TOKEN": TOKEN, "GITHUB_API_URL": f"{github.url}/api/v3"}
    project.env.update(given)
    return project


def changes(outcome: Outcome) -> dict[str, str]:
    """Resource → operation, of those that change."""
    return {name: step for step, name in outcome.steps if step != "same" and name != "shop-test"}


# --- a stack's life


def test_everything_is_made_sealed_and_then_left_alone(stack: Project, github: FakeRepository) -> None:
    made = stack.up(PROGRAM, **GIVEN)
    assert set(changes(made).values()) == {"create"}
    assert github.opened("staging") == {"DATABASE_PASSWORD": CANARY}
    assert github.opened() == {"REGISTRY_TOKEN": f"{CANARY}-registry"}
    assert CANARY not in stack.state + made.text + json.dumps(made.events)
    assert TOKEN not in stack.state + made.text
    assert github.environments == {"staging": {"REGION": "fsn1"}}
    assert github.shared == {"SLIPWAY_ENABLED": "true"}
    assert github.rules["staging"] == {
        "can_admins_bypass": True,
        "deployment_branch_policy": {"protected_branches": False, "custom_branch_policies": True},
        "prevent_self_review": True,
        "reviewers": [{"type": "Team", "id": 101}, {"type": "User", "id": 1}],
        "wait_timer": 5,
    }
    assert {(each["type"], each["name"]) for each in github.policies["staging"]} == {("branch", "main"), ("tag", "v*")}
    assert github.actions == {"enabled": True, "allowed_actions": "local_only", "sha_pinning_required": True}
    assert github.workflows == {"default_workflow_permissions": "read", "can_approve_pull_request_reviews": False}
    [ruleset] = github.rulesets
    assert {rule["type"] for rule in ruleset["rules"]} == {"required_linear_history", "required_status_checks"}
    assert [key["read_only"] for key in github.keys] == [True]

    before = len(github.written)
    assert changes(stack.up(PROGRAM, **GIVEN)) == {}
    assert len(github.written) == before


def test_the_administrators_token_is_in_no_state_and_another_one_works(stack: Project, github: FakeRepository) -> None:
    small = {"github": {"secrets": ["DATABASE_PASSWORD"]}}
    stack.up(PROGRAM, **small, secrets=SECRETS)
    assert CANARY in stack.decrypted, "it shows what is encrypted"
    github.token = stack.env["GITHUB_TOKEN"] = "ghp_rotated"
    changed = stack.up(PROGRAM, **small, secrets={"DATABASE_PASSWORD": f"{CANARY}-new"})
    assert changes(changed) == {"test/DATABASE_PASSWORD": "update"}
    assert github.opened("test") == {"DATABASE_PASSWORD": f"{CANARY}-new"}
    for token in (TOKEN, github.token):
        assert token not in stack.decrypted + stack.state + changed.text

    del stack.env["GITHUB_TOKEN"]  # a run that is no administrator's needs none
    assert changes(stack.up(PROGRAM, **small, secrets={}, github_admin=False)) == {}


def test_a_stack_that_no_longer_names_its_repository_deletes_what_it_made(
    stack: Project, github: FakeRepository
) -> None:
    stack.up(PROGRAM, github={"secrets": ["DATABASE_PASSWORD"]}, secrets=SECRETS)
    without = {"github_repository": "", "github_admin": False}
    github.refused.append(("DELETE .*", 403, "Resource not accessible by integration"))
    assert "Resource not accessible by integration" in stack.up(PROGRAM, **without, fails=True).errors
    github.refused.clear()
    stack.up(PROGRAM, **without)
    assert (github.environments, github.opened("test")) == ({}, {})


def test_a_changed_value_is_the_only_change_and_what_is_taken_out_goes(stack: Project, github: FakeRepository) -> None:
    stack.up(PROGRAM, **GIVEN)
    changed = stack.up(
        PROGRAM,
        github={**WANTED, "waitTimer": 10, "tags": []},
        secrets={**SECRETS, "DATABASE_PASSWORD": f"{CANARY}-new"},
    )
    assert changes(changed) == {
        "staging": "update",
        "staging/DATABASE_PASSWORD": "update",
        "staging/tag v*": "delete",
    }
    assert github.opened("staging") == {"DATABASE_PASSWORD": f"{CANARY}-new"}
    assert github.rules["staging"]["wait_timer"] == 10
    assert CANARY not in stack.state + changed.text

    # another environment is another one: it is made before the old one goes
    renamed = changes(
        stack.up(PROGRAM, github={"environment": "live", "secrets": ["DATABASE_PASSWORD"]}, secrets=SECRETS)
    )
    assert (renamed["live"], renamed["live/DATABASE_PASSWORD"]) == ("create", "create")
    assert (renamed["staging"], renamed["staging/DATABASE_PASSWORD"]) == ("delete", "delete")
    assert list(github.environments) == ["live"]

    destroyed = stack.destroy()
    assert changes(destroyed)["live"] == "delete"
    assert (github.environments, github.opened("live"), github.rulesets, github.keys) == ({}, {}, [], [])


def test_what_was_there_is_taken_over_and_outlives_the_stack(stack: Project, github: FakeRepository) -> None:
    reviewers = [{"type": "User", "id": 1}]
    github.environment("staging", reviewers=reviewers, prevent_self_review=True)
    github.environments["staging"] |= {"REGION": "nbg1", "THEIRS": "stays"}
    github.seal("staging", "DATABASE_PASSWORD", "old")
    github.seal("staging", "THEIRS", "stays")
    github.shared["SLIPWAY_ENABLED"] = "true"
    github.ruleset(name="slipway", target="branch", enforcement="active", rules=[])
    github.ruleset(name="theirs", target="branch", enforcement="active", rules=[])
    wanted = {
        key: value for key, value in WANTED.items() if key not in ("reviewers", "preventSelfReview", "deployKeys")
    }
    given = {"github": wanted, "secrets": SECRETS}

    preview = stack.preview(PROGRAM, **given)
    assert "repository environment staging is there already: it is taken over, and never deleted" in preview.text
    assert changes(preview)["staging/REGION"] == "import"
    assert github.written == []

    adopted = stack.up(PROGRAM, **given)
    assert changes(adopted)["slipway"] == "import"
    assert "the next `pulumi up` changes it (value)" in adopted.text
    assert github.rules["staging"]["reviewers"] == reviewers, "reviewers that the stack does not name stay"
    assert github.rules["staging"]["wait_timer"] == 5
    assert github.opened("staging") == {"DATABASE_PASSWORD": CANARY, "THEIRS": "stays"}

    assert changes(stack.up(PROGRAM, **given)) == {"staging/REGION": "update", "slipway": "update"}
    assert github.environments["staging"] == {"REGION": "fsn1", "THEIRS": "stays"}
    assert changes(stack.up(PROGRAM, **given)) == {}

    stack.destroy()
    assert github.environments == {"staging": {"REGION": "fsn1", "THEIRS": "stays"}}
    assert set(github.opened("staging")) == {"DATABASE_PASSWORD", "THEIRS"}
    assert github.opened() == {}, "this one was the stack's own"
    assert [each["name"] for each in github.rulesets] == ["slipway", "theirs"]
    assert github.policies["staging"] == []


def test_what_others_have_goes_where_the_stack_manages_all_and_the_preview_names_it(
    stack: Project, github: FakeRepository
) -> None:
    github.environment("test")
    github.environments["test"]["THEIRS"] = "x"
    github.seal("test", "DATABASE_PASSWORD", "old")
    github.seal("test", "OTHER", "x")
    given = {"github": {"manage": "all", "secrets": ["DATABASE_PASSWORD"]}, "secrets": SECRETS}
    said = [
        f"actions environment {kind} is not named by the stack"
        for kind in ("secret test/OTHER", "variable test/THEIRS")
    ]
    preview = stack.preview(PROGRAM, **given)
    assert all(each in preview.text for each in said)
    assert github.written == []

    github.refused.append(("DELETE .*/OTHER", 403, "Resource not accessible by integration"))
    refused = stack.up(PROGRAM, fails=True, **given)
    assert "Resource not accessible by integration" in refused.errors
    assert "Traceback" not in refused.text
    github.refused.clear()
    stack.up(PROGRAM, **given)
    assert github.opened("test") == {"DATABASE_PASSWORD": CANARY}
    assert github.environments == {"test": {}}

    unnamed = stack.up(PROGRAM, github={"manage": "all", "waitTimer": 1}, secrets=SECRETS)
    assert "secret test/DATABASE_PASSWORD is not named" in unnamed.text, "it was there before, so the engine leaves it"
    assert github.opened("test") == {}
    written = len(github.written)
    stack.up(PROGRAM, github={"manage": "all", "waitTimer": 1}, secrets=SECRETS)
    assert len(github.written) == written


def test_what_somebody_changed_by_hand_comes_back(stack: Project, github: FakeRepository) -> None:
    stack.up(PROGRAM, **GIVEN)
    github.rules["staging"]["wait_timer"] = 99
    github.environments["staging"]["REGION"] = "by hand"
    github.seal("staging", "DATABASE_PASSWORD", "by hand")
    del github.sealed[""]["REGISTRY_TOKEN"]
    github.rulesets[0]["enforcement"] = "disabled"
    stack.write(PROGRAM, **GIVEN)
    seen = stack.pulumi("preview", "--refresh")
    drifted = {"staging", "staging/REGION", "REGISTRY_TOKEN", "slipway"}
    assert {name for name, step in changes(seen).items() if step in ("create", "update")} == drifted
    # GitHub shows no secret's value, and pulumi-github does not compare the time of its last change
    kind = "github:index/actionsEnvironmentSecret:ActionsEnvironmentSecret"
    urn = f"urn:pulumi:test::contract::slipway:github:GitHubEnvironment${kind}::staging/DATABASE_PASSWORD"
    stack.pulumi("up", "--yes", "--skip-preview", "--refresh", "--replace", urn)
    assert github.rules["staging"]["wait_timer"] == 5
    assert github.environments["staging"]["REGION"] == "fsn1"
    assert github.opened("staging")["DATABASE_PASSWORD"] == CANARY
    assert github.opened()["REGISTRY_TOKEN"] == f"{CANARY}-registry"
    assert github.rulesets[0]["enforcement"] == "active"


def test_a_run_that_is_no_administrators_keeps_everything(stack: Project, github: FakeRepository) -> None:
    stack.up(PROGRAM, **GIVEN)
    before = len(github.written)
    github.refused.append((".*/(environments|actions|keys|rulesets).*", 403, "Resource not accessible by integration"))
    other = {**WANTED, "waitTimer": 30, "secrets": []}
    assert changes(stack.up(PROGRAM, github=other, secrets={}, github_admin=False)) == {}
    assert len(github.written) == before
    resources = json.loads(stack.decrypted)["deployment"]["resources"]
    ours = {each["urn"]: each for each in resources if "$github:" in each["urn"]}
    [environment] = (urn for urn in ours if ":RepositoryEnvironment::" in urn)
    assert all(environment in each["dependencies"] for urn, each in ours.items() if urn != environment), "it goes last"
    github.refused.clear()
    assert changes(stack.up(PROGRAM, **GIVEN)) == {}, "an administrator finds it as it was"


# --- what goes wrong


def test_limits_and_outages_are_outlived_and_a_refusal_ends_it(stack: Project, github: FakeRepository) -> None:
    small = {"github": {"secrets": ["DATABASE_PASSWORD"]}, "secrets": SECRETS}
    github.fail(403, "You have exceeded a secondary rate limit", method="PUT", retry_after="1")
    soon = str(int(time.time()) + 3)
    github.fail(429, "API rate limit exceeded", method="PUT", x_ratelimit_remaining="0", x_ratelimit_reset=soon)
    github.fail(502, "Server Error", method="PUT")
    stack.up(PROGRAM, **small)
    assert github.opened("test") == {"DATABASE_PASSWORD": CANARY}

    github.refused.append(("PUT .*/secrets/.*", 403, "Resource not accessible by personal access token"))
    failed = stack.up(PROGRAM, github=small["github"], secrets={"DATABASE_PASSWORD": f"{CANARY}-new"}, fails=True)
    assert "Resource not accessible by personal access token" in failed.errors
    assert CANARY not in failed.text + stack.state
    github.refused.clear()
    stack.up(PROGRAM, github=small["github"], secrets={"DATABASE_PASSWORD": f"{CANARY}-new"})
    assert github.opened("test") == {"DATABASE_PASSWORD": f"{CANARY}-new"}

    stack.env["GITHUB_TOKEN"] = "ghp_revoked"
    refused = stack.preview(PROGRAM, **small, fails=True)
    assert "GitHub does not know the token in GITHUB_TOKEN" in refused.errors
    assert "Traceback" not in refused.text
