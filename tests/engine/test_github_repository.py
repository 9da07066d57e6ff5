"""What is looked at in a repository before anything is changed: all that is wrong is said, and nothing written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi
import pytest
from github_fake import TOKEN, serving_github
from github_repository_fake import FakeRepository

from slipway.contract.problems import SlipwayError
from slipway.releases.github_repository import RepositoryView, look_at_repository
from slipway.releases.validation import VARIABLES
from slipway.settings.model import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

REVIEWED: dict[str, Any] = {"environment": "staging", "reviewers": {"users": ["ann"], "teams": ["ops"]}}
SECRETS = {"environment": "staging", "secrets": ["TOKEN"]}


@pytest.fixture
def github() -> Iterator[FakeRepository]:
    with serving_github(FakeRepository) as fake:
        yield fake


@pytest.fixture
def state(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the engine says of the stack's state: URN → outputs."""
    outputs: dict[str, Any] = {}

    class Answer:
        value = {"outputs": outputs}  # noqa: RUF012

    monkeypatch.setattr(pulumi.runtime, "invoke", lambda *_: Answer)
    return outputs


def look(github: FakeRepository, block: dict[str, Any], *, admin: bool = True, **environment: str) -> RepositoryView:
    settings = Settings.model_validate(
        {"stack": "test", "githubRepository": "acme/shop", "githubAdmin": admin, "github": block}
    )
    known = {"GITHUB_TOKEN": TOKEN, "GITHUB_API_URL": f"{github.url}/api/v3", **environment}
    view = look_at_repository(settings, known)
    assert view is not None
    return view


def problems(github: FakeRepository, block: dict[str, Any], **environment: str) -> list[list[str]]:
    with pytest.raises(SlipwayError) as raised:
        look(github, block, **environment)
    assert github.written == []
    assert TOKEN not in str(raised.value)
    return [str(problem).split(" — ") for problem in raised.value.problems]


@pytest.mark.usefixtures("state")
def test_reviewers_become_ids(github: FakeRepository) -> None:
    assert look(github, REVIEWED).reviewers == {"users": [1], "teams": [101]}


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    ("reviewers", "what"),
    [
        ({"users": ["zoe"]}, "GitHub knows no user zoe"),
        ({"users": ["bob"]}, "bob may not read acme/shop"),
        ({"teams": ["nobody"]}, "GitHub knows no team nobody in acme"),
        ({"teams": ["guests"]}, "team guests may not read acme/shop"),
    ],
)
def test_a_reviewer_who_cannot_be_one_is_named(github: FakeRepository, reviewers: dict[str, Any], what: str) -> None:
    [[said, *_]] = problems(github, {"reviewers": reviewers})
    assert what in said


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(("kind", "known"), [("users", "ann"), ("teams", "ops")])
def test_the_fix_for_an_unknown_reviewer_leaves_the_others(github: FakeRepository, kind: str, known: str) -> None:
    [[*_, fix]] = problems(github, {"reviewers": {kind: [known, "nobody"]}})
    assert f"github.reviewers.{kind}[1]" in fix


@pytest.mark.usefixtures("state")
def test_everybody_may_read_a_public_repository(github: FakeRepository) -> None:
    github.private = False
    assert look(github, {"reviewers": {"users": ["bob"], "teams": ["guests"]}}).reviewers["users"] == [2]


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    ("plan", "block", "what"),
    [
        ("free", SECRETS, "is private, and the plan of acme is free"),
        ("team", REVIEWED, "is private, and the plan of acme is team"),
        ("team", {"waitTimer": 5}, "is private, and the plan of acme is team"),
    ],
)
def test_a_plan_without_it_is_said(github: FakeRepository, plan: str, block: dict[str, Any], what: str) -> None:
    github.plan = plan
    [[said, *_]] = problems(github, block)
    assert what in said


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize("plan", ["free", "team"])
def test_a_public_repository_needs_no_plan(github: FakeRepository, plan: str) -> None:
    github.private, github.plan = False, plan
    look(github, REVIEWED)


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    ("path", "block", "permission"),
    [
        (".*/environments/staging/secrets", SECRETS, "environments: read and write"),
        (".*/actions/secrets", {"repositorySecrets": ["TOKEN"]}, "secrets: read and write"),
        (".*/actions/variables", {"repositoryVariables": {"A": "b"}}, "variables: read and write"),
        (".*/keys", {"deployKeys": {"a": "ssh-ed25519 AAAA"}}, "administration: read and write"),
        (".*/rulesets", {"ruleset": {}}, "administration: read and write"),
        (".*/teams/ops", REVIEWED, "members: read"),
    ],
)
def test_a_permission_that_the_token_has_not_is_named(
    github: FakeRepository, path: str, block: dict[str, Any], permission: str
) -> None:
    github.environment("staging")
    github.refused.append((f"GET {path}", 403, "Resource not accessible by personal access token"))
    [[what, _, fix]] = problems(github, block)
    assert "403 Resource not accessible" in what
    assert permission in fix


