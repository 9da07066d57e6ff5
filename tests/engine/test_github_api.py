"""What is asked of GitHub, and what is made of its answers: both held against GitHub's own description of its API."""

from __future__ import annotations

import contextlib
import functools
import http.client
import socket
import time
from typing import TYPE_CHECKING

import pytest
from github import Github
from github_fake import TOKEN, FakeGitHub, serving_github

from slipway.contract.problems import SlipwayError
from slipway.releases.github import GitHubUnreachableError, Repository

if TYPE_CHECKING:
    from collections.abc import Iterator

SHA, OTHER = "3f2a91c04b7d5e8f60123456789abcdef0123456", "b" * 40


@pytest.fixture(autouse=True)
def _no_pause_between_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """GitHub asks its clients for one; the fake does not."""
    at_once = functools.partial(Github, seconds_between_requests=0, seconds_between_writes=0)
    monkeypatch.setattr("slipway.releases.github.Github", at_once)


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with serving_github() as fake:
        fake.environments["staging"] = {}
        yield fake


@pytest.fixture
def repository(github: FakeGitHub) -> Repository:
    return Repository("acme/shop", {"GITHUB_TOKEN": TOKEN, "GITHUB_API_URL": github.url})


def words(repository: Repository, **more: object) -> dict[str, tuple[str, str]]:
    """Name → state and GitHub's word."""
    found = repository.checks(SHA, **more).checks  # type: ignore[arg-type]
    return {each.name: (each.state, each.word) for each in found}


# --- checks


def test_commit_without_any_check_is_pending(repository: Repository) -> None:
    assert repository.checks(SHA).state == "pending"


@pytest.mark.parametrize(
    ("conclusion", "state"),
    [
        ("success", "success"),
        ("neutral", "success"),
        ("skipped", "success"),
        ("failure", "failure"),
        ("cancelled", "failure"),
        ("timed_out", "failure"),
        ("action_required", "failure"),
    ],
)
def test_conclusion_of_a_check_run_decides(
    github: FakeGitHub, repository: Repository, conclusion: str, state: str
) -> None:
    github.check(SHA, "test", conclusion)
    assert words(repository) == {"test": (state, conclusion)}


@pytest.mark.parametrize(
    ("given", "state"), [("pending", "pending"), ("success", "success"), ("failure", "failure"), ("error", "failure")]
)
def test_commit_status_counts_like_a_check_run(
    github: FakeGitHub, repository: Repository, given: str, state: str
) -> None:
    github.status(SHA, "ci/other", given)
    assert words(repository) == {"ci/other": (state, given)}


def test_running_and_queued_check_runs_are_pending_with_their_link(github: FakeGitHub, repository: Repository) -> None:
    github.check(SHA, "test")
    github.check(SHA, "lint", status="queued")
    found = repository.checks(SHA)
    assert found.state == "pending"
    assert [(each.name, each.word) for each in found.checks] == [("lint", "queued"), ("test", "in_progress")]
    assert all(each.url.startswith("https://github.com/acme/shop/actions/runs/1/job/") for each in found.checks)


def test_checks_of_another_commit_say_nothing(github: FakeGitHub, repository: Repository) -> None:
    github.check(OTHER, "test", "failure")
    assert words(repository) == {}


def test_latest_run_of_a_name_counts(github: FakeGitHub, repository: Repository) -> None:
    github.check(SHA, "test", "failure")
    github.check(SHA, "test", "success", run="2")
    github.status(SHA, "ci", "error")
    github.status(SHA, "ci", "success")
    assert repository.checks(SHA).state == "success"


