"""The shipped workflows, played with the real engine and a GitHub on loopback, as a runner would run their steps."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from containers import docker
from github_fake import TOKEN, FakeGitHub, serving_github
from workflow_jobs import Job

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stack_harness import Stack

NOT_HERE = {"SLIPWAY_CACHE": "none", "SLIPWAY_BUILDER": "default"}  # of a runner on GitHub
UV = f"""#!/bin/sh
[ "$1" = sync ] && exit 0
shift 2
exec {Path(sys.executable).parent}/"$@"
"""


PULL_REQUEST = 7


class Runner:
    """Runs jobs for stacks of one program."""

    def __init__(self, stack: Stack, github: FakeGitHub) -> None:
        self._stack, self._github = stack, github
        (stack.folder / "bin").mkdir()
        (stack.folder / "bin/uv").write_text(UV)
        (stack.folder / "bin/uv").chmod(0o755)

    def commit(self, version: str) -> str:
        """Another version of the application, committed; its SHA."""
        self._stack.application.version("web", version)
        for argv in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", f"Version {version}"]):
            self._git(*argv)
        return self._git("rev-parse", "HEAD")

    def job(self, workflow: str, *, sha: str = "", **given: Any) -> tuple[Job, bool]:
        environment = {
            name: value for name, value in self._stack.environment.items() if not name.startswith("PULUMI_BACKEND")
        }
        path = f"{self._stack.folder / 'bin'}:{environment['PATH']}"
        told = {"GITHUB_API_URL": self._github.url, "GITHUB_REPOSITORY": "acme/shop", "GITHUB_REF": "refs/pull/7/merge",
                "GITHUB_RUN_ID": "99", "GITHUB_SHA": sha, "PATH": path}  # fmt: skip
        secrets = {
            name: self._stack.environment.get(name, "") for name in ("PULUMI_BACKEND_URL", "PULUMI_CONFIG_PASSPHRASE")
        }
        more = {"STACK": given.pop("STACK")} if "STACK" in given else {}
        contexts = {"secrets": secrets, "github": {"token": TOKEN}, **given.pop("contexts", {})}
        job = Job(workflow, self._stack.folder, {**environment, **told}, contexts=contexts, **given)
        job.summary.unlink(missing_ok=True)
        return job, job.play(**NOT_HERE, **more)

    def pull_request(self, state: str) -> None:
        """Play what its environment does when a pull request of what is committed now has become so."""
        checkout = self._stack.folder / ".pull-request"
        if not checkout.exists():
            subprocess.run(["git", "clone", "--quiet", self._stack.application.folder, checkout / "app"], check=True)
            file = checkout / "app/compose.yaml"
            file.write_text(re.sub(r"(?m)^ *security_opt:.*\n", "", file.read_text()))  # restricted stacks may not
        pull = {"number": PULL_REQUEST, "state": state, "labels": [{"name": "environment"}],
                "head": {"repo": {"full_name": "acme/shop"}}, "user": {"login": "ann"}}  # fmt: skip
        about = {"event_name": "pull_request", "repository": "acme/shop", "event": {"pull_request": pull}}
        github = {"token": TOKEN, "workspace": self._stack.folder, **about}
        job, good = self.job("pr-environment.yml", contexts={"github": github, "env": {"APPLICATION_FOLDER": "app"}})
        assert job.wanted
        assert good, job.said

    def _git(self, *argv: str) -> str:
        given = ["-c", "user.name=Test", "-c", "user.email=test@example.org", "-C", str(self._stack.application.folder)]
        return subprocess.run(
            ["git", *given, *argv], capture_output=True, text=True, check=True, timeout=60
        ).stdout.strip()


def _files(folder: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in folder.rglob("*")}


class Template:
    """The stack of which pull requests get theirs."""

    def __init__(self, stack: Stack) -> None:
        name = f"played-{os.getpid()}"
        self.project = f"{name}-pr-{PULL_REQUEST}"
        template = stack.beside(name="pr", domain="pr.example.com", basicAuth="")
        template.settings["name"] = name
        template._configure()

    def there(self) -> list[tuple[str, str]]:
        """What the pull request's environment has on this machine: kind and id."""
        label = f"label=com.docker.compose.project={self.project}"
        kinds = (("container", "ls", "--all"), ("volume", "ls"), ("network", "ls"))
        return [(kind[0], each) for kind in kinds for each in docker(*kind, "--quiet", "--filter", label).split()]

    def remove(self) -> None:
        for kind, each in self.there():
            docker(kind, "rm", "--force", each, check=False)


