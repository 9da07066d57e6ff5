"""Promotion with the real engine: exactly the images that ran, the Compose file of their commit, nothing built.

What it refuses is in tests/unit/releases/test_promotion.py.
"""

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

    def promote(self, *argv: str) -> Any:
        return self.production.slipway("promote", "--from", self.staging.name, "--to", self.production.name, *argv)

    def commit(self, version: str) -> None:
        """Another version of web, committed."""
        self.staging.application.version("web", version)
        git(self.staging, "commit", "--all", "--quiet", "--message", f"Version {version}")


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


def test_a_plan_shows_both_side_by_side_and_changes_nothing(environments: Environments) -> None:
    environments.staging.slipway("validate", "--no-github")
    before = digests(environments.production)
    shown = environments.promote("--plan")
    assert "Version 2" in shown.out, "the commits between"
    assert "web will change" in shown.out
    assert "variables.GREETING" in shown.out
    assert re.search(r"web +recreated; interrupted.*\s+image \w+ => \w+", shown.out), shown.out
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