@pytest.mark.parametrize(
    ("later", "states"),
    [
        ({"suite": 1, "run": "1"}, ["success"]),  # the same run, run again
        ({"suite": 2, "run": "2"}, ["success"]),  # a later run of that workflow
        ({"suite": 2, "run": "2", "workflow": 2}, ["failure", "success"]),  # a job of that name in another workflow
    ],
)
def test_failed_check_is_cleared_by_a_later_one_of_its_own_workflow_alone(
    github: FakeGitHub, repository: Repository, later: dict[str, object], states: list[str]
) -> None:
    github.check(SHA, "test", "failure")
    github.check(SHA, "test", "success", **later)  # type: ignore[arg-type]
    assert [each.state for each in repository.checks(SHA).checks] == states


@pytest.mark.parametrize("outcome", ["failure", ""])
def test_what_a_clock_started_says_nothing_of_the_commit(
    github: FakeGitHub, repository: Repository, outcome: str
) -> None:
    github.check(SHA, "test", "success")
    github.check(SHA, "health", outcome, suite=2, run="2", workflow=2, event="schedule")
    assert words(repository) == {"test": ("success", "success")}


@pytest.mark.parametrize(
    ("ignored", "state"), [((), "pending"), (("release.yml",), "success"), (("ci.yml",), "pending")]
)
@pytest.mark.parametrize("ref", ["", "@main", "@refs/heads/hotfix/1.2"])
def test_a_workflow_that_waits_for_the_deployment_itself_can_be_ignored(
    github: FakeGitHub, repository: Repository, ignored: tuple[str, ...], state: str, ref: str
) -> None:
    """Its next job, too, of which GitHub lists nothing yet."""
    github.check(SHA, "test", "success")
    github.check(SHA, "version", "success", suite=2, run="2", workflow=2, file=f"release.yml{ref}")
    github.suite(SHA, 2, "in_progress")
    assert repository.checks(SHA, ignored=ignored).state == state


def test_without_leave_to_ask_for_workflows_the_worst_of_a_name_counts(
    github: FakeGitHub, repository: Repository
) -> None:
    github.check(SHA, "test", "failure")
    github.check(SHA, "test", "success", suite=2, run="2")
    github.fail(403, "Resource not accessible by integration", path="/actions/runs", times=9)
    assert repository.checks(SHA).state == "failure"


def test_failure_on_the_last_page_is_not_missed(github: FakeGitHub, repository: Repository) -> None:
    for number in range(120):
        github.check(SHA, f"run {number:03}", "success")
        github.status(SHA, f"status {number:03}", "success")
    github.check(SHA, "z", "failure")
    github.status(SHA, "zz", "failure")
    found = repository.checks(SHA)
    assert len(found.checks) == 242
    assert [each.name for each in found.checks if each.state == "failure"] == ["z", "zz"]


def test_run_that_asks_does_not_wait_for_itself(github: FakeGitHub, repository: Repository) -> None:
    github.check(SHA, "deploy", run="4711", suite=2)
    github.check(SHA, "test", "success", run="47110")
    assert repository.checks(SHA).state == "pending"
    assert words(repository, own_run="4711") == {"test": ("success", "success")}


def test_named_and_ignored_checks(github: FakeGitHub, repository: Repository) -> None:
    github.check(SHA, "test", "success")
    github.check(SHA, "slow")
    github.status(SHA, "coverage", "failure")
    assert set(words(repository, ignored=["slow", "coverage"])) == {"test"}
    assert set(words(repository, only=["test"])) == {"test"}
    waiting = repository.checks(SHA, only=["test", "e2e"])
    assert (waiting.state, waiting.missing) == ("pending", ("e2e",))


def test_job_that_waits_for_others_is_not_forgotten(github: FakeGitHub, repository: Repository) -> None:
    github.check(SHA, "build", "success")
    github.suite(SHA, 1, "in_progress")  # its next job is listed only once it starts
    assert repository.checks(SHA).state == "pending"
    assert words(repository)["CI"] == ("pending", "goes on, its next check is not listed yet")
    github.check(SHA, "test", "success")
    assert repository.checks(SHA).state == "success"


def test_suite_of_an_application_that_never_checks_anything_is_not_waited_for(
    github: FakeGitHub, repository: Repository
) -> None:
    github.check(SHA, "test", "success", suite=1)
    github.suite(SHA, 2, "queued")
    assert repository.checks(SHA).state == "success"