@pytest.fixture(scope="module")
def github() -> Iterator[FakeGitHub]:
    with serving_github() as fake:
        yield fake


def _release(runner: Runner, staging: Stack, commit: str) -> None:
    """The very images that run get the version, and nothing else does."""
    gh = staging.folder / "bin/gh"
    gh.write_text('#!/bin/sh\necho "$@"\n')
    gh.chmod(0o755)
    needs = {"version": {"outputs": {"tag": "v1.0.0"}}}
    # its stack is called as the test's, which the workflow of a repository would be, too
    given = {"name": "release", "contexts": {"needs": needs}, "STACK": staging.name}
    job, good = runner.job("release.yml", sha="f" * 40, **given)
    assert not good, "another commit's"
    assert "v1.0.0" not in staging.tags("shop-web")
    job, good = runner.job("release.yml", sha=commit, **given)
    assert good, job.said
    assert f"release create v1.0.0 --target {commit} --generate-notes --prerelease=false" in job.said
    running = {name: each.digest for name, each in staging.containers().items()}
    assert {name: staging.tags(f"shop-{name}")["v1.0.0"] for name in running} == running


def test_from_a_pull_request_to_production_and_what_went_wrong_on_the_way(
    make_stack: Callable[..., Stack], github: FakeGitHub, request: pytest.FixtureRequest
) -> None:
    staging = make_stack()
    production = staging.beside(registry=staging.settings["registry"])
    template = Template(staging)
    request.addfinalizer(template.remove)
    runner, matrix = Runner(staging, github), {"matrix": {"stack": staging.name}}
    first = runner.commit("1")

    before = _files(staging.folder / "state")
    job, good = runner.job("preview.yml", contexts=matrix)
    assert good, job.said
    assert _files(staging.folder / "state") == before, "a key that may only read is enough"
    [comment] = github.comments
    assert f"### Preview of `{staging.name}`" in comment["body"]
    assert "| `web` | created |" in comment["body"]
    assert not staging.every_container(), "a preview changes nothing"
    runner.pull_request("open")
    assert template.there()

    github.check(first, "test", "success")
    job, good = runner.job("deploy.yml", sha=first, inputs={"stack": staging.name, "await-checks": True})
    assert good, job.said
    assert staging.serves("1")
    assert f"- the way back: `slipway rollback --stack {staging.name}`" in job.summary.read_text()
    assert list((staging.folder / "bundle").iterdir())

    _release(runner, staging, first)

    docker("stop", "--time", "0", staging.containers()["side"].id)
    job, good = runner.job("drift.yml", contexts=matrix)
    assert good, job.said
    [issue] = github.issues
    assert "`side`" in issue["body"]
    docker("start", staging.containers()["side"].id)
    job, good = runner.job("drift.yml", contexts=matrix)
    assert good, job.said
    assert issue["state"] == "closed", issue["body"]

    promotion = {"stack": production.name, "promote": staging.name, "confirm": "DEPLOY", "reason": "v1"}
    job, good = runner.job("deploy.yml", inputs={**promotion, "commit": "f" * 40})
    assert not good, "the tag is of another commit"
    assert not production.every_container()
    job, good = runner.job("deploy.yml", inputs={**promotion, "commit": first})
    assert good, job.said
    assert production.serves("1")

    second = runner.commit("2")
    github.check(second, "test", "failure")
    job, good = runner.job("deploy.yml", sha=second, inputs={"stack": staging.name, "await-checks": True})
    assert not good
    assert "going back to" in job.said, job.said
    assert staging.serves("1")

    runner.pull_request("closed")
    assert not template.there()
    assert not (staging.home / "stacks" / template.project).exists()