@pytest.mark.usefixtures("state")
def test_who_may_not_administer_the_repository_is_told_which_permissions(github: FakeRepository) -> None:
    github.admin = False
    [[what, _, fix]] = problems(github, SECRETS)
    assert "may not administer acme/shop" in what
    assert "environments: read and write" in fix


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(
    ("environment", "what"),
    [
        ({"GITHUB_TOKEN": ""}, "no token"),
        ({"GITHUB_TOKEN": "ghp_revoked"}, "does not know the token"),
        ({"GITHUB_OWNER": "other"}, "GITHUB_OWNER is other"),
    ],
)
def test_a_token_that_cannot_be_used_is_said(github: FakeRepository, environment: dict[str, str], what: str) -> None:
    [[said, *_]] = problems(github, SECRETS, **environment)
    assert what in said


@pytest.mark.usefixtures("state")
def test_an_unknown_repository_is_said(github: FakeRepository) -> None:
    github.refused.append(("GET /repos/acme/shop", 404, "Not Found"))
    [[said, *_]] = problems(github, SECRETS)
    assert "GitHub knows no acme/shop" in said


@pytest.mark.usefixtures("state")
def test_secrets_of_others_count(github: FakeRepository) -> None:
    github.environment("staging")
    for number in range(100):
        github.seal("staging", f"OTHER_{number}", "x")
    [[said, *_]] = problems(github, SECRETS)
    assert "with the 100 of others it would have 101 secrets" in said


@pytest.mark.usefixtures("state")
@pytest.mark.parametrize(("status", "times"), [(403, 1), (429, 2), (502, 2)])
def test_limits_and_outages_that_pass_are_waited_for(github: FakeRepository, status: int, times: int) -> None:
    github.fail(status, "You have exceeded a secondary rate limit", times=times, retry_after="0")
    look(github, SECRETS)


@pytest.mark.usefixtures("state")
def test_an_outage_that_stays_is_said(github: FakeRepository) -> None:
    github.fail(503, "unavailable", times=100)
    [[said, *_]] = problems(github, SECRETS)
    assert "503" in said


def test_a_run_that_is_no_administrators_asks_github_nothing(github: FakeRepository, state: dict[str, Any]) -> None:
    top = "urn:pulumi:test::slipway::slipway:github:GitHubEnvironment"
    state[f"{top}::shop-test"] = {"outputs": {"adopted": [["RepositoryEnvironment", "staging"]]}}
    state[f"{top}$github:index/actionsSecret:ActionsSecret::TOKEN"] = {}
    state["urn:pulumi:test::slipway::pulumi:pulumi:Stack::slipway-test"] = {}
    view = look(github, REVIEWED, admin=False, GITHUB_TOKEN="")
    assert view.known == {("ActionsSecret", "TOKEN"): "github:index/actionsSecret:ActionsSecret"}
    assert view.adopted == {("RepositoryEnvironment", "staging")}
    assert github.asked == []


def test_nothing_is_asked_where_nothing_is_managed(github: FakeRepository, state: dict[str, Any]) -> None:
    assert look(github, {}, GITHUB_TOKEN="").admin
    assert github.asked == []
    state["urn:pulumi:test::slipway::slipway:github:GitHubEnvironment$github:index/actionsSecret:ActionsSecret::A"] = {}
    look(github, {})
    assert github.asked, "what was made there is to go"