# --- variables


def test_variable_is_created_then_changed_then_left_alone(github: FakeGitHub, repository: Repository) -> None:
    assert repository.set_variable("staging", "SLIPWAY_VALIDATED_RELEASE", "r-1") is True
    assert repository.set_variable("staging", "SLIPWAY_VALIDATED_RELEASE", "r-2") is True
    assert github.environments["staging"] == {"SLIPWAY_VALIDATED_RELEASE": "r-2"}
    asked = len(github.asked)
    assert repository.set_variable("staging", "SLIPWAY_VALIDATED_RELEASE", "r-2") is False
    assert [each.split()[0] for each in github.asked[asked:]] == ["GET"]


def test_variable_made_by_another_meanwhile_gets_the_value(github: FakeGitHub, repository: Repository) -> None:
    def first(asked: str) -> None:
        if asked.startswith("POST"):
            github.environments["staging"]["A"] = "theirs"

    github.watching = first
    assert repository.set_variable("staging", "A", "ours") is True
    assert github.environments["staging"] == {"A": "ours"}


# --- when GitHub refuses, or is away


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
def test_missing_permission_is_named(github: FakeGitHub, repository: Repository, method: str) -> None:
    if method == "PATCH":
        github.environments["staging"]["A"] = "old"
    github.fail(403, "Resource not accessible by integration", method=method)
    with pytest.raises(SlipwayError) as raised:
        repository.set_variable("staging", "A", "new")
    assert not isinstance(raised.value, GitHubUnreachableError)
    text = str(raised.value)
    assert "GitHub refuses variable A of environment staging of acme/shop (403 Resource not accessible" in text
    assert "environments: write" in text
    assert "new" not in github.environments["staging"].values()


def test_environment_that_is_not_there_is_refused(repository: Repository) -> None:
    with pytest.raises(SlipwayError, match=r"variable A of environment production of acme/shop \(404 Not Found\)"):
        repository.set_variable("production", "A", "1")


def test_checks_name_the_permissions_that_they_need(github: FakeGitHub, repository: Repository) -> None:
    github.fail(403, "Resource not accessible by integration")
    with pytest.raises(SlipwayError, match="checks: read and statuses: read"):
        repository.checks(SHA)


def test_wrong_token_is_told_and_never_shown(github: FakeGitHub, capfd: pytest.CaptureFixture[str]) -> None:
    wrong = "ghp_wrong-canary-91be"
    repository = Repository("acme/shop", {"GITHUB_TOKEN": wrong, "GITHUB_API_URL": github.url})
    with pytest.raises(SlipwayError, match="GitHub does not know the token in GITHUB_TOKEN") as raised:
        repository.checks(SHA)
    github.fail(403, f"no entry for {TOKEN}")
    with pytest.raises(SlipwayError) as again:
        Repository("acme/shop", {"GITHUB_TOKEN": TOKEN, "GITHUB_API_URL": github.url}).checks(SHA)
    said = str(raised.value) + str(again.value) + "".join(capfd.readouterr())
    assert wrong not in said
    assert TOKEN not in said
    assert "no entry for [token]" in said


def test_stumble_of_github_is_tried_again(github: FakeGitHub, repository: Repository) -> None:
    github.check(SHA, "test", "success")
    github.fail(502, "", times=2)
    assert repository.checks(SHA).state == "success"
    github.fail(500, "", method="PATCH")
    github.environments["staging"]["A"] = "old"
    assert repository.set_variable("staging", "A", "new") is True
    assert github.environments["staging"]["A"] == "new"


