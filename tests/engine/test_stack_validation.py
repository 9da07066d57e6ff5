"""Deploy first, test meanwhile: marks, checks and ways back, with the real engine and Docker and GitHub's API."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import jsonschema_rs
import pytest
from github_fake import TOKEN, FakeGitHub, serving_github
from stack_harness import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stack_harness import Said, Stack

TAG = "slipway:validated"


class Delivery:
    """A stack whose application is in Git, and the repository at GitHub that its commits are checked in."""

    def __init__(self, stack: Stack, github: FakeGitHub) -> None:
        self.stack, self.github = stack, github
        github.environments[stack.name] = {}
        self._git("init", "-q", "-b", "main")
        self._git("remote", "add", "origin", "git@github.com:acme/shop.git")

    def commit(self, version: str) -> str:
        """A commit whose web answers that version; its SHA."""
        self.stack.application.version("web", version)
        self._git("add", "--all")
        author = ("-c", "user.name=ada", "-c", "user.email=ada@acme.example")
        self._git(*author, "commit", "-q", "--allow-empty", "-m", f"version {version}")
        return self._git("rev-parse", "HEAD").strip()

    def deployed(self, version: str) -> tuple[str, str]:
        """Commit and deploy that version; SHA and release."""
        sha = self.commit(version)
        self.stack.up()
        assert self.stack.serves(version)
        return sha, str(self.stack.outputs["release"])

    def slipway(self, *argv: str, expect: int = 0) -> Said:
        given = {"GITHUB_API_URL": self.github.url, "GITHUB_TOKEN": TOKEN}
        said = self.stack.slipway(*argv, expect=expect, **given)
        assert TOKEN not in said.text
        return said

    def await_checks(self, sha: str, *argv: str, expect: int = 0) -> Said:
        return self.slipway("await-checks", "--sha", sha, "--interval", "1s", *argv, expect=expect)

    def validated(self) -> dict[str, Any]:
        """The release that counts as validated, by where that stands."""
        probe = json.loads(self.slipway("status", "--json").out)["hosts"][0]["probe"]
        tags = json.loads(self.stack.pulumi("stack", "tag", "ls", "--json"))
        variables = self.github.environments[self.stack.name]
        return {"host": probe["validated"], "tag": tags.get(TAG), **variables}

    def ends(self, sha: str, outcome: str, *, after: int = 2) -> None:
        """Its check `test` runs, and ends so after being looked at so often."""
        self.github.check(sha, "test")
        looks = iter(range(after))

        def look(asked: str) -> None:
            if asked.endswith("/check-runs") and next(looks, None) is None:
                self.github.watching = lambda _: None
                self.github.check(sha, "test", outcome)

        self.github.watching = look

    def _git(self, *argv: str) -> str:
        folder = str(self.stack.application.folder)
        done = subprocess.run(["git", "-C", folder, *argv], capture_output=True, text=True, check=True)
        return done.stdout


@pytest.fixture(scope="module")
def delivery(make_stack: Callable[..., Stack]) -> Iterator[Delivery]:
    with serving_github() as github:
        yield Delivery(make_stack(), github)


@pytest.fixture(scope="module")
def first(delivery: Delivery) -> tuple[str, str]:
    """A, deployed and validated by hand."""
    sha, release = delivery.deployed("1")
    done = json.loads(delivery.slipway("validate", "--note", "by a test", "--json").out)
    schema = json.loads((ROOT / "slipway" / "cli" / "schemas" / "validate.schema.json").read_text())
    jsonschema_rs.validator_for(schema).validate(done)
    assert (done["release"], done["commit"], done["complete"]) == (release, sha, True)
    return sha, release


def test_mark_stands_on_the_host_in_the_backend_and_at_github(delivery: Delivery, first: tuple[str, str]) -> None:
    sha, release = first
    everywhere = {"SLIPWAY_VALIDATED_RELEASE": release, "SLIPWAY_VALIDATED_SHA": sha}
    assert delivery.validated() == {"host": release, "tag": release, **everywhere}
    line = json.loads((delivery.stack.state_folder / "ledger.jsonl").read_text().splitlines()[-1])
    assert (line["outcome"], line["release"], line["reason"]) == ("validated", release, "by a test")
    assert "@" in line["actor"]
    again = delivery.slipway("validate").out
    assert "local: was marked already" in again
    assert "SLIPWAY_VALIDATED_SHA were set already" in again
    assert set(delivery.stack.up().steps.values()) == {"same"}, "a mark changes nothing that is deployed"


def test_failed_check_brings_the_validated_release_back(delivery: Delivery, first: tuple[str, str]) -> None:
    sha, release = delivery.deployed("2")
    delivery.github.check(sha, "lint", "success")
    delivery.ends(sha, "failure")
    said = delivery.await_checks(sha, "--timeout", "60s", expect=1)
    assert f"release {release} is live" in said.out
    assert "test: in progress  https://github.com/acme/shop/actions/runs/" in said.out
    assert f"{sha[:12]} failed test (failure)" in said.out
    assert f"going back to {first[1]}, the last validated release" in said.out
    assert delivery.stack.serves("1")
    history = json.loads(delivery.slipway("history", "--json").out)
    newest = history["entries"][0]
    assert (newest["kind"], newest["release"]) == ("rollback", first[1])
    assert "failed test (failure)" in newest["message"]
    assert delivery.validated()["host"] == first[1]


def test_passed_checks_validate_what_a_newer_release_took_over_and_a_failed_update_ends_there(
    delivery: Delivery,
) -> None:
    sha, release = delivery.deployed("3")
    newer, unvalidated = delivery.deployed("4")
    delivery.ends(sha, "success")
    said = delivery.await_checks(sha, "--timeout", "60s").out
    assert f"release {unvalidated} is live, which is of another commit ({newer[:12]})" in said
    assert f"release {release} (commit {sha[:12]}) is validated" in said
    everywhere = {"SLIPWAY_VALIDATED_RELEASE": release, "SLIPWAY_VALIDATED_SHA": sha}
    assert delivery.validated() == {"host": release, "tag": release, **everywhere}
    delivery.commit("5")
    delivery.stack.variables["MODE"] = "crash"
    failed = delivery.stack.up(expect_failure=True)
    assert f"rolled back to release {release}, the last validated one, which serves" in failed.text
    assert f"(release {unvalidated}, live before, is not validated)" in failed.text
    assert delivery.stack.serves("3")
    status = delivery.slipway("status").out
    assert "as deployed" in status
    assert "validated, live since" in status