@pytest.mark.usefixtures("state")
def test_what_is_there_is_found(github: FakeRepository) -> None:
    reviewers = [{"type": "User", "id": 1}]
    github.environment("staging", wait_timer=7, reviewers=reviewers)
    github.environments["staging"] |= {"A": "same", "B": "other", "C": "not ours"}
    github.seal("staging", "TOKEN", "x")
    github.policies["staging"] = [{"id": 9, "node_id": "x", "type": "tag", "name": "v*"}]
    github.ruleset(name="slipway", target="branch", enforcement="active", rules=[])
    block = {**SECRETS, "tags": ["v*"], "variables": {"A": "same", "B": "new"}, "ruleset": {}}
    view = look(github, block)
    assert view.existing == {
        ("RepositoryEnvironment", "staging"): "",
        ("RepositoryEnvironmentDeploymentPolicy", "staging/tag v*"): "shop:staging:9",
        ("ActionsEnvironmentSecret", "staging/TOKEN"): "",
        ("ActionsEnvironmentVariable", "staging/A"): "shop:staging:A",
        ("ActionsEnvironmentVariable", "staging/B"): "shop:staging:B",
        ("RepositoryRuleset", "slipway"): f"shop:{github.rulesets[0]['id']}",
    }
    assert view.differing["ActionsEnvironmentVariable", "staging/A"] == ()
    assert view.differing["ActionsEnvironmentVariable", "staging/B"] == ("value",)
    assert view.environment["wait_timer"] == 7
    assert view.environment["reviewers"] == [{"users": [1], "teams": []}]
    assert github.written == []


@pytest.mark.parametrize(
    ("block", "gone"),
    [
        ({}, set()),
        ({"manage": "all"}, {"ActionsEnvironmentSecret staging/THEIRS", "ActionsEnvironmentVariable staging/C"}),
        (
            {"manage": "all", "tags": ["v*"], "secrets": ["THEIRS"], "variables": {"C": "x"}},
            {"RepositoryEnvironmentDeploymentPolicy staging/branch v*"},
        ),
        (
            {"manage": "all", "ruleset": {"name": "ours"}, "secrets": ["THEIRS"], "variables": {"C": "x"}},
            {"RepositoryRuleset theirs", "RepositoryRuleset adopted"},
        ),
    ],
)
def test_what_the_stack_does_not_name_goes_where_it_manages_all(
    github: FakeRepository, state: dict[str, Any], block: dict[str, Any], gone: set[str]
) -> None:
    top = "urn:pulumi:test::slipway::slipway:github:GitHubEnvironment"
    state[f"{top}$github:index/actionsEnvironmentSecret:ActionsEnvironmentSecret::staging/EARLIER"] = {}
    state[f"{top}$github:index/repositoryRuleset:RepositoryRuleset::adopted"] = {}
    state[f"{top}::shop-test"] = {"outputs": {"adopted": [["RepositoryRuleset", "adopted"]]}}
    github.environment("staging")
    github.environments["staging"] |= {"C": "not ours", **dict.fromkeys(VARIABLES, "set by `slipway validate`")}
    github.shared["SHARED"] = "of all stacks"
    github.seal("", "SHARED", "x")
    for name in ("THEIRS", "EARLIER"):
        github.seal("staging", name, "x")
    policies = [
        {"id": number, "node_id": "x", "type": kind, "name": "v*"} for number, kind in enumerate(("tag", "branch"))
    ]
    github.policies["staging"] = policies
    for name in ("ours", "theirs", "adopted"):
        github.ruleset(name=name, target="branch", enforcement="active", rules=[])
    view = look(github, {"environment": "staging", **block}, admin=True)
    assert {" ".join(key) for key in view.others} == gone
    assert github.written == []
    for remove in [*view.others.values()] * 2:  # also where somebody else was faster
        remove()
    assert look(github, {"environment": "staging", **block}).others == {}


def test_a_stack_without_a_repository_has_no_view() -> None:
    assert look_at_repository(Settings(stack="test", application=Path()), {}) is None
