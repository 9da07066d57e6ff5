"""Previews on GitHub: one comment of a pull request for all stacks, updated in place, and one issue per stack."""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from github import Github
from github_fake import TOKEN, FakeGitHub, serving_github
from typer.testing import CliRunner

from slipway.cli.deploy.preview import NothingLiveError
from slipway.cli.deploy.preview_posts import post
from slipway.cli.main import app
from slipway.contract.problems import SlipwayError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARK = "<!-- slipway preview -->\n"


@pytest.fixture
def github(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeGitHub]:
    at_once = functools.partial(Github, seconds_between_requests=0, seconds_between_writes=0)
    monkeypatch.setattr("slipway.releases.github.Github", at_once)
    with serving_github() as fake:
        for name, value in {
            "GITHUB_TOKEN": TOKEN,
            "GITHUB_API_URL": fake.url,
            "GITHUB_REPOSITORY": "acme/shop",
            "GITHUB_REF": "refs/pull/7/merge",
            "GITHUB_RUN_ID": "12",
        }.items():
            monkeypatch.setenv(name, value)
        yield fake


@pytest.fixture
def posted(tmp_path: Path) -> Any:
    def run(stack: str, found: dict[str, Any] | None, *, comment: bool = False, issue: bool = False) -> None:
        post(SimpleNamespace(root=tmp_path, short=stack), found, comment=comment, issue=issue)  # type: ignore[arg-type]

    return run


def document(stack: str, *because: str) -> dict[str, Any]:
    changes = [
        {"service": "web", "action": "rolled", "because": [each], "interrupts": False, "seconds": None}
        for each in because
    ]
    host = {"host": "web-1", "seen": "host", "changes": changes, "unchanged": [], "steps": []}
    return {"contract": 1, "stack": stack, "changes": bool(because), "hosts": [host], "unplanned": [], "removed": [],
            "resources": [], "warnings": []}  # fmt: skip


def bodies(github: FakeGitHub) -> list[str]:
    return [each["body"] for each in github.comments]


def test_all_stacks_share_one_comment_that_is_updated_in_place(github: FakeGitHub, posted: Any) -> None:
    posted("staging", document("staging", "environment A"), comment=True)
    posted("production", document("production", "environment A"), comment=True)
    posted("staging", document("staging", "environment B"), comment=True)
    (body,) = bodies(github)
    assert body.startswith(MARK)
    assert [line for line in body.splitlines() if line.startswith("###")] == [
        "### Preview of `production`",
        "### Preview of `staging`",
    ]
    assert (body.count("environment A"), body.count("environment B")) == (1, 1)
    writes = [each for each in github.asked if not each.startswith("GET")]
    posted("staging", document("staging", "environment B"), comment=True)
    assert [each for each in github.asked if not each.startswith("GET")] == writes, "the same again is not written"


def test_a_preview_that_fails_says_so_in_place_of_the_last_one(github: FakeGitHub, posted: Any) -> None:
    posted("staging", document("staging", "environment A"), comment=True)
    posted("staging", None, comment=True)
    (body,) = bodies(github)
    assert "The preview failed: [log of the run](https://github.com/acme/shop/actions/runs/12)" in body
    assert "environment A" not in body


@pytest.mark.parametrize(
    ("author", "association", "taken"),
    [
        ("github-actions[bot]", "NONE", True),
        ("colleague", "MEMBER", True),
        ("stranger", "NONE", False),
        ("stranger", "CONTRIBUTOR", False),
    ],
)
def test_a_strangers_comment_is_left_alone_however_it_begins(
    github: FakeGitHub, posted: Any, author: str, association: str, *, taken: bool
) -> None:
    github.comment(7, f"{MARK}hello", author=author, association=association)
    posted("staging", document("staging"), comment=True)
    assert len(bodies(github)) == (1 if taken else 2)
    assert (bodies(github)[0] == f"{MARK}hello") != taken


def test_another_pull_requests_comment_is_left_alone(github: FakeGitHub, posted: Any) -> None:
    github.comment(8, f"{MARK}other")
    posted("staging", document("staging"), comment=True)
    assert bodies(github)[0] == f"{MARK}other"
    assert len(bodies(github)) == 2


def test_what_is_too_long_for_github_is_cut_at_a_line_and_says_so(github: FakeGitHub, posted: Any) -> None:
    many = [f"environment A_VERY_LONG_NAME_OF_A_VARIABLE_{number:04}" for number in range(1500)]
    for stack in ("staging", "production"):
        posted(stack, document(stack, *many), comment=True)
        posted(stack, document(stack, *many), issue=True)
    (body,) = bodies(github)
    for text in (body, *(each["body"] for each in github.issues)):
        assert len(text) <= 65_536
        assert "The rest is too long for GitHub" in text
        assert all(line.count("|") == 5 for line in text.splitlines() if line.startswith("|"))
    assert "### Preview of `staging`" in body
    assert "### Preview of `production`" in body


def test_drift_opens_one_issue_per_stack_updates_it_and_closes_it(github: FakeGitHub, posted: Any) -> None:
    def state() -> list[tuple[str, str]]:
        return [(each["title"], each["state"]) for each in github.issues]

    posted("staging", document("staging"), issue=True)
    assert state() == [], "nothing differs"
    for because in ("drift: gone", "drift: gone", "drift: other"):
        posted("staging", document("staging", because), issue=True)
    posted("production", None, issue=True)
    assert state() == [("Drift: stack staging", "open"), ("Drift: stack production", "open")]
    assert "drift: other" in github.issues[0]["body"]
    posted("staging", document("staging"), issue=True)
    assert state() == [("Drift: stack staging", "closed"), ("Drift: stack production", "open")]


def test_missing_permission_is_named(github: FakeGitHub, posted: Any) -> None:
    for wish, permission in (({"comment": True}, "pull-requests: write"), ({"issue": True}, "issues: write")):
        github.fail(403, "Resource not accessible by integration", method="POST")
        with pytest.raises(SlipwayError, match=permission):
            posted("staging", document("staging", "drift"), **wish)


def test_a_comment_outside_of_a_pull_request_is_refused(
    github: FakeGitHub, posted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_REF", "refs/heads/main")
    with pytest.raises(SlipwayError, match="no job of a pull request"):
        posted("staging", document("staging"), comment=True)
    assert github.comments == []


def test_before_the_first_deployment_no_drift_is_reported(
    github: FakeGitHub, posted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing_live(engine: Any, _: Any) -> Any:
        raise NothingLiveError(f"nothing is live on stack {engine.short}", "-", "-")

    monkeypatch.setattr("slipway.releases.engine.engine_of", lambda *_, **__: SimpleNamespace(root=tmp_path, short="p"))
    monkeypatch.setattr("slipway.cli.deploy.preview.live_previewed", nothing_live)
    for state in ([], ["closed"]):
        done = CliRunner().invoke(app, ["preview", "--stack", "p", "--issue"])
        assert (done.exit_code, done.exception) == (0, None)
        assert [each["state"] for each in github.issues] == state
        posted("p", None, issue=True)  # one of an earlier night
    assert CliRunner().invoke(app, ["preview", "--stack", "p", "--live"]).exit_code == 1
