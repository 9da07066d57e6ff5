"""An environment of a pull request, with the real engine: made of a template, and gone without a trace."""

from __future__ import annotations

import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from containers import docker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stack_harness import Stack


@pytest.fixture(scope="module")
def template(make_stack: Callable[..., Stack]) -> Iterator[Stack]:
    stack = make_stack(domain="pr.example.com", basicAuth="")
    stack.settings["name"] = "shop"
    file = stack.application.folder / "compose.yaml"
    file.write_text(re.sub(r"(?m)^ *security_opt:.*\n", "", file.read_text()))  # restricted stacks may not
    stack.pulumi("config", "set", "--secret", "--path", "secrets.FROM_TEMPLATE", stdin="of-the-template")
    yield stack
    for project in (f"{stack.project}-7", f"{stack.project}-8"):
        for kind, force in (("container", "--force"), ("network", "--force"), ("volume", "--force")):
            if found := there(project, kind):
                docker(kind, "rm", force, *found, check=False)


def there(project: str, kind: str) -> list[str]:
    every = ["--all"] if kind == "container" else []
    return docker(kind, "ls", "--quiet", *every, "--filter", f"label=com.docker.compose.project={project}").split()


def pulumi(stack: Stack, *argv: str) -> Any:
    command = ["pulumi", *argv, "--json"]
    done = subprocess.run(command, cwd=stack.folder, env=stack.environment, capture_output=True, check=True)
    return json.loads(done.stdout)


def test_a_pull_request_is_deployed_and_removed_without_a_trace(template: Stack) -> None:
    project, name = f"{template.project}-7", f"{template.name}-7"
    said = template.slipway("pr", "up", "7", "--stack", template.name)
    assert "ports are not published" in said.text
    assert there(project, "container")
    assert there(project, "volume"), "the application has data"
    given = pulumi(template, "config", "--show-secrets", "--stack", name)
    assert given["slipway:domain"]["value"] == f"{name}.pr.example.com"
    assert json.loads(given["slipway:secrets"]["value"])["FROM_TEMPLATE"] == "of-the-template"

    # Another machine, which has no file of that stack, deploys it again, and removes it.
    (template.folder / f"Pulumi.{name}.yaml").unlink()
    assert "nothing to do" in template.slipway("pr", "up", "7", "--stack", template.name).out
    (template.folder / f"Pulumi.{name}.yaml").unlink()
    assert "removed" in template.slipway("pr", "down", "7", "--stack", template.name).out
    assert not [each for kind in ("container", "volume", "network") for each in there(project, kind)]
    assert not (template.home / "stacks" / project).exists()
    assert not (template.folder / f"Pulumi.{name}.yaml").exists()
    assert [each["name"] for each in pulumi(template, "stack", "ls")] == [template.name]
    assert "there is no such stack" in template.slipway("pr", "down", "7", "--stack", template.name).out


def test_a_sweep_reports_what_a_host_still_has(template: Stack) -> None:
    volume = docker("volume", "create", "--label", f"com.docker.compose.project={template.project}-8").strip()
    said = template.slipway("pr", "sweep", "--stack", template.name, expect=1)
    assert f"volume {volume}" in said.errors
    docker("volume", "rm", volume)
    assert template.slipway("pr", "sweep", "--stack", template.name).text == ""
