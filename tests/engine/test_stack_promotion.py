"""Promotion with the real engine: exactly the images that ran, the Compose file of their commit, nothing built."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from stack_harness import Stack


class Environments:
    """Staging and production of one application, in one program with one backend."""

    def __init__(self, staging: Stack, production: Stack) -> None:
        self.staging, self.production = staging, production

    def promote(self, *argv: str, expect: int = 0, stdin: str = "") -> Any:
        return self.production.slipway(
            "promote", "--from", self.staging.name, "--to", self.production.name, *argv, expect=expect, stdin=stdin
        )

    def commit(self, version: str) -> str:
        """Another version of web, committed."""
        self.staging.application.version("web", version)
        git(self.staging, "commit", "--all", "--quiet", "--message", f"Version {version}")
        return git(self.staging, "rev-parse", "HEAD")


def git(stack: Stack, *argv: str) -> str:
    given = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-C", str(stack.application.folder)]
    return subprocess.run(["git", *given, *argv], capture_output=True, text=True, check=True, timeout=60).stdout.strip()


@pytest.fixture(scope="module")
def environments(make_stack: Callable[..., Stack]) -> Environments:
    """Staging runs version 2, production version 1 of the commit before."""
    staging = make_stack()
    git(staging, "init", "--quiet", "--initial-branch", "main")
    git(staging, "add", "--all")
    git(staging, "commit", "--quiet", "--message", "Version 1")
    production = staging.beside(registry=staging.settings["registry"], variables={"GREETING": "welcome"})
    found = Environments(staging, production)
    staging.up()
    staging.slipway("validate", "--no-github")
    found.promote("--confirm", "DEPLOY")
    found.commit("2")
    staging.up()
    return found


def digests(stack: Stack) -> dict[str, str]:
    return {service: container.digest for service, container in stack.containers().items()}


def newest(stack: Stack) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(stack.slipway("history", "--json").out)["entries"][0]
    return entry


def test_first_promotion_made_production_of_what_staging_ran(environments: Environments) -> None:
    entry = newest(environments.production)
    assert (entry["kind"], entry["result"], entry["number"]) == ("promotion", "succeeded", 1)
    assert environments.production.serves("1")
    assert environments.production.containers()["side"].environment["GREETING"] == "welcome", "its own variables"


def test_release_that_nobody_validated_is_refused(environments: Environments) -> None:
    before = digests(environments.production)
    refused = environments.promote("--confirm", "DEPLOY", expect=1)
    assert "was not validated" in refused.errors
    assert "slipway validate" in refused.errors
    assert digests(environments.production) == before


def test_nothing_happens_until_somebody_types_the_word(environments: Environments) -> None:
    environments.staging.slipway("validate", "--no-github")
    before = digests(environments.production)
    shown = environments.promote("--plan")
    assert "Version 2" in shown.out, "the commits between"
    assert "web will change" in shown.out
    assert "variables.GREETING" in shown.out
    assert re.search(r"web +recreated; interrupted.*\s+image \w+ => \w+", shown.out), shown.out
    assert "nobody can confirm it here" in environments.promote(expect=1).errors
    assert "only DEPLOY confirms it" in environments.promote("--confirm", "deploy", expect=2).errors
    assert digests(environments.production) == before


def test_promotion_deploys_byte_identical_images_of_a_commit_that_is_not_checked_out(
    environments: Environments,
) -> None:
    staging, production = environments.staging, environments.production
    promoted = git(staging, "rev-parse", "HEAD")
    staging.application.replace("compose.yaml", "GREETING:-hello", "GREETING:-later")
    environments.commit("3")  # not deployed anywhere: the source has gone on
    tags = production.tags("shop-web")
    said = environments.promote("--confirm", "DEPLOY", "-m", "for the sale")
    assert "saved the state of" in said.out
    assert digests(production) == digests(staging)
    assert production.serves("2")
    assert production.tags("shop-web") == tags, "nothing was built or pushed"
    entry = newest(production)
    assert (entry["kind"], entry["commit"]) == ("promotion", promoted)
    assert entry["message"].endswith("for the sale")
    backups = list((production.folder / ".slipway" / "backups" / production.name).iterdir())
    assert len(backups) == 1
    assert oct(backups[0].stat().st_mode & 0o777) == "0o600"
    assert not git(staging, "worktree", "list").splitlines()[1:], "the work tree of a while is gone"
    again = environments.promote("--confirm", "DEPLOY")
    assert "nothing to do" in again.out

    production.slipway("rollback")
    assert production.serves("1")
    environments.promote("--confirm", "DEPLOY")
    assert production.serves("2")


def test_staging_that_drifted_is_refused_and_force_says_what_it_overrides(environments: Environments) -> None:
    staging = environments.staging
    git(staging, "checkout", "--quiet", "HEAD~1")
    staging.application.version("side", "9")
    git(staging, "commit", "--all", "--quiet", "--message", "Side 9")
    staging.up()
    staging.slipway("validate", "--no-github")
    from stack_harness import docker  # noqa: PLC0415  # only here

    docker("stop", staging.containers()["side"].id)
    refused = environments.promote("--confirm", "DEPLOY", expect=1)
    assert "does not run as deployed" in refused.errors
    forced = environments.promote("--confirm", "DEPLOY", "--force")
    assert "overridden: " in forced.errors
    assert digests(environments.production)["side"] == digests(staging)["side"]
    staging.up()


def test_missing_secret_of_the_target_is_told_before_anything_changes(environments: Environments) -> None:
    staging, production = environments.staging, environments.production
    staging.application.replace(
        "compose.yaml", "GREETING: ${GREETING", "NEW: ${NEW_TOKEN:?}\n      GREETING: ${GREETING"
    )
    staging.secrets["NEW_TOKEN"] = "a-new-token-of-the-tests"
    git(staging, "commit", "--all", "--quiet", "--message", "A new secret")
    staging.up()
    staging.slipway("validate", "--no-github")
    before = digests(production)
    refused = environments.promote("--confirm", "DEPLOY", expect=1)
    assert "NEW_TOKEN" in refused.errors
    assert "pulumi config set" in refused.errors
    assert digests(production) == before
    assert not git(staging, "worktree", "list").splitlines()[1:]