def test_what_is_made_is_asked_for_again_only_where_github_refused(github: FakeGitHub, repository: Repository) -> None:
    for make, made in (
        (lambda: repository.comment(7, "<!-- m -->", lambda _: "text"), github.comments),
        (lambda: repository.issue("Drift", "drift", "text"), github.issues),
    ):
        github.fail(502, "", method="POST")  # it may have been made: the answer is lost
        with pytest.raises(GitHubUnreachableError):
            make()
        assert made == []
        github.fail(403, "You have exceeded a secondary rate limit", method="POST", **{"Retry-After": "1"})
        make()
        assert len(made) == 1


def test_secondary_rate_limit_is_waited_for_as_long_as_github_says(github: FakeGitHub, repository: Repository) -> None:
    github.check(SHA, "test", "success")
    github.fail(403, "You have exceeded a secondary rate limit.", Retry_After="1")
    begin = time.monotonic()
    assert repository.checks(SHA).state == "success"
    assert time.monotonic() - begin >= 1


@pytest.mark.parametrize("times", [1, 20])
def test_exhausted_rate_limit_and_lasting_failure_are_github_away(
    github: FakeGitHub, repository: Repository, times: int
) -> None:
    if times == 1:
        reset = str(int(time.time()) + 3600)
        github.fail(403, "API rate limit exceeded for installation ID 1.", X_RateLimit_Reset=reset)
    else:
        github.fail(503, "", times=times)
    with pytest.raises(
        GitHubUnreachableError, match="GitHub does not return or take the checks of commit 3f2a91c04b7d"
    ):
        repository.checks(SHA)


def test_github_that_cannot_be_reached_is_away(capfd: pytest.CaptureFixture[str]) -> None:
    with contextlib.closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"http://127.0.0.1:{taken.getsockname()[1]}"
        repository = Repository("acme/shop", {"GITHUB_TOKEN": TOKEN, "GITHUB_API_URL": address})
        with pytest.raises(GitHubUnreachableError, match=r"\(127.0.0.1: ConnectionError\)"):
            repository.checks(SHA)
    assert capfd.readouterr().err == ""


def test_redirect_to_somewhere_else_does_not_get_the_token(github: FakeGitHub, repository: Repository) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as other:
        other.settimeout(0.5)
        place = f"http://127.0.0.1:{other.getsockname()[1]}/repos/acme/shop"
        github.fail(301, "Moved Permanently", Location=place)
        with pytest.raises(SlipwayError):
            repository.checks(SHA)
        with pytest.raises(TimeoutError):
            other.accept()


def test_a_pull_request_that_is_closed_or_not_there_is_not_open(github: FakeGitHub, repository: Repository) -> None:
    github.pulls = {7: "open", 8: "closed"}
    assert [repository.pull_request_is_open(number) for number in (7, 8, 9)] == [True, False, False]
    elsewhere = Repository("acme/other", {"GITHUB_TOKEN": TOKEN, "GITHUB_API_URL": github.url})
    with pytest.raises(SlipwayError, match=r"refuses pull request 7 of acme/other \(404"):
        elsewhere.pull_request_is_open(7)  # or one that the token may not see: GitHub answers alike
    github.fail(403, "Resource not accessible by integration")
    with pytest.raises(SlipwayError, match=r"refuses pull request 7 .*pull requests: read"):
        repository.pull_request_is_open(7)


# --- the fake itself


def test_what_github_would_not_understand_is_a_violation(github: FakeGitHub) -> None:
    connection = http.client.HTTPConnection(github.url.removeprefix("http://"))
    path = f"/repos/acme/shop/commits/{SHA}/check-runs?filter=newest"
    connection.request("GET", path, headers={"Authorization": f"token {TOKEN}"})
    assert connection.getresponse().status == 422
    connection.close()
    assert [each.partition(":")[0] for each in github.violations] == [f"GET {path.partition('?')[0]}"]
    github.violations.clear()


def test_what_github_would_not_answer_is_a_violation(github: FakeGitHub, repository: Repository) -> None:
    github.check(SHA, "test", "splendid")
    repository.checks(SHA)
    assert "conclusion: 'splendid' is not one of" in github.violations.pop()
    assert github.violations == []
