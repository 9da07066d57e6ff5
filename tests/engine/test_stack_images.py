"""Images: tags beside digests, releases that are pinned, and what a `build:` section can ask for."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from applications import DOCKERFILE, SERVER, Application, shop
from stack_harness import docker
from workflow_jobs import WORKFLOWS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stack_harness import Stack

TOOL = """\
name: tool
x-build: &build
  context: ./tool
  dockerfile: Special.Dockerfile
  target: final
  args: {COLOUR: "${COLOUR}"}
  secrets: [package-index]
  additional_contexts: {shared: ./shared}
  extra_hosts: ["builder.example=127.0.0.7"]
x-service: &service
  init: true
  restart: unless-stopped
  command: [python3, -c, "import time; time.sleep(1e6)"]
services:
  tool:
    <<: *service
    build: *build
  twin:
    <<: *service
    build: *build
  namesake:
    <<: *service
    image: tool-tool
secrets:
  package-index: {environment: INDEX_TOKEN}
"""
SPECIAL = """\
FROM python:3.13-slim-trixie AS base
ARG COLOUR
RUN --mount=type=secret,id=package-index sha256sum /run/secrets/package-index | cut -c1-64 > /used-secret
RUN echo "$COLOUR" > /colour && getent hosts builder.example > /resolved
COPY --from=shared text /text
FROM base AS final
FROM base AS wrong
RUN exit 1
"""


class GitRepository:
    """The application's folder as a repository of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.git("init", "--quiet", "--initial-branch", "main")

    def git(self, *arguments: str) -> str:
        who = ["-c", "user.name=tester", "-c", "user.email=tester@example.com", "-c", "commit.gpgsign=false"]
        done = subprocess.run(
            ["git", *who, *arguments], cwd=self.folder, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout.strip()

    def commit(self) -> str:
        """Commit all there is, also nothing; the commit's id."""
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", "a change")
        return self.git("rev-parse", "HEAD")


@pytest.fixture(scope="module")
def stack(make_stack: Callable[..., Stack]) -> Stack:
    """A shop whose source is in a git repository, not deployed yet."""
    return make_stack(shop)


@pytest.fixture(scope="module")
def repository(stack: Stack) -> GitRepository:
    return GitRepository(stack.application.folder)


def test_commit_without_changes_gets_its_tag_and_touches_nothing(stack: Stack, repository: GitRepository) -> None:
    first = repository.commit()
    stack.up()
    before, tags = stack.ids(), stack.tags("shop-web")
    assert tags == dict.fromkeys((stack.name, first, "main"), tags[stack.name])
    assert stack.containers()["web"].digest == tags[stack.name]
    release = stack.outputs["release"]

    repository.git("switch", "--quiet", "--create", "feature/colours")
    second = repository.commit()
    run = stack.up()
    assert {name: step for name, step in run.changes.items() if name.startswith("shop-web")} == {}
    assert stack.ids() == before
    for image in ("shop-web", "shop-side"):
        assert stack.tags(image).keys() == {stack.name, first, "main", second, "feature-colours"}
        assert set(stack.tags(image).values()) == {stack.tags(image)[stack.name]}
    assert stack.outputs["release"] != release
    assert stack.get("/data")["migrations"] == "1\n1\n"  # once per release


def test_pinned_tag_brings_the_same_digests_back_without_building(stack: Stack, repository: GitRepository) -> None:
    pinned, before = repository.git("rev-parse", "HEAD"), stack.containers()
    stack.application.version("web", "unwanted")
    repository.commit()
    stack.up()
    assert stack.serves("unwanted")

    stack.settings["pin"] = pinned
    preview = stack.preview()
    assert preview.changes[f"{stack.project}-local"] == "update"
    run = stack.up()
    assert not {step for step in run.steps.values() if step in ("create", "replace")}
    assert stack.serves("1")
    after = stack.containers()
    assert after["web"].digest == before["web"].digest
    assert after["side"].id == before["side"].id

    stack.settings.pop("pin")
    stack.up()
    assert stack.serves("unwanted")


def test_pin_to_a_tag_that_does_not_exist_is_told_in_the_preview(stack: Stack) -> None:
    stack.settings["pin"] = "no-such-release"
    try:
        before = stack.host_state()
        problems = stack.preview(expect_failure=True).problems
        for problem, service in zip(problems, ("side", "web"), strict=True):
            assert problem[0].startswith("pin: ")
            assert f"{stack.name}/shop-{service}:no-such-release does not exist" in problem[0]
        assert stack.host_state() == before
    finally:
        stack.settings.pop("pin")


@pytest.fixture(scope="module")
def tool(make_stack: Callable[..., Stack]) -> Stack:
    """Services that share one build with everything that a build can ask for."""

    def application(folder: Path) -> Application:
        files = {"compose.yaml": TOOL, "tool/Special.Dockerfile": SPECIAL, "shared/text": "from the other context"}
        files["tool/.dockerignore"] = "text\n"  # says nothing of the other context
        return Application(folder, files)

    stack = make_stack(
        application, variables={"COLOUR": "blue"}, secrets={"INDEX_TOKEN": "token-of-the-index"}, cache="inline"
    )
    stack.up()
    return stack


def test_build_has_all_that_its_section_asks_for(tool: Stack) -> None:
    container = tool.containers()["tool"].id
    found = docker("exec", container, "sh", "-c", "cat /colour /text /used-secret /resolved")
    assert "blue" in found
    assert "from the other context" in found
    assert hashlib.sha256(b"token-of-the-index").hexdigest() in found
    assert "127.0.0.7" in found


def test_build_secret_is_in_no_layer_and_no_history(tool: Stack) -> None:
    image = tool.containers()["tool"].image
    told = docker("history", "--no-trunc", image) + docker("image", "inspect", image)
    assert "token-of-the-index" not in told
    assert "INDEX_TOKEN" not in told


def test_services_with_the_same_build_share_one_image(tool: Stack) -> None:
    images = {container.image for container in tool.containers().values()}
    assert len(images) == 1


def test_what_pulumis_plugin_does_not_see_of_a_context_is_built_anew_all_the_same(tool: Stack) -> None:
    link = tool.application.folder / "tool" / "link"
    for target in ("Special.Dockerfile", "./Special.Dockerfile"):
        link.unlink(missing_ok=True)
        link.symlink_to(target)
        assert tool.up().changes["tool-tool"] == "update"
    assert set(tool.preview().steps.values()) == {"same"}
    before = tool.containers()["tool"].id
    tool.application.write({"shared/text": "changed in the other context"})
    tool.up()
    container = tool.containers()["namesake"]
    assert tool.containers()["tool"].id != before
    assert docker("exec", container.id, "cat", "/text") == "changed in the other context"


def test_a_build_upon_another_services_image_follows_it_and_files_are_merged(make_stack: Callable[..., Stack]) -> None:
    service = {"init": True, "restart": "unless-stopped", "command": ["sleep", "1000000"]}
    web = {
        "dockerfile_inline": "FROM foundation\nCOPY --from=foundation /text /copy\n",
        "additional_contexts": {"foundation": "service:base"},
        "labels": {"org.example.team": "shop"},
        "ulimits": {"nofile": 1024},
    }
    first = {"name": "two", "services": {"base": {**service, "build": "./base"}, "web": {**service, "build": web}}}
    more = "services: {web: {environment: {FROM: more}, command: !override [sleep, '2000000']}}\n"
    dockerfile = "FROM python:3.13-slim-trixie\nCOPY text /text\n"
    files = {"compose.yaml": json.dumps(first), "more.yaml": more, "base/Dockerfile": dockerfile, "base/text": "one"}
    stack = make_stack(lambda folder: Application(folder, files), composeFile=["compose.yaml", "more.yaml"])
    stack.up()
    container = stack.containers()["web"]
    assert docker("exec", container.id, "sh", "-c", "cat /copy; echo $FROM").strip() == "onemore"
    assert json.loads(docker("inspect", "--format", "{{json .Config.Labels}}", container.image))["org.example.team"]
    assert set(stack.preview().steps.values()) == {"same"}
    stack.application.write({"base/text": "two"})
    changes = stack.up().changes
    assert (changes["two-base"], changes["two-web"]) == ("update", "update")
    assert docker("exec", stack.containers()["web"].id, "cat", "/copy").strip() == "two"


def test_images_come_new_on_a_changed_base_when_that_is_asked_for_and_then_stay(
    make_stack: Callable[..., Stack],
) -> None:
    """As refresh.yml asks; the base is one of this machine, under a name of the test's own."""
    base = f"slipway-test-base-{os.getpid()}"
    refresh = next(
        each["run"].partition(" -- ")[2]
        for each in yaml.safe_load((WORKFLOWS / "deploy.yml").read_text())["jobs"]["deploy"]["steps"]
        if each.get("id") == "refresh"
    )
    service = {"init": True, "restart": "unless-stopped", "command": ["sleep", "1000000"], "build": "./web"}
    files = {
        "compose.yaml": json.dumps({"name": "fresh", "services": {"web": service}}),
        "web/Dockerfile": f"FROM {base}\nCOPY text /text\n",
        "web/text": "one",
    }
    docker("tag", "python:3.13-slim-trixie", base)
    try:
        stack = make_stack(lambda folder: Application(folder, files))
        stack.up()
        first = stack.containers()["web"]
        stack.up(*shlex.split(refresh))
        assert stack.containers()["web"].id == first.id, "the base is the same, so is the digest"
        docker("create", "--name", base, base)
        docker("commit", "--change", "ENV FRESH=yes", base, base)
        stack.up()
        assert stack.containers()["web"].id == first.id
        stack.up(*shlex.split(refresh))
        second = stack.containers()["web"]
        assert "FRESH=yes" in docker("exec", second.id, "env")
        assert set(stack.preview().steps.values()) == {"same"}
        assert stack.tags("fresh-web")[stack.name] == second.digest
    finally:
        docker("rm", "--force", base, check=False)
        docker("image", "rm", base, check=False)


def test_inline_cache_travels_with_the_image(tool: Stack) -> None:
    assert "moby.buildkit.cache.v0" in tool.image_configuration("tool-tool")


@pytest.mark.parametrize(
    ("setting", "word"),
    [({"cache": "registry"}, "export a cache"), ({"platforms": ["linux/amd64", "linux/arm64"]}, "several platforms")],
    ids=["cache", "platforms"],
)
def test_what_the_builder_cannot_do_is_told_with_the_way_out(
    make_stack: Callable[..., Stack], setting: dict[str, Any], word: str
) -> None:
    """Docker's own builder can neither export a cache nor build for two, unless containerd keeps its images."""

    def application(folder: Path) -> Application:
        compose = {"name": "one", "services": {"one": {"build": "./one", "restart": "always"}}}
        files = {"one/Dockerfile": DOCKERFILE, "one/app.py": SERVER, "one/version": "1"}
        return Application(folder, {"compose.yaml": json.dumps(compose), **files})

    stack = make_stack(application, **setting)
    run = stack.up(expect_failure=None)
    if run.code == 0:  # an engine that can
        assert "buildcache" in stack.tags("one-one") or "platforms" in setting
        return
    assert word in run.problem
    assert "pulumi config set builder" in run.problem
    assert not stack.containers()
