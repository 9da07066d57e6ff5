"""What the shipped workflows run: scripts that a shell can read, with commands that the command line knows."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from slipway.cli.main import app

WORKFLOWS = sorted((Path(__file__).resolve().parents[3] / ".github" / "workflows").glob("*.yml"))
SHA = "3f2a91c04b7d5e8f60123456789abcdef0123456"
GIVEN = {
    "STACK": "staging", "SOURCE": "staging", "TARGET": "production", "GITHUB_SHA": SHA, "CONFIRM": "DEPLOY",
    "RELEASE": "live", "GITHUB_ENV": "/dev/null", "PIN": "v1", "REASON": "because",
}  # fmt: skip


def _steps(file: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(file.read_text())["jobs"]
    return [step for job in jobs.values() for step in job.get("steps", ()) if "slipway " in step.get("run", "")]


STEPS = {f"{file.stem}-{step['name']}": step for file in WORKFLOWS for step in _steps(file)}


def _ran(script: str, folder: Path, **given: str) -> list[list[str]]:
    """The command lines of `slipway` that a script runs."""
    (folder / "uv").write_text('#!/bin/sh\nshift 2\nprintf "%s\\n" "$@" . >> "$RAN"\n')
    (folder / "uv").chmod(0o755)
    ran = folder / "ran"
    environment = {"PATH": f"{folder}:/usr/bin:/bin", "RAN": str(ran), **GIVEN, **given}
    subprocess.run(["bash", "-eo", "pipefail", "-c", script], env=environment, check=True, timeout=20)
    said = ran.read_text() if ran.exists() else ""
    return [each.split("\n") for each in said.removesuffix("\n.\n").split("\n.\n") if each]


def _understood(words: list[str]) -> str:
    assert words[0] == "slipway"
    group: Any = typer.main.get_command(app)
    command = group.get_command(group.context_class(group), words[1])
    command.make_context(words[1], words[2:])
    return words[1]


@pytest.mark.parametrize("name", STEPS)
def test_every_command_of_a_workflow_is_one_of_the_command_lines(name: str, tmp_path: Path) -> None:
    assert [_understood(words) for words in _ran(STEPS[name]["run"], tmp_path)]


@pytest.mark.parametrize(
    ("wanted", "pin", "expected"),
    [
        ("", "", ["validate"]),
        ("true", "", ["await-checks", SHA]),
        ("true", SHA[:12], ["await-checks", SHA]),
        ("", "v1.2", ["validate"]),
    ],
)
def test_a_deployment_validates_what_it_deployed(wanted: str, pin: str, expected: list[str], tmp_path: Path) -> None:
    (words,) = _ran(STEPS["deploy-Validate"]["run"], tmp_path, AWAIT_CHECKS=wanted, PIN=pin)
    assert _understood(words) == expected[0]
    assert set(expected) <= set(words)


@pytest.mark.parametrize("pin", ["v1.2", "main", "0123456789ab", "3f2a91c04b7e", "3f"])
def test_the_checks_of_another_commit_than_that_of_pinned_images_decide_nothing(pin: str, tmp_path: Path) -> None:
    assert _ran(STEPS["deploy-Validate"]["run"], tmp_path, AWAIT_CHECKS="true", PIN=pin) == []


def test_a_deployment_is_validated_after_it_and_before_its_bundle() -> None:
    names = [name for name in STEPS if name.startswith("deploy-")]
    assert names[:3] == ["deploy-Up", "deploy-Validate", "deploy-Bundle"]
    assert "if" not in STEPS["deploy-Validate"], "after a failure nothing is validated"
