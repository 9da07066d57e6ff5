"""Which repository and token are meant, and what checks say together. Asking GitHub is tests/engine/test_github_api."""

import subprocess
from pathlib import Path

import pytest

from slipway.contract.problems import SlipwayError
from slipway.releases.github import Check, Checks, required_repository
from slipway.releases.github_settings import github_repository, token_in

TOKEN = "ghp_canary0123456789"


def _with_remote(folder: Path, address: str) -> Path:
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    subprocess.run(["git", "-C", str(folder), "remote", "add", "origin", address], check=True)
    return folder


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("git@github.com:acme/shop.git", "acme/shop"),
        ("github.com:acme/shop", "acme/shop"),
        ("https://github.com/acme/shop.git", "acme/shop"),
        ("https://github.com/acme/shop/", "acme/shop"),
        (f"https://x-access-token:{TOKEN}@github.com/acme/shop.dev", "acme/shop.dev"),
        ("ssh://git@ssh.github.com:443/acme/shop.git", "acme/shop"),
        ("https://code.acme.example/acme/shop", "acme/shop"),
        ("https://gitlab.com/acme/shop.git", ""),
        ("https://github.com/acme/group/shop", ""),
        ("https://notgithub.com/acme/shop", ""),
        ("../shop.git", ""),
    ],
)
def test_repository_is_that_of_the_applications_remote(tmp_path: Path, address: str, name: str) -> None:
    environment = {"GITHUB_SERVER_URL": "https://code.acme.example"}
    assert github_repository("", _with_remote(tmp_path, address), environment) == name


def test_what_is_given_wins_over_the_workflow_and_that_over_the_remote(tmp_path: Path) -> None:
    folder = _with_remote(tmp_path, "git@github.com:acme/shop.git")
    workflow = {"GITHUB_REPOSITORY": "acme/workflow"}
    assert github_repository("acme/given", folder, workflow) == "acme/given"
    assert github_repository("", folder, workflow) == "acme/workflow"
    assert github_repository("", folder, {}) == "acme/shop"
    assert github_repository("", tmp_path / "nowhere", {}) == ""


@pytest.mark.parametrize("given", ["acme", "acme/shop/x", "https://github.com/acme/shop", "acme/sh op", "/"])
def test_repository_in_another_form_is_refused(tmp_path: Path, given: str) -> None:
    with pytest.raises(SlipwayError, match="is not a GitHub repository"):
        github_repository(given, tmp_path, {})


def test_token_is_found_as_githubs_own_command_line_does() -> None:
    assert token_in({"GH_TOKEN": "own", "GITHUB_TOKEN": "job's"}) == "own"
    assert token_in({"GH_TOKEN": "", "GITHUB_TOKEN": "job's"}) == "job's"
    assert token_in({}) == ""


@pytest.mark.parametrize(
    ("environment", "what"),
    [
        ({"GITHUB_TOKEN": TOKEN}, "it is not known which repository on GitHub"),
        ({"GITHUB_REPOSITORY": "acme/shop"}, "there is no token for GitHub"),
    ],
)
def test_checks_need_a_repository_and_a_token(tmp_path: Path, environment: dict[str, str], what: str) -> None:
    with pytest.raises(SlipwayError, match=what) as raised:
        required_repository("", tmp_path, environment)
    assert TOKEN not in str(raised.value)


def _checks(*states: str, missing: tuple[str, ...] = ()) -> Checks:
    return Checks(tuple(Check(name=f"c{n}", state=each, word=each) for n, each in enumerate(states)), missing)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("checks", "state"),
    [
        (_checks(), "pending"),
        (_checks("success"), "success"),
        (_checks("success", "pending"), "pending"),
        (_checks("pending", "failure"), "failure"),
        (_checks("success", "failure"), "failure"),
        (_checks("success", missing=("e2e",)), "pending"),
        (_checks("failure", missing=("e2e",)), "failure"),
    ],
)
def test_one_failure_is_one_for_all_and_no_check_is_no_success(checks: Checks, state: str) -> None:
    assert checks.state == state
